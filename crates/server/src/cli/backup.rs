//! `postrider backup` and `postrider restore`: copies of the database, and the key that belongs to it.
//!
//! A backup is taken beside a running server. It holds channel configs only encrypted, so it is of use to nobody without
//! `secret.key`, not even to its owner: the two are kept apart, and both are kept.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::exit::{Ended, Exit, Failure};
use super::output::{print, remark};
use super::{StopSignal, runtime, settings};
use crate::app::{self, Copied, DATABASE_FILE, KEY_FILE, LOCK_FILE, OnProgress, Progress};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Data directory, instead of `POSTRIDER_DATA_DIR`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long = "json")]
    is_json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct BackupArguments {
    /// The file to make; one that is there is not written over
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Copy secret.key to this directory, too: best to one that is kept elsewhere than the backup
    #[arg(long, value_name = "DIR")]
    with_key: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// A file that 'postrider backup' made
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The secret.key of that database; without it, the one that lies in the data directory
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl Place {
    /// The settings, when the database is a file. On a server, its own tools do what `instead` says, and better.
    fn config_of_file(&self, instead: &str) -> Result<Config, Failure> {
        let config = settings::of_this_machine(self.data_dir.as_deref())?;
        match &config.database {
            None => Ok(config),
            Some(target) => Err(Failure::usage(format!(
                "the database is {target}, as database_url says, and this command is for SQLite: use {instead}, and keep \
                 {} with it, in another place",
                config.data_dir.join(KEY_FILE).display()
            ))),
        }
    }
}

pub(super) fn run_backup(arguments: &BackupArguments) -> anyhow::Result<ExitCode> {
    runtime::run(back_up(arguments))
}

async fn back_up(arguments: &BackupArguments) -> Ended {
    let BackupArguments { to, with_key, place } = arguments;
    let data_dir = place.config_of_file("pg_dump --format=custom --file=FILE DATABASE")?.data_dir;
    let key_target = with_key.as_ref().map(|directory| directory.join(KEY_FILE));
    for target in [Some(to), key_target.as_ref()].into_iter().flatten() {
        if fs::symlink_metadata(target).is_ok() {
            return Err(Failure::no(format!("{} is there already; choose another name", target.display())));
        }
    }
    let copied = copy_database(&data_dir, to).await?;
    if let Some(target) = &key_target {
        copy_key(&data_dir.join(KEY_FILE), target)?;
    }
    let key = data_dir.join(KEY_FILE);
    if place.is_json {
        print(&json!({"file": to, "bytes": copied.bytes, "key": key_target}).to_string())?;
        return Ok(Exit::Ok);
    }
    print(&format!("{} holds the database: {} bytes, every page checked.", to.display(), copied.bytes))?;
    match &key_target {
        Some(target) => remark(&format!(
            "{} holds its key. Keep the two apart: together they give away the secrets of every channel.",
            target.display()
        )),
        None => remark(&format!(
            "Its key is not in it. Keep {} too, in another place: without it the channels cannot be read, and \
             --with-key DIR copies it.",
            key.display()
        )),
    }
    Ok(Exit::Ok)
}

/// Copies to a file that has its name only once it is whole.
async fn copy_database(data_dir: &Path, to: &Path) -> Result<Copied, Failure> {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unfinished = tempfile::Builder::new().prefix(".postrider-backup-").tempfile_in(parent);
    let unfinished = unfinished.map_err(|error| Failure::file("cannot write to", parent, &error))?;
    let (from, file) = (data_dir.to_owned(), unfinished.path().to_owned());
    let copied = unless_interrupted(move |meter| Ok(app::back_up(&from, &file, meter)?)).await?;
    unfinished.persist_noclobber(to).map_err(|error| Failure::file("cannot make", to, &error.error))?;
    flush(parent)?;
    Ok(copied)
}

/// Runs a copy beside the runtime. A Ctrl-C ends the copy, and then its caller can take away what it has begun.
async fn unless_interrupted(
    copy: impl FnOnce(OnProgress<'_>) -> anyhow::Result<Copied> + Send + 'static,
) -> Result<Copied, Failure> {
    let stop = StopSignal::listen()?;
    let is_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&is_ended);
    let mut copying = tokio::task::spawn_blocking(move || {
        let mut meter = Meter::new();
        copy(&mut |progress| {
            meter.show(progress);
            if ended.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    let copied = tokio::select! {
        copied = &mut copying => copied,
        () = stop.received() => {
            is_ended.store(true, Ordering::Relaxed);
            let copied = copying.await;
            // It may have been whole just before.
            if !matches!(copied, Ok(Ok(_))) {
                return Err(Failure::no("interrupted; nothing is left of the copy"));
            }
            copied
        }
    };
    Ok(copied.map_err(anyhow::Error::from)??)
}

pub(super) fn run_restore(arguments: &RestoreArguments) -> anyhow::Result<ExitCode> {
    runtime::run(async { restore(arguments).await })
}

async fn restore(arguments: &RestoreArguments) -> Ended {
    let RestoreArguments { from, key, place } = arguments;
    let config = place.config_of_file("pg_restore --dbname=DATABASE FILE")?;
    let data_dir = &config.data_dir;
    check_empty(data_dir)?;
    let own_key = data_dir.join(KEY_FILE);
    match (key, own_key.exists()) {
        (Some(_), true) => {
            return Err(Failure::no(format!("{} is there already; leave --key out to use it", own_key.display())));
        }
        (None, false) => {
            return Err(Failure::usage(format!(
                "--key FILE is needed: the {KEY_FILE} of that database, without which its channels cannot be read"
            )));
        }
        _ => {}
    }
    let (source, target) = (from.clone(), data_dir.clone());
    let copied = unless_interrupted(move |meter| app::restore(&source, &target, meter)).await?;
    let opened = match key.as_ref().map_or(Ok(()), |key| copy_key(key, &own_key)) {
        Ok(()) => app::check_opens(&config).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = opened {
        take_back(data_dir, key.is_some());
        return Err(failure);
    }
    let shown = data_dir.display();
    if place.is_json {
        print(&json!({"data_dir": data_dir, "bytes": copied.bytes}).to_string())?;
    } else {
        print(&format!("{shown} holds the database of the backup: {} bytes, checked and opened.", copied.bytes))?;
        remark(
            "What waits in it is sent when a server starts on it, also what the original has sent since the backup.",
        );
    }
    Ok(Exit::Ok)
}

/// Only a key, and what a process leaves that has used the directory, may be there.
fn check_empty(data_dir: &Path) -> Result<(), Failure> {
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::file("cannot read", data_dir, &error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| Failure::file("cannot read", data_dir, &error))?.file_name();
        if name != KEY_FILE && name != LOCK_FILE {
            let data_dir = data_dir.display();
            return Err(Failure::no(format!(
                "{data_dir} is not empty: it holds {}. Restore into an empty directory",
                name.display()
            )));
        }
    }
    Ok(())
}

/// Leaves the directory as it was found.
fn take_back(data_dir: &Path, is_key_ours: bool) {
    let log = |suffix: &str| format!("{DATABASE_FILE}{suffix}");
    let mut names = vec![log(""), log("-wal"), log("-shm")];
    names.extend(is_key_ours.then(|| KEY_FILE.to_owned()));
    for name in names {
        // What cannot be removed is told by the next restore, which finds the directory not empty.
        let _ = fs::remove_file(data_dir.join(name));
    }
}

fn copy_key(from: &Path, to: &Path) -> Result<(), Failure> {
    let key = fs::read(from).map_err(|error| Failure::file("cannot read", from, &error))?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        file.write_all(&key)?;
        file.sync_all()
    };
    write().map_err(|error| Failure::file("cannot write", to, &error))
}

/// Makes the names in a directory survive a power cut.
fn flush(directory: &Path) -> Result<(), Failure> {
    let flushed = fs::File::open(directory).and_then(|directory| directory.sync_all());
    flushed.map_err(|error| Failure::file("cannot flush", directory, &error))
}

/// Shows a person how far a copy has come; a log is not filled with it.
struct Meter {
    shown: Option<u64>,
    is_watched: bool,
}

impl Meter {
    fn new() -> Self {
        Self { shown: None, is_watched: io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        let percent = (progress.pages_done * 100).checked_div(progress.pages).unwrap_or(100);
        if !self.is_watched || self.shown == Some(percent) {
            return;
        }
        self.shown = Some(percent);
        let end = if percent == 100 { "\n" } else { "" };
        // A terminal that cannot be written to is not looked at.
        let _ = write!(io::stderr(), "\rCopying: {percent:3} %{end}");
    }
}
