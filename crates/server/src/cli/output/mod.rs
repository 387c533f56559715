//! What commands print: lines to stdout, remarks to stderr, JSON as it came.
//!
//! A reader that goes away (`| head`) ends the command quietly. Text from elsewhere is made harmless for a terminal.
//! Colours are for terminals only, and not where `NO_COLOR` is set.

mod table;
mod when;

use std::io::{self, IsTerminal as _, Write as _};

pub(super) use table::Table;
pub(super) use when::{duration, when};

use super::exit::Failure;
pub(super) use crate::receiver::safe_line as safe;

/// Prints lines to stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| match text.as_bytes().last() {
        Some(b'\n') | None => Ok(()),
        Some(_) => stdout.write_all(b"\n"),
    });
    written.and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::no(format!("the output cannot be written: {error}")),
    })
}

/// Prints what a server answered, as it came, on a line.
pub(super) fn print_json(body: &[u8]) -> Result<(), Failure> {
    print(&String::from_utf8_lossy(body))
}

/// Tells the person something beside the output.
pub(super) fn remark(text: &str) {
    // A person who does not read stderr is not told.
    let _ = writeln!(io::stderr(), "{text}");
}

/// How something went, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Doubtful,
    Bad,
    Plain,
}

impl Tone {
    /// Of a state of a delivery or an attempt.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "sent" | "delivered" => Self::Good,
            "retrying" | "held" | "failed" | "throttled" | "unknown" => Self::Doubtful,
            "dead" | "expired" | "rejected" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// The text in the colour of its tone, where stdout takes colours.
pub(super) fn toned(tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Doubtful => 33,
        Tone::Bad => 31,
        Tone::Plain => return text.to_owned(),
    };
    if has_colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn has_colours() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !is_unwanted && !is_dumb
}
