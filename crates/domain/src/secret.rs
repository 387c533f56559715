//! Text that must never be shown: its `Debug` is a mask and its memory is wiped when dropped.

use std::fmt;
use zeroize::Zeroizing;

/// What stands where a secret would: in answers of the native API and in `Debug`.
pub const MASK: &str = "********";

/// A secret text. Reading it takes the deliberate call [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; the caller keeps it out of logs, errors and answers.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
