//! Progress on stderr while the bench works: one line that changes on a terminal, else a line every few seconds.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

const ON_TERMINAL: Duration = Duration::from_millis(250);
const IN_LOG: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { on_terminal: stderr().is_terminal() }
    }

    /// Awaits `work` and meanwhile shows what `text` says.
    pub(super) async fn during<T>(self, text: impl Fn() -> String, work: impl Future<Output = T>) -> T {
        let mut ticks = tokio::time::interval(if self.on_terminal { ON_TERMINAL } else { IN_LOG });
        if !self.on_terminal {
            // A step that is done before the first line is due says nothing in a log.
            ticks.reset();
        }
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.show("");
                    return done;
                }
                _ = ticks.tick() => self.show(&text()),
            }
        }
    }

    /// Progress that cannot be shown is no reason to stop.
    fn show(self, text: &str) {
        if self.on_terminal {
            let _ = write!(stderr(), "\r\u{1b}[K{text}").and_then(|()| stderr().flush());
        } else if !text.is_empty() {
            let _ = writeln!(stderr(), "{text}");
        }
    }
}
