//! The rules: pure functions from files to findings. A finding names the file and says what to do.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{Source, modules, paths};

/// A text file that is not Rust.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) path: String,
    pub(super) text: String,
}

/// A part of the house and what it must not name.
pub(super) struct Wall {
    /// Files whose path begins so.
    pub(super) inside: &'static str,
    /// Paths or single names; a path covers what is below it.
    pub(super) never: &'static [&'static str],
    pub(super) instead: &'static str,
}

pub(super) const WALLS: &[Wall] = &[
    Wall {
        inside: "crates/domain/src/",
        never: &["tokio", "rusqlite", "serde", "std::net", "std::fs", "SystemTime", "Instant", "rand", "getrandom"],
        instead: "the domain does no I/O and reads no clock: take what you need as an argument",
    },
    Wall {
        inside: "crates/providers/src/",
        never: &["tokio", "rusqlite", "std::net", "std::fs", "SystemTime", "Instant", "rand", "getrandom"],
        instead: "a provider does no I/O and reads no clock: return a Step, take time and entropy as arguments",
    },
    Wall {
        inside: "crates/engine/src/",
        never: &["axum", "rusqlite", "tokio_postgres", "SqliteStore"],
        instead: "the engine knows neither faces nor backends: use engine::ops from the face, store::Store below",
    },
    Wall {
        inside: "crates/store/src/",
        never: &["reqwest", "hyper", "axum"],
        instead: "a store talks to its database only: what goes over HTTP belongs to engine::transport",
    },
];

/// Names that stand where a wall forbids them.
pub(super) fn breached_walls(walls: &[Wall], sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for wall in walls {
        for source in sources.iter().filter(|source| source.path.starts_with(wall.inside)) {
            for (line, path) in paths(&source.shipped) {
                if let Some(name) = wall.never.iter().find(|name| names(&path, name)) {
                    found.push(format!("{}:{line} names {name}: {}", source.path, wall.instead));
                }
            }
        }
    }
    found
}

/// Whether a path is `name`, lies below it, or has it as a part.
fn names(path: &str, name: &str) -> bool {
    path == name
        || path.starts_with(&format!("{name}::"))
        || (!name.contains("::") && path.split("::").any(|part| part == name))
}

/// Statements that begin so are SQL. Upper case is house style, and English does not shout.
const SQL: [&str; 9] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "ALTER TABLE ",
    "PRAGMA ",
    "BEGIN",
];

/// SQL outside the store.
pub(super) fn sql_outside_the_store(sources: &[Source]) -> Vec<String> {
    let outside = sources.iter().filter(|source| !source.path.starts_with("crates/store/"));
    let speaks = |text: &str| SQL.iter().any(|word| text.trim_start().starts_with(word));
    outside
        .flat_map(|source| source.shipped_strings().map(move |string| (source, string)))
        .filter(|(_, (_, text))| speaks(text))
        .map(|(source, (line, _))| format!("{}:{line} holds SQL: make it a method of a store trait", source.path))
        .collect()
}

/// The modules of the providers in `providers::all`.
pub(super) fn provider_modules(providers_lib: &Source) -> Vec<String> {
    let list = providers_lib.shipped.split("pub fn all()").nth(1).unwrap_or_default();
    let list = list.split('}').next().unwrap_or_default();
    let module = |(_, path): (usize, String)| path.split_once("::").map(|(module, _)| module.to_owned());
    paths(list).into_iter().filter_map(module).filter(|module| module != "dyn").collect()
}

/// The engine naming one provider.
pub(super) fn providers_by_name(modules: &[String], sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("crates/engine/src/")) {
        for (line, path) in paths(&source.shipped) {
            let is_one = |module: &&String| {
                path.starts_with(&format!("{module}::")) || path.starts_with(&format!("providers::{module}"))
            };
            if let Some(module) = modules.iter().find(is_one) {
                let path = &source.path;
                found.push(format!(
                    "{path}:{line} names the provider {module}: go through its Spec or providers::Provider"
                ));
            }
        }
    }
    found
}

