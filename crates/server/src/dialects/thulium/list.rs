//! All webhooks of a tenant as one array, written while it is sent: the vendor's list has no pages.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::ChannelId;
use engine::ops::ChannelFilter;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use hyper::body::Frame;

use super::App;
use super::extract::Reader;
use super::map;

/// Webhooks that are written at a time: some tens of kilobytes.
const SLICE_ROWS: usize = 100;

/// The array. A slice is made when the one before it was taken, so memory is bounded however slowly somebody reads.
pub(super) struct Webhooks {
    engine: App,
    reader: Reader,
    filter: ChannelFilter,
    place: Place,
}

enum Place {
    Begin,
    /// What comes next stands above this channel.
    After(ChannelId),
    End,
}

impl Webhooks {
    pub(super) fn new(engine: App, reader: Reader) -> Self {
        Self { engine, reader, filter: map::webhooks(), place: Place::Begin }
    }

    fn slice(&mut self) -> Option<Bytes> {
        let (after, mut out) = match self.place {
            Place::Begin => (ChannelId(0), b"[".to_vec()),
            Place::After(channel) => (channel, Vec::new()),
            Place::End => return None,
        };
        let rows = self.engine.channels(self.reader.tenant, &self.filter, after, SLICE_ROWS);
        for (position, row) in rows.iter().enumerate() {
            if position > 0 || matches!(self.place, Place::After(_)) {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, &map::shown(row, self.reader.may_write)).expect("a webhook is JSON");
        }
        self.place = match rows.last() {
            Some(last) if rows.len() == SLICE_ROWS => Place::After(last.live.channel.id),
            _ => {
                out.push(b']');
                Place::End
            }
        };
        Some(out.into())
    }
}

impl hyper::body::Body for Webhooks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.slice().map(|slice| Ok(Frame::data(slice))))
    }
}

impl IntoResponse for Webhooks {
    fn into_response(self) -> Response {
        let mut response = Body::new(self).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
