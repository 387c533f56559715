//! Every choice of a simulation, from its seed: the `SplitMix64` generator, which will give the same numbers for ever.

use std::sync::{Mutex, PoisonError};

use engine::random::Entropy;

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The source that belongs to these numbers, whatever was drawn before.
    pub fn of(numbers: &[u64]) -> Self {
        let mut dice = Self(0x2545_f491_4f6c_dd1d);
        for number in numbers {
            dice.0 = dice.number() ^ number;
        }
        dice.fork()
    }

    /// A source of its own, so that more choices in one place change none in another.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low + 1)
    }

    /// Whether something happens that does so `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.number() % 1000 < per_mille
    }

    /// A position in a list of this length, which is not empty.
    pub fn position(&mut self, length: usize) -> usize {
        usize::try_from(self.number() % length as u64).expect("below a length")
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.position(choices.len())]
    }
}

/// The engine's randomness.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<Dice>);

impl SeededEntropy {
    pub fn new(dice: Dice) -> Self {
        Self(Mutex::new(dice))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            let number = dice.number().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}
