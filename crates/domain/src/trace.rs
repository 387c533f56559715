//! Trace contexts (W3C Trace Context): which trace of the producer's an event belongs to.
//!
//! The header `traceparent` in its version 00, read and written. Later versions are read as far as they are the same.
//! `tracestate` is not carried.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// A place in a trace: what follows from here names it as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    pub trace: NonZeroU128,
    pub span: NonZeroU64,
    /// Whether the producer records this trace: who does not follow makes half traces.
    pub is_sampled: bool,
}

/// The bytes of a context as [`TraceContext::to_bytes`] writes it.
pub const TRACE_BYTES: usize = 25;

impl TraceContext {
    /// Reads a `traceparent`; `None` when it is none, and a new trace begins.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = (hex(text.get(..2)?)?, text.get(2..)?);
        // The lengths of version 00; a later one may go on after another hyphen.
        let (head, more) = (rest.get(..53)?, &rest[53..]);
        let is_complete = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let mut parts = head.strip_prefix('-')?.split('-');
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let has_lengths = (trace.len(), span.len(), flags.len()) == (32, 16, 2) && parts.next().is_none();
        if !is_complete || !has_lengths {
            return None;
        }
        Some(Self {
            trace: NonZeroU128::new(hex(trace)?)?,
            span: NonZeroU64::new(u64::try_from(hex(span)?).ok()?)?,
            is_sampled: hex(flags)? & 1 == 1,
        })
    }

    /// Another place in the same trace.
    #[must_use]
    pub const fn at(self, span: NonZeroU64) -> Self {
        Self { span, ..self }
    }

    /// For the store.
    pub fn to_bytes(self) -> [u8; TRACE_BYTES] {
        let mut bytes = [0; TRACE_BYTES];
        bytes[..16].copy_from_slice(&self.trace.get().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span.get().to_be_bytes());
        bytes[24] = u8::from(self.is_sampled);
        bytes
    }

    /// Reads what [`TraceContext::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TRACE_BYTES] = bytes.try_into().ok()?;
        let (trace, rest) = bytes.split_first_chunk::<16>()?;
        let (span, flags) = rest.split_first_chunk::<8>()?;
        Some(Self {
            trace: NonZeroU128::new(u128::from_be_bytes(*trace))?,
            span: NonZeroU64::new(u64::from_be_bytes(*span))?,
            is_sampled: flags.first()? & 1 == 1,
        })
    }
}

/// The `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// Digits in lower case, as the specification wants them.
fn hex(text: &str) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.bytes().all(is_digit) { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        for text in [SAMPLED, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"] {
            let context = TraceContext::parse(text).unwrap();
            assert_eq!(context.to_string(), text);
            assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        }
        // Flags that this version does not know are not passed on, and later versions may say more.
        let later = TraceContext::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more").unwrap();
        assert_eq!(later.to_string(), SAMPLED);
    }

    #[test]
    fn what_is_none_is_not_read() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "0ä-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
        assert_eq!(TraceContext::from_bytes(&[0; TRACE_BYTES]), None);
        assert_eq!(TraceContext::from_bytes(&[1]), None);
    }
}
