//! Holds `docs/cli.md` against the commands: each has its heading, and every example is one that they take.

use clap::{Command, CommandFactory as _, Parser as _};

use super::Arguments;

const DOCUMENT: &str = include_str!("../../../../docs/cli.md");

/// Whose subcommands are explained under its own heading.
const TOLD_TOGETHER: [&str; 1] = ["postrider channel add"];

/// Every command with its subcommands, as it is typed.
fn paths(command: &Command, before: &str) -> Vec<String> {
    let mut found = Vec::new();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        let path = format!("{before} {}", command.get_name());
        found.push(path.clone());
        if !TOLD_TOGETHER.contains(&path.as_str()) {
            found.extend(paths(command, &path));
        }
    }
    found
}

/// The lines of the document that are typed into a shell.
fn examples() -> Vec<Vec<String>> {
    let blocks = DOCUMENT.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap_or_default().lines());
    lines.map(words).collect()
}

/// Splits a line as a shell does, as far as examples need it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("never empty").push(character),
        }
    }
    assert!(quote.is_none(), "a quote is open: {line}");
    words
}

#[test]
fn every_command_is_documented_with_an_example() {
    let examples: Vec<String> = examples().iter().map(|words| words.join(" ")).collect();
    for path in paths(&Arguments::command(), "postrider") {
        let heading = format!("# `{path}`");
        assert!(DOCUMENT.lines().any(|line| line.ends_with(&heading)), "docs/cli.md has no heading for {path}");
        let has_example = examples.iter().any(|example| example.starts_with(&path));
        assert!(has_example, "docs/cli.md has no example of {path}");
    }
}

#[test]
fn every_example_is_taken() {
    let examples = examples();
    assert!(examples.len() > 20);
    for example in examples {
        let parsed = Arguments::try_parse_from(&example);
        let is_help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
        if let Err(error) = parsed.map(drop)
            && !is_help(&error)
        {
            panic!("docs/cli.md: {example:?}: {error}");
        }
    }
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Arguments::command().debug_assert();
}