/// The face that a file belongs to, as a path of modules.
fn face_of(path: &str) -> Option<String> {
    let inside = path.strip_prefix("crates/server/src/")?;
    let mut parts = inside.trim_end_matches(".rs").split('/');
    match parts.next()? {
        face @ ("api" | "console" | "cli") => Some(face.to_owned()),
        "dialects" => parts.next().filter(|name| *name != "mod").map(|name| format!("dialects::{name}")),
        _ => None,
    }
}

/// Faces that import each other.
pub(super) fn faces_that_meet(sources: &[Source]) -> Vec<String> {
    let faces: BTreeSet<String> = sources.iter().filter_map(|source| face_of(&source.path)).collect();
    let mut found = Vec::new();
    for source in sources {
        let Some(own) = face_of(&source.path) else { continue };
        for (line, path) in paths(&source.shipped) {
            let other = faces.iter().find(|face| **face != own && names(&path, &format!("crate::{face}")));
            if let Some(other) = other {
                found.push(format!(
                    "{}:{line} reaches from {own} into {other}: what both need goes to http/, auth/ or engine::ops",
                    source.path
                ));
            }
        }
    }
    found
}

/// Backends named elsewhere than in the composition root.
pub(super) fn backends_by_name(sources: &[Source]) -> Vec<String> {
    let may = |path: &str| {
        path == "crates/server/src/app/backend.rs"
            || path.starts_with("crates/store/")
            || path.starts_with("crates/sim/")
    };
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !may(&source.path)) {
        for (line, path) in paths(&source.shipped) {
            if ["SqliteStore", "PostgresStore"].iter().any(|name| names(&path, name)) {
                found.push(format!(
                    "{}:{line} names a backend: take Arc<dyn Store>; only app/backend.rs chooses",
                    source.path
                ));
            }
        }
    }
    found
}

/// Which files are modules, and which of them are for tests only; follows `mod` from the crates' roots.
pub(super) struct Reached {
    /// Path to whether it is shipped.
    files: BTreeMap<String, bool>,
}

impl Reached {
    pub(super) fn from_roots(sources: &[Source]) -> Self {
        let by_path: BTreeMap<&str, &Source> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
        let mut reached = Self { files: BTreeMap::new() };
        for path in by_path.keys().filter(|path| is_root(path)) {
            reached.visit(path, !path.contains("/tests/"), &by_path);
        }
        reached
    }

    fn visit(&mut self, path: &str, is_shipped: bool, by_path: &BTreeMap<&str, &Source>) {
        let Some(source) = by_path.get(path) else { return };
        if self.files.get(path).is_some_and(|known| *known || !is_shipped) {
            return;
        }
        self.files.insert(path.to_owned(), is_shipped);
        let shipped = modules(&source.shipped);
        let folder = folder_of_modules(path);
        for module in modules(&source.code) {
            let is_shipped = is_shipped && shipped.contains(&module);
            self.visit(&format!("{folder}{module}.rs"), is_shipped, by_path);
            self.visit(&format!("{folder}{module}/mod.rs"), is_shipped, by_path);
        }
    }

    pub(super) fn is_test(&self, path: &str) -> bool {
        self.files.get(path) == Some(&false)
    }
}

fn is_root(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let is_entry = matches!(name, "lib.rs" | "main.rs") && folder.ends_with("/src");
    let is_build = name == "build.rs" && !folder.contains("/src");
    let is_program = ["/src/bin", "/tests", "/benches", "/examples"].iter().any(|kind| folder.ends_with(kind));
    let is_folder_program =
        name == "main.rs" && ["/tests/", "/benches/", "/examples/"].iter().any(|kind| folder.contains(kind));
    is_entry || is_build || is_program || is_folder_program
}

