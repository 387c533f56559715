//! What people type: values from files and from stdin, and their word that they mean it.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use super::exit::Failure;

/// The value itself, or what the file after `@` holds, without the line break at its end. `@@` stands for a plain `@`.
pub(super) fn value(given: &str) -> Result<String, Failure> {
    let Some(rest) = given.strip_prefix('@') else { return Ok(given.to_owned()) };
    if rest.starts_with('@') {
        return Ok(rest.to_owned());
    }
    let path = Path::new(rest);
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("cannot read", path, &error))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
}

/// As [`value`], and `-` is stdin.
pub(super) fn value_or_stdin(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return value(given);
    }
    let mut text = String::new();
    let read = io::stdin().lock().read_to_string(&mut text);
    read.map(|_| text).map_err(|error| Failure::no(format!("stdin cannot be read: {error}")))
}

/// Whether a person means it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Consent {
    /// Do it without asking
    #[arg(long = "yes")]
    is_given: bool,
}

impl Consent {
    /// Asks at a terminal. Elsewhere nobody can be asked, and `--yes` is needed.
    pub(super) fn get(self, question: &str) -> Result<(), Failure> {
        if self.is_given {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{question} Give --yes to do it without being asked")));
        }
        let mut answer = String::new();
        // A terminal that cannot be written to is answered with no.
        let _ = write!(io::stderr(), "{question} [y/N] ");
        let read = io::stdin().lock().read_line(&mut answer);
        let is_yes = read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
        if is_yes { Ok(()) } else { Err(Failure::no("nothing was done")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let check = |content: &str, expected: &str| {
            std::fs::write(&path, content).unwrap();
            assert_eq!(value(&format!("@{}", path.display())).unwrap(), expected);
        };
        check("a", "a");
        check("a\n", "a");
        check("a\r\n", "a");
        check("a\n\n", "a\n");
        assert_eq!(value("plain").unwrap(), "plain");
        assert_eq!(value("@@plain").unwrap(), "@plain");
        assert!(value("@/no/such/file").unwrap_err().message().unwrap().contains("/no/such/file"));
    }
}
