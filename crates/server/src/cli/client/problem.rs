//! What a server says when it refuses, and what to tell a person about it.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use crate::cli::exit::Exit;
use crate::cli::output::safe;

/// A refusal, read from an answer.
#[derive(Debug)]
pub(in crate::cli) struct Problem {
    status: StatusCode,
    said: Said,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Debug, Deserialize)]
struct FieldProblem {
    field: String,
    message: String,
}

impl Problem {
    /// Reads an answer that is no success; whatever stands between the server and us may have made it.
    pub(in crate::cli) fn read(status: StatusCode, body: &[u8]) -> Self {
        Self { status, said: serde_json::from_slice(body).unwrap_or_default() }
    }

    pub(in crate::cli) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(in crate::cli) fn exit(&self) -> Exit {
        match self.status.as_u16() {
            400 | 405 | 413 | 422 => Exit::Usage,
            401 | 403 => Exit::NotAllowed,
            408 | 429 | 502..=504 => Exit::Unreachable,
            _ => Exit::No,
        }
    }

    /// What a person can do about it, where the server does not say.
    fn advice(&self) -> Option<&'static str> {
        match self.status.as_u16() {
            401 => Some("check POSTRIDER_KEY; 'postrider keys create' on the server's machine makes a key"),
            403 => Some("use a key with that scope; 'postrider keys list' shows what each may do"),
            503 => Some("see 'postrider doctor' on the server's machine"),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.said.errors.as_slice() {
            [] if self.said.detail.is_empty() => write!(f, "the server answered {}", self.status)?,
            [] => write!(f, "{}", safe(&self.said.detail))?,
            errors => {
                write!(f, "the server refused these fields:")?;
                for error in errors {
                    write!(f, "\n  {}: {}", safe(&error.field), safe(&error.message))?;
                }
            }
        }
        self.advice().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, exit: Exit, part: &str) {
        let problem = Problem::read(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        assert_eq!(problem.exit(), exit, "{status}");
        let shown = problem.to_string();
        assert!(shown.contains(part) && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn refusals_become_codes_and_words() {
        check(
            401,
            r#"{"detail": "the key is unknown"}"#,
            Exit::NotAllowed,
            "the key is unknown\n  check POSTRIDER_KEY",
        );
        check(403, r#"{"detail": "the key lacks the scope x"}"#, Exit::NotAllowed, "lacks the scope x");
        check(404, r#"{"detail": "there is no channel 7"}"#, Exit::No, "there is no channel 7");
        check(409, r#"{"detail": "is switched off"}"#, Exit::No, "switched off");
        check(422, r#"{"detail": "", "errors": [{"field": "a.b", "message": "no"}]}"#, Exit::Usage, "\n  a.b: no");
        check(422, r#"{"errors": [{"field": "a", "message": "\u001b[2J"}]}"#, Exit::Usage, "a: \\u{1b}[2J");
        check(503, r#"{"detail": "nothing was kept"}"#, Exit::Unreachable, "postrider doctor");
        check(502, "<html>", Exit::Unreachable, "502 Bad Gateway");
        check(500, "", Exit::No, "500");
    }
}