fn folder_of_modules(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_own_folder = name == "mod.rs" || is_root(path);
    if is_own_folder { format!("{folder}/") } else { format!("{folder}/{}/", name.trim_end_matches(".rs")) }
}

/// Files that no `mod` leads to: they are never compiled.
pub(super) fn dead_files(sources: &[Source], reached: &Reached) -> Vec<String> {
    let dead = sources.iter().filter(|source| !reached.files.contains_key(&source.path));
    dead.map(|source| format!("{} is no module of any crate: declare it with mod, or delete it", source.path)).collect()
}

/// Files that do not say what they are.
pub(super) fn silent_files(sources: &[Source]) -> Vec<String> {
    let silent = sources.iter().filter(|source| !source.text.trim_start().starts_with("//! "));
    silent.map(|source| format!("{} does not open with //! and what it is: say it", source.path)).collect()
}

/// Files that say too much. `exceptions` are those that may, with their reasons.
pub(super) fn long_files(sources: &[Source], lines_max: usize, exceptions: &[(&str, &str)]) -> Vec<String> {
    let is_known = |path: &str| exceptions.iter().any(|(known, _)| *known == path);
    let mut found = Vec::new();
    for source in sources {
        let lines = source.shipped_lines();
        if lines > lines_max && !is_known(&source.path) {
            let path = &source.path;
            found.push(format!(
                "{path} has {lines} lines without tests, more than {lines_max}: split it by what it says"
            ));
        }
    }
    for (path, reason) in exceptions {
        let is_long = |source: &Source| source.path == *path && source.shipped_lines() > lines_max;
        if !sources.iter().any(is_long) {
            found.push(format!("{path} is no longer long ({reason}): take it off the list of exceptions"));
        }
    }
    found
}

/// Things that are never to be left in code, as the code says them.
const LEFTOVERS: [(&str, &str); 6] = [
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or leave it out"),
    ("dbg!", "take it out; tracing is for what should stay"),
    ("#[ignore", "a test that does not run proves nothing: make it run or delete it"),
    ("thread::sleep", "wait for the thing itself; time is an argument"),
    ("#[path", "a module lives where its name says"),
];

pub(super) fn leftovers(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in source.code.lines().enumerate() {
            for (what, instead) in LEFTOVERS.iter().filter(|(what, _)| has_word(line, what)) {
                found.push(format!("{}:{} has {what}: {instead}", source.path, number + 1));
            }
        }
    }
    found
}

/// Whether `what` is in the line and is not the end of a longer name.
fn has_word(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(at, _)| !line[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_'))
}

/// Migrations by backend: numbered from 1 without gaps, and every backend with the same numbers and names.
pub(super) fn unpaired_migrations(paths: &[String]) -> Vec<String> {
    let mut backends: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
    let mut found = Vec::new();
    for path in paths {
        let Some((backend, file)) = path.strip_prefix("crates/store/migrations/").and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        let numbered = file.strip_prefix('V').and_then(|rest| rest.split_once("__"));
        let Some((number, name)) = numbered.and_then(|(number, name)| Some((number.parse().ok()?, name))) else {
            found.push(format!("{path} is not named like V2__what_it_does.sql: rename it"));
            continue;
        };
        if backends.entry(backend).or_default().insert(number, name).is_some() {
            found.push(format!("{path} has the number of another migration: take the next one"));
        }
    }
    let all: BTreeMap<u32, &str> = backends.values().flatten().map(|(number, name)| (*number, *name)).collect();
    for (backend, migrations) in &backends {
        for (number, name) in &all {
            if migrations.get(number) != Some(name) {
                let folder = format!("crates/store/migrations/{backend}");
                found.push(format!("{folder} lacks V{number}__{name}, which another backend has: add its counterpart"));
            }
        }
    }
    let gaps = (1..).zip(all.keys()).find(|(expected, number)| expected != *number);
    found.extend(gaps.map(|(expected, _)| format!("crates/store/migrations lacks number {expected}: leave no gaps")));
    found
}
