//! The repository on disk: every file that belongs to it, read once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::rules::{Reached, Text};
use super::rust::Source;

/// What the checks look at.
pub(super) struct Repository {
    pub(super) sources: Vec<Source>,
    pub(super) reached: Reached,
    /// Everything that is not Rust.
    pub(super) texts: Vec<Text>,
}

/// Directories that tools make.
const MADE: [&str; 4] = ["target", "data", ".git", "node_modules"];

/// Marks a directory of cargo or another tool, whatever its name.
const CACHE_MARK: &str = "CACHEDIR.TAG";

impl Repository {
    /// The one that this test was built from.
    pub(super) fn this() -> &'static Self {
        static THIS: LazyLock<Repository> = LazyLock::new(|| Repository::read(&root()));
        &THIS
    }

    fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        collect(root, root, &mut files);
        files.sort();
        let (mut sources, mut texts) = (Vec::new(), Vec::new());
        for path in files {
            // What is not text has no rules here.
            let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
            if Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::new(&path, &text));
            } else {
                texts.push(Text { path, text });
            }
        }
        let reached = Reached::from_roots(&sources);
        for source in sources.iter_mut().filter(|source| reached.is_test(&source.path)) {
            source.mark_as_test();
        }
        Self { sources, reached, texts }
    }

    pub(super) fn source(&self, path: &str) -> &Source {
        let found = self.sources.iter().find(|source| source.path == path);
        found.unwrap_or_else(|| panic!("{path} is gone: tell this test where it went"))
    }

    pub(super) fn text(&self, path: &str) -> &Text {
        let found = self.texts.iter().find(|text| text.path == path);
        found.unwrap_or_else(|| panic!("{path} is gone: tell this test where it went"))
    }

    /// The texts whose path ends so.
    pub(super) fn ending(&self, end: &str) -> Vec<Text> {
        self.texts.iter().filter(|text| text.path.ends_with(end)).cloned().collect()
    }

    /// Sources and texts alike.
    pub(super) fn everything(&self) -> Vec<Text> {
        let sources = self.sources.iter().map(|it| Text { path: it.path.clone(), text: it.text.clone() });
        sources.chain(self.texts.iter().cloned()).collect()
    }

    /// The manifests of the crates and the crates' names.
    pub(super) fn manifests(&self) -> (Vec<Text>, Vec<String>) {
        let manifests: Vec<_> =
            self.ending("Cargo.toml").into_iter().filter(|it| it.path.starts_with("crates/")).collect();
        let names = manifests.iter().filter_map(|it| it.path.split('/').nth(1)).map(ToOwned::to_owned).collect();
        (manifests, names)
    }
}

/// Whether a path from the root exists.
pub(super) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<String>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries.map(|entry| entry.expect("an entry of a directory can be read")) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_file() {
            let inside = path.strip_prefix(root).expect("it was found below the root");
            files.push(inside.to_string_lossy().replace('\\', "/"));
        } else if path.is_dir() && !MADE.iter().any(|made| name == *made) && !path.join(CACHE_MARK).exists() {
            collect(root, &path, files);
        }
    }
}
