//! Bodies: the one going out tells whether it may have been written, the one coming in is read to a bound.
//!
//! The client does not say how far a request got when its time runs out. But nobody can frame a request without asking
//! its body for its length, so a body that was never asked anything was never written, and neither was its head. The
//! reverse is not true, and the mark errs to that side: asked means that bytes may have left.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use providers::step::REPLY_BODY_BYTES_MAX;

/// Whether a request may have been written, in part or whole.
#[derive(Clone)]
pub(super) struct Written(Arc<AtomicBool>);

/// A request's body, which sets its mark when anybody looks at it.
pub(super) struct MarkedBody {
    bytes: Full<Bytes>,
    written: Written,
}

impl Written {
    /// False is certain.
    pub(super) fn may_be(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn mark(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl MarkedBody {
    pub(super) fn new(bytes: Bytes) -> (Self, Written) {
        let written = Written(Arc::new(AtomicBool::new(false)));
        (Self { bytes: Full::new(bytes), written: written.clone() }, written)
    }
}

impl Body for MarkedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.written.mark();
        Pin::new(&mut self.bytes).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.written.mark();
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.written.mark();
        self.bytes.size_hint()
    }
}

/// The first [`REPLY_BODY_BYTES_MAX`] of an answer. What is beyond is dropped, and its connection with it.
pub(super) async fn read_bounded(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let Some(mut first) = next_data(&mut body).await? else { return Ok(Bytes::new()) };
    first.truncate(REPLY_BODY_BYTES_MAX);
    // Nearly every answer comes in one piece, and then nothing is copied.
    if body.is_end_stream() || first.len() == REPLY_BODY_BYTES_MAX {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while whole.len() < REPLY_BODY_BYTES_MAX
        && let Some(mut more) = next_data(&mut body).await?
    {
        more.truncate(REPLY_BODY_BYTES_MAX - whole.len());
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// The next piece, past trailers; none at the end.
async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = body.frame().await.transpose()? {
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
