//! Request bodies, read to a bound in size and time.

use std::time::Duration;

use axum::extract::Request;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::config::Limits;

/// What a body may take. Every request has one as an extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
}

impl From<Limits> for BodyLimits {
    fn from(limits: Limits) -> Self {
        Self { bytes_max: limits.body_bytes_max, timeout: limits.body_timeout }
    }
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than {} bytes, which is the limit; send it in parts", thousands(*.0))]
    TooLarge(usize),
    #[error("the body did not arrive within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    #[error("the body ended before it was complete")]
    Broken,
}

pub(crate) async fn read(request: Request) -> Result<Bytes, BodyError> {
    let BodyLimits { bytes_max, timeout } =
        *request.extensions().get::<BodyLimits>().expect("the listener tells each request what its body may take");
    match tokio::time::timeout(timeout, Limited::new(request.into_body(), bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(bytes_max)),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TooSlow(timeout)),
    }
}

/// A number with commas, so that a limit can be read.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn limits_can_be_read() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_048_576, "1,048,576")] {
            assert_eq!(thousands(number), expected);
        }
    }
}
