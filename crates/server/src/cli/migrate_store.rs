//! `postrider migrate-store`: a whole database to another store, compared when it is there.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use domain::{Clock as _, Secret};
use serde_json::json;
use store::moving::{Copied, Phase, Progress};
use store::postgres::target::Target;

use super::exit::{Ended, Exit, Failure};
use super::output::{Table, print, remark};
use super::{StopSignal, runtime, settings};
use crate::app::{self, KEY_FILE, Place};
use crate::clock::SystemClock;

/// Digits of a digest in the table; all of them are in the JSON.
const DIGITS_SHOWN: usize = 16;

/// How often a person is told how far it is, and how often a log.
const TELL_PERSON: Duration = Duration::from_secs(1);
const TELL_LOG: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The database to move, like `sqlite:///var/lib/postrider` (its data directory) or
    /// `postgres://user@host/database`. No server may run on it; it is only read
    #[arg(long, value_name = "URL")]
    from: String,
    /// Where to: a data directory without a database, or an empty database on a PostgreSQL server
    #[arg(long, value_name = "URL")]
    to: String,
    /// Data directory of the server on PostgreSQL; without it the directory that --from or --to names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long = "json")]
    is_json: bool,
}

/// What a URL names.
enum Named {
    DataDir(PathBuf),
    Server(Box<Target>),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime::run(migrate(arguments))
}

async fn migrate(arguments: &Arguments) -> Ended {
    let (from, to) = places(arguments)?;
    let stop = StopSignal::listen()?;
    remark(&format!("Moving {from} to {to}"));
    let mut meter = Meter::new();
    let mut show = |progress| meter.show(progress);
    let copied = tokio::select! {
        copied = app::move_store(&from, &to, &mut show) => copied?,
        () = stop.received() => {
            return Err(Failure::no(format!("interrupted; nothing is left of the copy, and {from} is as it was")));
        }
    };
    print(&if arguments.is_json { as_json(&copied) } else { as_table(&copied) })?;
    if !copied.is_equal() {
        return Err(Failure::no(format!(
            "the copy is not equal to {from}, so nothing is left of it. Look at the disk of {to} and try again"
        )));
    }
    tell_what_next(&from, &to, &copied);
    Ok(Exit::Ok)
}

fn places(arguments: &Arguments) -> Result<(Place, Place), Failure> {
    let password = settings::of_this_machine(None)?.database_password;
    let from = named("--from", &arguments.from, password.as_ref())?;
    let to = named("--to", &arguments.to, password.as_ref())?;
    let own_data_dir = arguments.data_dir.as_deref();
    let server = |target: Target, other: &Path| Place {
        data_dir: own_data_dir.unwrap_or(other).to_owned(),
        server: Some(target),
    };
    let file = |data_dir: PathBuf| Place { data_dir, server: None };
    match (from, to) {
        (Named::DataDir(from), Named::Server(to)) => {
            let to = server(*to, &from);
            Ok((file(from), to))
        }
        (Named::Server(from), Named::DataDir(to)) => Ok((server(*from, &to), file(to))),
        (Named::DataDir(_), Named::DataDir(_)) => {
            Err(Failure::usage("both are SQLite: 'postrider backup' and 'postrider restore' copy such a database"))
        }
        (Named::Server(_), Named::Server(_)) => {
            Err(Failure::usage("both are PostgreSQL: pg_dump and pg_restore copy such a database"))
        }
    }
}

/// Reads a URL. What is wrong is told without it: it may hold a password.
fn named(flag: &str, url: &str, password: Option<&Secret>) -> Result<Named, Failure> {
    let is_server = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if is_server {
        let target = Target::parse(url, password.map(Secret::reveal));
        return target
            .map(|target| Named::Server(Box::new(target)))
            .map_err(|error| Failure::usage(format!("{flag}: {error}")));
    }
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => Ok(Named::DataDir(path.into())),
        _ => Err(Failure::usage(format!(
            "{flag} must be sqlite://DIRECTORY, like sqlite:///var/lib/postrider, or postgres://USER@HOST/DATABASE"
        ))),
    }
}

fn as_json(copied: &Copied) -> String {
    let tables: Vec<_> = copied
        .tables
        .iter()
        .map(|table| {
            json!({
                "table": table.table.name,
                "rows": table.source.rows,
                "digest": table.source.to_string(),
                "copy_rows": table.target.rows,
                "copy_digest": table.target.to_string(),
                "is_equal": table.source == table.target,
            })
        })
        .collect();
    json!({"is_equal": copied.is_equal(), "rows": copied.rows(), "adapted": copied.adapted, "tables": tables})
        .to_string()
}

