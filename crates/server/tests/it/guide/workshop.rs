//! A temporary directory with the programs of the guide in it, and what runs them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::samples;
use crate::harness::Process;

pub(super) struct Workshop(TempDir);

impl Workshop {
    /// Holds these programs, each under its path: its last part is the name in the guide.
    pub(super) fn with(files: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let name = path.file_name().expect("a name").to_string_lossy();
            std::fs::write(&path, samples::program(&name)).expect("a file");
        }
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    /// Runs a compiler to its end.
    pub(super) fn build(&self, words: &[&str], variables: &[(&str, &str)]) {
        let output = present(words[0], self.command(words, variables).output());
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a program.
    pub(super) fn start(&self, words: &[&str], variables: &[(&str, &str)]) -> Process {
        present(words[0], Process::start(self.command(words, variables)))
    }

    fn command(&self, words: &[&str], variables: &[(&str, &str)]) -> Command {
        // What was built here is meant by its path, everything else is found by the system.
        let built = self.path().join(words[0]);
        let program = if built.is_file() { built } else { PathBuf::from(words[0]) };
        let mut command = Command::new(program);
        command.args(&words[1..]).env_clear().current_dir(self.path());
        for kept in ["PATH", "HOME"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.envs(variables.iter().copied());
        command
    }
}

fn present<T>(program: &str, started: io::Result<T>) -> T {
    started.unwrap_or_else(|error| panic!("{program} cannot be run ({error}): run scripts/test, which installs it"))
}
