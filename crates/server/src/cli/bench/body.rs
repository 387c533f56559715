//! The events of the load: of a given size, with the time of their sending inside.
//!
//! The stamp travels in the event's data through the server to the receiver, which finds it by a search for bytes:
//! parsing JSON there would take time from the server that is measured.

use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;

const STAMP_NAME: &[u8] = b"\"stamp\":";
/// Added to the nanoseconds of a stamp so that every stamp has 16 digits, and so every event its exact size. The sum
/// stays below 2^53 for 90 days.
const STAMP_BASE: u64 = 1_000_000_000_000_000;
const STAMP_DIGITS: usize = 16;

/// Events of the types of some groups in turn; every channel of the bench hears one type.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    starts: Vec<Bytes>,
    end: Bytes,
    batch: usize,
}

/// The event type of a group of channels.
pub(super) fn event_type(group: usize) -> String {
    format!("bench.group{group}")
}

impl Bodies {
    /// `event_bytes` is the size of one event as posted, at least what its fixed parts take. `batch` events are posted
    /// at once, as an array when there are several.
    pub(super) fn new(groups: Range<usize>, event_bytes: usize, batch: usize) -> Self {
        let start = |group| format!(r#"{{"type":"{}","data":{{"stamp":"#, event_type(group));
        let starts: Vec<Bytes> = groups.map(|group| start(group).into()).collect();
        let fixed = starts.first().map_or(0, Bytes::len) + STAMP_DIGITS + r#","text":""}}"#.len();
        let text = "x".repeat(event_bytes.saturating_sub(fixed));
        Self { starts, end: format!(r#","text":"{text}"}}}}"#).into(), batch }
    }

    /// How many events one request carries.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// The body of the request number `request`, stamped `at_ns`.
    pub(super) fn write(&self, request: u64, at_ns: u64) -> Bytes {
        let first = usize::try_from(request).unwrap_or(0).wrapping_mul(self.batch);
        if self.batch == 1 {
            let mut body = BytesMut::with_capacity(self.event_bytes_max());
            self.write_event(&mut body, first, at_ns);
            return body.freeze();
        }
        let mut body = BytesMut::with_capacity((self.event_bytes_max() + 1) * self.batch + 1);
        for number in 0..self.batch {
            body.put_u8(if number == 0 { b'[' } else { b',' });
            self.write_event(&mut body, first + number, at_ns);
        }
        body.put_u8(b']');
        body.freeze()
    }

    fn write_event(&self, body: &mut BytesMut, number: usize, at_ns: u64) {
        body.put_slice(&self.starts[number % self.starts.len()]);
        let mut digits = [b'0'; STAMP_DIGITS];
        let mut rest = STAMP_BASE + at_ns;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        body.put_slice(&digits);
        body.put_slice(&self.end);
    }

    fn event_bytes_max(&self) -> usize {
        self.starts.last().map_or(0, Bytes::len) + STAMP_DIGITS + self.end.len()
    }
}

/// When the event in this notification was stamped, by the stopwatch; `None` without a stamp of ours.
pub(super) fn stamped_ns(body: &[u8]) -> Option<u64> {
    let start = body.windows(STAMP_NAME.len()).position(|window| window == STAMP_NAME)? + STAMP_NAME.len();
    let digits = body[start..].trim_ascii_start();
    let stamp = digits.iter().take_while(|byte| byte.is_ascii_digit()).take(STAMP_DIGITS);
    stamp.fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0')).checked_sub(STAMP_BASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_size_its_type_and_its_stamp() {
        let bodies = Bodies::new(0..3, 256, 1);
        for (request, at_ns) in [(0, 0), (4, 7), (5, 86_400_000_000_000)] {
            let body = bodies.write(request, at_ns);
            assert_eq!(body.len(), 256);
            assert_eq!(stamped_ns(&body), Some(at_ns));
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(event["type"], event_type(usize::try_from(request).unwrap() % 3));
        }
    }

    #[test]
    fn several_events_are_an_array_and_types_take_turns_across_requests() {
        let body = Bodies::new(0..4, 100, 3).write(1, 9);
        let events: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["bench.group3", "bench.group0", "bench.group1"]);
    }

    #[test]
    fn a_stamp_is_found_in_what_the_server_sends() {
        let sent = br#"{"type":"a","timestamp":"2026-01-01T00:00:00Z","data":{"stamp": 1000000000000042,"text":""}}"#;
        assert_eq!(stamped_ns(sent), Some(42));
        for without in [&b"{}"[..], b"\"stamp\":", b"{\"timestamp\":1000000000000042}", b"\"stamp\":17}"] {
            assert_eq!(stamped_ns(without), None);
        }
    }
}
