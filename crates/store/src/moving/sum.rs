//! The sum of a table's rows, whatever their order: what two stores are compared by.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Value;

/// How many rows, and the digest of what is in them: the SHA-256 of each row, added up. A sum, because two stores give
/// their rows in different orders, and sorting history would take longer than copying it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub rows: u64,
    digest: [u64; 4],
}

impl Sum {
    pub(super) fn add(&mut self, row: &[Value]) {
        let mut hash = Sha256::new();
        for value in row {
            // With its type and its length, so that no two rows are written alike.
            match value {
                Value::Null => hash.update([0]),
                Value::Integer(number) => {
                    hash.update([1]);
                    hash.update(number.to_be_bytes());
                }
                Value::Text(text) => update_sized(&mut hash, 2, text.as_bytes()),
                Value::Bytes(bytes) => update_sized(&mut hash, 3, bytes),
            }
        }
        self.rows += 1;
        for (sum, part) in self.digest.iter_mut().zip(hash.finalize().chunks_exact(8)) {
            *sum = sum.wrapping_add(u64::from_be_bytes(part.try_into().expect("eight bytes")));
        }
    }
}

fn update_sized(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

impl fmt::Display for Sum {
    /// The digest alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.iter().try_for_each(|part| write!(f, "{part:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Value]]) -> Sum {
        let mut sum = Sum::default();
        for row in rows {
            sum.add(row);
        }
        sum
    }

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let text = |text: &str| Value::Text(text.to_owned());
        let (one, two) = ([Value::Integer(1), text("a")], [Value::Integer(2), text("a")]);
        assert_eq!(sum(&[&one, &two]), sum(&[&two, &one]));
        for other in [
            sum(&[&one]),
            sum(&[&one, &one]),
            sum(&[&one, &[Value::Integer(2), text("b")]]),
            sum(&[&one, &[Value::Integer(2), Value::Bytes(b"a".to_vec())]]),
            sum(&[&one, &[Value::Null, text("a")]]),
            sum(&[&one, &[text("a"), Value::Integer(2)]]),
        ] {
            assert_ne!(sum(&[&one, &two]), other);
        }
        assert_ne!(sum(&[&[text("ab"), text("c")]]), sum(&[&[text("a"), text("bc")]]));
        assert_eq!(sum(&[&one]).to_string().len(), 64);
    }
}
