//! Notifications as a person reads them, or as lines of JSON.
//!
//! [`Terminal`] never makes a sender wait: it hands each notification to a thread of its own over a short queue, shows
//! at most 20 a second and tells how many more there were. A terminal that is stopped (Ctrl-S) stops only that thread.

use super::notification::{Notification, Signature};
use super::throttle::Throttle;
use super::{indent, safe};
use domain::{Clock, Timestamp};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Notifications shown in one second.
const SHOWN_MAX: u64 = 20;
/// Notifications that wait for the thread; further ones are only counted.
const WAITING_MAX: usize = 64;
/// Lines of a body shown.
const LINES_MAX: usize = 40;
/// How often the thread looks whether hidden ones are to be told.
const TURN: Duration = Duration::from_millis(250);

/// The thread that prints.
pub(crate) struct Terminal {
    queue: SyncSender<Notification>,
    dropped: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Terminal {
    /// Prints to `out`; `clock` measures the seconds.
    pub(crate) fn start(out: impl Write + Send + 'static, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (queue, arrivals) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let printer = Printer { out, clock, dropped: dropped.clone(), throttle: Throttle::new(SHOWN_MAX) };
        // An output that went away (a closed pipe) leaves nothing to print to; the receiver goes on without.
        let thread = std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
            let _ = printer.run(&arrivals);
        })?;
        Ok(Self { queue, dropped, thread })
    }

    /// A sink for [`Receiver::serve`](super::Receiver::serve): shows the notification, or counts it when too many come.
    pub(crate) fn sink(&self) -> impl Fn(Notification) + Send + Sync + 'static {
        let (queue, dropped) = (self.queue.clone(), self.dropped.clone());
        move |notification| {
            if queue.try_send(notification).is_err() {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything is printed. Every sink must be dropped before.
    pub(crate) fn close(self) {
        drop(self.queue);
        // The thread ends by itself or by a panic, which has already told about itself.
        let _ = self.thread.join();
    }
}

struct Printer<W> {
    out: W,
    clock: Arc<dyn Clock>,
    dropped: Arc<AtomicU64>,
    throttle: Throttle,
}

impl<W: Write> Printer<W> {
    fn run(mut self, arrivals: &Receiver<Notification>) -> io::Result<()> {
        loop {
            let arrival = arrivals.recv_timeout(TURN);
            let now = self.clock.monotonic();
            self.throttle.hide(self.dropped.swap(0, Ordering::Relaxed));
            let hidden = self.throttle.turn(now);
            self.tell(hidden)?;
            match arrival {
                Ok(notification) if self.throttle.admit(now) => self.out.write_all(page(&notification).as_bytes())?,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let hidden = self.throttle.close();
                    return self.tell(hidden);
                }
            }
            self.out.flush()?;
        }
    }

    fn tell(&mut self, hidden: Option<u64>) -> io::Result<()> {
        match hidden {
            Some(number) => writeln!(self.out, "... and {number} more, not shown\n"),
            None => Ok(()),
        }
    }
}

/// A notification for a person: who, whether the signature holds, what.
fn page(notification: &Notification) -> String {
    let Notification { received_at, id, signature, event_type, body } = notification;
    let mut page = format!(
        "{}  webhook-id: {}\n  {}\n  event type: {}\n",
        time_of_day(*received_at),
        id.as_deref().map_or("none".to_owned(), safe::line),
        signature_text(signature),
        event_type.as_deref().map_or("none".to_owned(), safe::line),
    );
    for line in body_lines(body) {
        page.push_str("    ");
        page.push_str(&line);
        page.push('\n');
    }
    page.push('\n');
    page
}

fn body_lines(body: &[u8]) -> Vec<String> {
    if body.is_empty() {
        return vec!["(no body)".to_owned()];
    }
    let (lines, more) = indent::lines(body, LINES_MAX).unwrap_or_else(|| plain_lines(body));
    let mut shown: Vec<String> = lines.iter().map(|line| safe::line(line)).collect();
    if more {
        shown.push(format!("... cut; {} bytes in all", body.len()));
    }
    shown
}

fn plain_lines(body: &[u8]) -> (Vec<String>, bool) {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines();
    let shown = lines.by_ref().take(LINES_MAX).map(str::to_owned).collect();
    (shown, lines.next().is_some())
}

fn signature_text(signature: &Signature) -> String {
    match signature {
        Signature::Good { age_seconds } => format!("signature ok (v1, signed {age_seconds} s before)"),
        Signature::Wrong(why) => format!("signature WRONG: {}", safe::line(why)),
        Signature::Unchecked => "signed, not checked: no secret is known here".to_owned(),
        Signature::Missing => "not signed".to_owned(),
    }
}

/// The time in UTC, to the millisecond.
fn time_of_day(at: Timestamp) -> String {
    let of_day = at.as_ms().rem_euclid(86_400_000);
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A notification as one line of JSON for another program. `body` is the body's text.
pub(crate) fn json_line(notification: &Notification) -> String {
    let (signature, error) = match &notification.signature {
        Signature::Good { .. } => ("ok", None),
        Signature::Wrong(why) => ("wrong", Some(why)),
        Signature::Unchecked => ("unchecked", None),
        Signature::Missing => ("missing", None),
    };
    let line = serde_json::json!({
        "received_at_ms": notification.received_at.as_ms(),
        "webhook_id": notification.id,
        "signature": signature,
        "signature_error": error,
        "type": notification.event_type,
        "body": String::from_utf8_lossy(&notification.body),
    });
    safe::json(&line.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn notification(body: &'static str, signature: Signature) -> Notification {
        Notification {
            received_at: Timestamp::from_ms(50_645_123),
            id: Some("dlv_a_17\u{1b}[31m".to_owned()),
            signature,
            event_type: Some("order.paid".to_owned()),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_notification_reads_calmly() {
        let page = page(&notification(r#"{"type":"order.paid"}"#, Signature::Good { age_seconds: 0 }));
        assert_eq!(
            page,
            "14:04:05.123Z  webhook-id: dlv_a_17\\u{1b}[31m\n  signature ok (v1, signed 0 s before)\n  \
             event type: order.paid\n    {\n      \"type\": \"order.paid\"\n    }\n\n"
        );
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        for body in ["\u{1b}[2J\u{7}\r\nx", "{\"a\":\"\u{9b}31m\u{7f}\"}", "\u{202e}"] {
            let sample = notification(body, Signature::Wrong("bad \u{1b}[0m".to_owned()));
            for shown in [page(&sample), json_line(&sample)] {
                assert!(shown.chars().all(|it| it == '\n' || !it.is_control() && it != '\u{202e}'), "{shown:?}");
            }
        }
    }

    #[test]
    fn a_long_body_is_cut() {
        let lines = body_lines("x\n".repeat(100).as_bytes());
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX], "... cut; 200 bytes in all");
    }
}
