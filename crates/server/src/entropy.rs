//! Random bytes of the operating system: the one place of this crate that draws them.

use std::cell::RefCell;

use engine::random::Entropy;

#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has random bytes");
    }

    /// Drawn many at a time: every request and every attempt takes one, and none of them is a secret.
    fn number(&self) -> u64 {
        thread_local! {
            static DRAWN: RefCell<Vec<[u8; 8]>> = const { RefCell::new(Vec::new()) };
        }
        DRAWN.with_borrow_mut(|drawn| {
            if drawn.is_empty() {
                drawn.resize(NUMBERS_DRAWN, [0; 8]);
                self.fill(drawn.as_flattened_mut());
            }
            u64::from_le_bytes(drawn.pop().expect("just filled"))
        })
    }
}

/// At a time.
const NUMBERS_DRAWN: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let count = 3 * NUMBERS_DRAWN;
        let numbers: BTreeSet<u64> = (0..count).map(|_| SystemEntropy.number()).collect();
        assert_eq!(numbers.len(), count);
    }
}
