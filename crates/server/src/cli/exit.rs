//! How a command ends: one small set of exit codes, and the failures that lead to them.
//!
//! Scripts look at the code, people at the message. The table of codes is in `docs/cli.md` and in `--help`, and a test
//! holds both against [`Exit`].

use std::process::ExitCode;

use super::client::problem::Problem;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Ok,
    No,
    Usage,
    Unreachable,
    NotAllowed,
    Unsettled,
}

impl Exit {
    pub(super) const ALL: [Self; 6] =
        [Self::Ok, Self::No, Self::Usage, Self::Unreachable, Self::NotAllowed, Self::Unsettled];

    /// Never changes: scripts rely on it. 2 is what clap ends with, too.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotAllowed => 4,
            Self::Unsettled => 5,
        }
    }

    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; the answer is yes",
            Self::No => "the answer is no, or something failed",
            Self::Usage => "wrong usage: an option, or a field that was refused",
            Self::Unreachable => "no server, or it cannot answer now",
            Self::NotAllowed => "not allowed: the key, its scopes, or the permissions of a file",
            Self::Unsettled => "the wait ended before everything was settled",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table of exit codes for `--help`.
pub(super) fn codes_help() -> String {
    let lines = Exit::ALL.map(|exit| format!("  {}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub(super) enum Failure {
    /// With the code to end with, and what the user should read.
    Said(Exit, String),
    /// The server refused, and said why.
    Refused(Problem),
    /// Whoever read the output has gone. Nothing is wrong.
    OutputClosed,
}

impl Failure {
    pub(super) fn no(message: impl Into<String>) -> Self {
        Self::Said(Exit::No, message.into())
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Said(Exit::Usage, message.into())
    }

    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self::Said(Exit::Unreachable, message.into())
    }

    pub(super) fn not_allowed(message: impl Into<String>) -> Self {
        Self::Said(Exit::NotAllowed, message.into())
    }

    /// A failure to read or write a file.
    pub(super) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::PermissionDenied { Exit::NotAllowed } else { Exit::No };
        Self::Said(exit, format!("{what} {}: {error}", path.display()))
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Said(exit, _) => *exit,
            Self::Refused(problem) => problem.exit(),
            Self::OutputClosed => Exit::Ok,
        }
    }

    /// What the user should read; nothing when there is nothing to say.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::Said(_, message) => Some(message.clone()),
            Self::Refused(problem) => Some(problem.to_string()),
            Self::OutputClosed => None,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let is_locked = error.chain().any(|cause| {
            matches!(
                cause.downcast_ref(),
                Some(store::StoreError::Locked(_) | store::StoreError::InUse(_) | store::StoreError::Unavailable(_))
            )
        });
        Self::Said(if is_locked { Exit::Unreachable } else { Exit::No }, format!("{error:#}"))
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        anyhow::Error::from(error).into()
    }
}

/// What a command returns.
pub(super) type Ended = Result<Exit, Failure>;

/// Tells the user how it ended.
pub(super) fn report(ended: Ended) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let Some(message) = failure.message() {
                eprintln!("postrider: {message}");
            }
            failure.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_documented() {
        let document = include_str!("../../../../docs/cli.md");
        for (position, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.code()), position);
            assert!(codes_help().contains(exit.meaning()));
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(document.contains(&row), "docs/cli.md lacks the row: {row}");
        }
    }
}