fn as_table(copied: &Copied) -> String {
    let mut shown = Table::new(&["TABLE", "ROWS", "DIGEST", "ROWS OF COPY", "DIGEST OF COPY", "EQUAL"]);
    for table in &copied.tables {
        let digest = |digest: String| digest[..DIGITS_SHOWN].to_owned();
        shown.row([
            table.table.name.to_owned(),
            table.source.rows.to_string(),
            digest(table.source.to_string()),
            table.target.rows.to_string(),
            digest(table.target.to_string()),
            if table.source == table.target { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    shown.text("no tables")
}

fn tell_what_next(from: &Place, to: &Place, copied: &Copied) {
    let (rows, data_dir) = (copied.rows(), to.data_dir.display());
    if copied.adapted > 0 {
        remark(&format!(
            "{} rows hold the character U+0000, which PostgreSQL cannot keep: it is U+FFFD in {to}.",
            copied.adapted
        ));
    }
    let settings = match to.server {
        Some(_) => format!("with database_url naming it and data_dir = {data_dir}"),
        None => format!("with data_dir = {data_dir} and no database_url"),
    };
    remark(&format!(
        "{to} holds the database: {rows} rows, read back and equal. Start the server {settings}; {KEY_FILE} is there."
    ));
    remark(&format!(
        "{from} is as it was. Start no server on it any more: it would send what waits there once more. Keep it until you \
         are content, then remove it."
    ));
}

/// Tells how far a move has come: a person in one line that changes, a log now and then.
struct Meter {
    clock: SystemClock,
    phase: Phase,
    phase_began: Duration,
    told: Duration,
    is_watched: bool,
}

impl Meter {
    fn new() -> Self {
        let clock = SystemClock::new();
        let is_watched = io::stderr().is_terminal();
        Self { phase: Phase::Copying, phase_began: clock.monotonic(), told: clock.monotonic(), is_watched, clock }
    }

    fn show(&mut self, progress: Progress) {
        let now = self.clock.monotonic();
        if self.phase != progress.phase {
            (self.phase, self.phase_began) = (progress.phase, self.told);
        }
        let is_last = progress.rows_done >= progress.rows;
        let pause = if self.is_watched { TELL_PERSON } else { TELL_LOG };
        if !is_last && now.saturating_sub(self.told) < pause {
            return;
        }
        self.told = now;
        let line = line(progress, now.saturating_sub(self.phase_began));
        // One who cannot be told is not told.
        let _ = match (self.is_watched, is_last) {
            (false, _) => writeln!(io::stderr(), "{line}"),
            (true, false) => write!(io::stderr(), "\r{line}\u{1b}[K"),
            (true, true) => writeln!(io::stderr(), "\r{line}\u{1b}[K"),
        };
    }
}

fn line(progress: Progress, took: Duration) -> String {
    let Progress { phase, table, rows_done, rows } = progress;
    let what = match phase {
        Phase::Copying => "Copying",
        Phase::ReadingBack => "Reading back",
    };
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let pace = rows_done.saturating_mul(1000) / took_ms;
    format!("{what}: {table}, {rows_done} of {rows} rows, {pace} rows/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_names_is_read_and_what_is_wrong_is_told_without_it() {
        let data_dir = |url| match named("--from", url, None) {
            Ok(Named::DataDir(path)) => path,
            _ => panic!("{url}"),
        };
        assert_eq!(data_dir("sqlite:///var/lib/postrider"), Path::new("/var/lib/postrider"));
        assert_eq!(data_dir("sqlite://data"), Path::new("data"));
        assert!(matches!(named("--to", "postgresql://ada@db/mail", None), Ok(Named::Server(_))));
        for wrong in
            ["", "sqlite://", "data", "mysql://ada:canary@db/mail", "postgres://ada:canary@db/mail?sslmode=maybe"]
        {
            let Err(failure) = named("--to", wrong, None) else { panic!("{wrong}") };
            let message = failure.message().unwrap();
            assert!(message.starts_with("--to") && !message.contains("canary"), "{wrong}: {message}");
            assert_eq!(failure.exit(), Exit::Usage);
        }
    }

    #[test]
    fn progress_is_told_with_its_pace() {
        let progress =
            Progress { phase: Phase::ReadingBack, table: store::moving::TABLES[0], rows_done: 3_000, rows: 10_000 };
        assert_eq!(line(progress, Duration::from_secs(2)), "Reading back: sequences, 3000 of 10000 rows, 1500 rows/s");
    }
}
