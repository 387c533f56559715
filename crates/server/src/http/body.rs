//! Request bodies, read to a bound in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// The largest body, in bytes.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than 1 MiB (1,048,576 bytes), which is the limit; send it in parts")]
    TooLarge,
    #[error("the body did not arrive within 30 seconds")]
    TooSlow,
    #[error("the body ended before it was complete")]
    Broken,
}

pub(crate) async fn read(body: Body) -> Result<Bytes, BodyError> {
    let collected = tokio::time::timeout(TIMEOUT, Limited::new(body, BYTES_MAX).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TooSlow),
    }
}
