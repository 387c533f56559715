//! Randomness as an argument.

use std::sync::Arc;

/// Where random bytes come from: the operating system in production, a seed in the simulator.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, bytes: &mut [u8]);

    /// Any number, evenly drawn.
    fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl<T: Entropy + ?Sized> Entropy for Arc<T> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }

    /// Also passed on: a source may have a cheaper way than the one above.
    fn number(&self) -> u64 {
        (**self).number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_source_draws_numbers_in_its_own_way() {
        struct Seven;

        impl Entropy for Seven {
            fn fill(&self, _: &mut [u8]) {
                unreachable!("it has a way of its own");
            }

            fn number(&self) -> u64 {
                7
            }
        }

        let shared: Arc<dyn Entropy> = Arc::new(Seven);
        assert_eq!(Entropy::number(&shared), 7);
    }
}
