//! Which deliveries have already arrived, by the number at the end of their `webhook-id`.
//!
//! One bit for each number below a bound, shared by all connections without a lock; a set for larger numbers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// 2^25 numbers take 4 MiB; the set behind it is for a server that numbers otherwise than from 1.
const BITS: u64 = 1 << 25;

#[derive(Debug)]
pub(super) struct Seen {
    bits: Box<[AtomicU64]>,
    beyond: Mutex<HashSet<u64>>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { bits: (0..BITS / 64).map(|_| AtomicU64::new(0)).collect(), beyond: Mutex::default() }
    }

    /// Marks `number`; `true` when it is the first time.
    pub(super) fn first_time(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|index| self.bits.get(index));
        match word {
            Some(word) => {
                let bit = 1 << (number % 64);
                word.fetch_or(bit, Ordering::Relaxed) & bit == 0
            }
            None => self.beyond.lock().unwrap_or_else(PoisonError::into_inner).insert(number),
        }
    }
}

/// The number in a wire id such as `dlv_<instance>_<number>`.
pub(super) fn number(wire_id: &[u8]) -> Option<u64> {
    let start = wire_id.iter().rposition(|byte| *byte == b'_')? + 1;
    std::str::from_utf8(&wire_id[start..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let seen = Seen::new();
        for number in [0, 1, 63, 64, BITS - 1, BITS, u64::MAX] {
            assert!(seen.first_time(number), "{number}");
            assert!(!seen.first_time(number), "{number}");
        }
    }

    #[test]
    fn the_number_is_the_last_part() {
        for (wire_id, expect) in
            [("dlv_k3x_17", Some(17)), ("dlv_a_b_0", Some(0)), ("dlv_", None), ("17", None), ("dlv_x_1f", None)]
        {
            assert_eq!(number(wire_id.as_bytes()), expect, "{wire_id}");
        }
    }
}
