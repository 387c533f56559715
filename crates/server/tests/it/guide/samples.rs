//! Reads the samples out of the Markdown of the guide.
//!
//! A fence says in its first line what is in it: a language, and a mark. A program's mark is the name of its file. Of
//! shell, no mark is what the reader types, `server` is a terminal in which the server goes on running, and `by hand`
//! is what needs a system of its own (services, containers, packages) and is not run.

use std::path::{Path, PathBuf};

/// What stands between two fences.
pub(super) struct Sample {
    pub(super) language: String,
    pub(super) mark: String,
    pub(super) text: String,
}

/// A page and its samples in order.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) samples: Vec<Sample>,
}

impl Page {
    /// The shell of this mark, one text for each fence.
    pub(super) fn shell(&self, mark: &str) -> Vec<&str> {
        let is_meant = |one: &&Sample| one.language == "sh" && one.mark == mark;
        self.samples.iter().filter(is_meant).map(|one| one.text.as_str()).collect()
    }
}

pub(super) fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Every page whose samples are run.
pub(super) fn pages() -> Vec<Page> {
    let guide = std::fs::read_dir(documents().join("guide")).expect("docs/guide");
    let mut paths: Vec<PathBuf> = guide.map(|entry| entry.expect("an entry").path()).collect();
    paths.extend(["operations.md", "security.md"].map(|name| documents().join(name)));
    paths.sort();
    paths.iter().map(|path| page(path)).collect()
}

/// The page of this name.
pub(super) fn page_named(name: &str) -> Page {
    let found = pages().into_iter().find(|page| page.name == name);
    found.unwrap_or_else(|| panic!("there is no page {name}"))
}

/// The text of the program of this name.
pub(super) fn program(file: &str) -> String {
    let found = pages().into_iter().flat_map(|page| page.samples).find(|sample| sample.mark == file);
    found.unwrap_or_else(|| panic!("the guide has no {file}")).text
}

fn page(path: &Path) -> Page {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    Page { samples: samples(&text), name }
}

fn samples(text: &str) -> Vec<Sample> {
    let mut found: Vec<Sample> = Vec::new();
    let mut is_fenced = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_fenced => is_fenced = false,
            Some(opening) => {
                let (language, mark) = opening.split_once(' ').unwrap_or((opening, ""));
                found.push(Sample { language: language.to_owned(), mark: mark.to_owned(), text: String::new() });
                is_fenced = true;
            }
            None if is_fenced => {
                let text = &mut found.last_mut().expect("a fence is open").text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_fenced, "a fence is not closed");
    found
}
