//! The rules for what is not Rust: documents, manifests, licences, and what no file may hold.

use std::collections::BTreeSet;

use super::rules::Text;

/// Relative links in documents that lead nowhere. `exists` is asked with a path from the root of the repository.
pub(super) fn broken_links(documents: &[Text], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents {
        for (line, target) in links(&document.text) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() { document.path.clone() } else { resolve(&document.path, path) };
            let whole = format!("{}:{line} links to {target}", document.path);
            if !exists(&path) {
                found.push(format!("{whole}, but there is no {path}: mend the link"));
                continue;
            }
            let linked = documents.iter().find(|other| other.path == path);
            if !anchor.is_empty() && linked.is_some_and(|other| !anchors(&other.text).contains(anchor)) {
                found.push(format!("{whole}, but {path} has no such heading: mend the link"));
            }
        }
    }
    found
}

/// The targets of inline links outside of code that are neither URLs nor mail addresses, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut is_fenced = false;
    for (number, line) in text.lines().enumerate() {
        is_fenced ^= line.trim_start().starts_with("```");
        if is_fenced {
            continue;
        }
        // Every second part is between backquotes.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for rest in prose.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number + 1, target.to_owned()));
            }
        }
    }
    links
}

fn resolve(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names that headings get: lower case, spaces as hyphens, without punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(anchor).collect()
}

/// Dependencies that do not say why they are there. `members` are the crates of the house.
pub(super) fn unexplained_dependencies(manifests: &[Text], members: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in manifests {
        let mut is_in_dependencies = false;
        for (number, line) in manifest.text.lines().enumerate() {
            if let Some(section) = line.strip_prefix('[') {
                is_in_dependencies = section.contains("dependencies");
                continue;
            }
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            let is_own = members.iter().any(|member| member == name);
            let has_reason = line.split_once(" # ").is_some_and(|(_, reason)| reason.trim().len() > 3);
            if is_in_dependencies && !name.is_empty() && !line.starts_with('#') && !is_own && !has_reason {
                let path = &manifest.path;
                found.push(format!(
                    "{path}:{} does not say why {name} is needed: add a comment to the line",
                    number + 1
                ));
            }
        }
    }
    found
}

/// Manifests without the licence or the lints of the workspace.
pub(super) fn unlicensed(manifests: &[Text]) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in manifests {
        for (wanted, what) in [("license.workspace = true", "licence"), ("[lints]\nworkspace = true", "lints")] {
            if !manifest.text.contains(wanted) {
                found.push(format!("{} does not take the workspace's {what}: add {wanted:?}", manifest.path));
            }
        }
    }
    found
}

/// Sources of packages other than the public registry.
pub(super) fn foreign_sources(lock: &Text) -> Vec<String> {
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = lock.text.lines().enumerate().filter(|(_, line)| line.starts_with("source = ") && *line != public);
    sources
        .map(|(number, line)| format!("{}:{} has {line}: take it from the public registry", lock.path, number + 1))
        .collect()
}

/// Settings of cargo that say where one machine finds its packages.
pub(super) fn mirrors(configs: &[Text]) -> Vec<String> {
    let mut found = Vec::new();
    for config in configs {
        for (number, line) in config.text.lines().enumerate() {
            if ["[source", "[registr", "[net", "[http", "[build", "[target"]
                .iter()
                .any(|section| line.starts_with(section))
            {
                let path = &config.path;
                found.push(format!("{path}:{} has {line}: that is for your own ~/.cargo/config.toml", number + 1));
            }
        }
    }
    found
}

/// Directories of one machine. Written in halves, so that this file does not hold them.
const OF_A_MACHINE: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("C:\\", "Users"),
];

/// Files that only make sense on one machine.
pub(super) fn machine_paths(texts: &[Text]) -> Vec<String> {
    let mut found = Vec::new();
    for file in texts {
        for (number, line) in file.text.lines().enumerate() {
            let begins_there =
                |(at, _): (usize, &str)| !line[..at].ends_with(|it: char| it.is_alphanumeric() || "_-.*}".contains(it));
            for what in OF_A_MACHINE.iter().filter(|what| line.match_indices(**what).any(begins_there)) {
                let path = &file.path;
                found.push(format!("{path}:{} names {what}, a place of one machine: take it out", number + 1));
            }
        }
    }
    found
}
