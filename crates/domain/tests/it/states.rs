//! `docs/states.md` and the code tell the same story: same edges, same causes, nothing drawn that cannot happen.

use std::collections::BTreeSet;

use domain::delivery::{EDGES, State};

const DOCUMENT: &str = include_str!("../../../../docs/states.md");

/// What a drawing says: `from --> to: cause`, with `[*]` for the beginning and the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Drawing {
    edges: BTreeSet<(String, String, String)>,
    begins: BTreeSet<String>,
    ends: BTreeSet<String>,
}

impl Drawing {
    /// Reads the lines between the fences of the first mermaid block.
    fn parse(document: &str) -> Self {
        let block = document.lines().skip_while(|line| *line != "```mermaid").skip(1);
        let mut drawing = Self::default();
        for line in block.take_while(|line| *line != "```") {
            let Some((from, rest)) = line.trim().split_once(" --> ") else { continue };
            let (to, cause) = rest.split_once(": ").unwrap_or((rest, ""));
            match (from, to) {
                ("[*]", to) => drop(drawing.begins.insert(to.to_owned())),
                (from, "[*]") => drop(drawing.ends.insert(from.to_owned())),
                (from, to) => drop(drawing.edges.insert((from.to_owned(), cause.to_owned(), to.to_owned()))),
            }
        }
        drawing
    }

    fn of_the_code() -> Self {
        let edge = |(from, cause, to): &(State, domain::delivery::Cause, State)| {
            (from.name().to_owned(), cause.name().to_owned(), to.name().to_owned())
        };
        let has_way_out = |state: &State| EDGES.iter().any(|(from, _, _)| from == state);
        Self {
            edges: EDGES.iter().map(edge).collect(),
            begins: BTreeSet::from([State::Pending.name().to_owned()]),
            ends: State::ALL.iter().filter(|state| !has_way_out(state)).map(|state| state.name().to_owned()).collect(),
        }
    }
}

/// The first cells of the table under a heading, without their backquotes.
fn first_cells(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.lines().skip_while(|line| *line != heading).skip(1);
    let rows = section.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('`').nth(1)).map(ToOwned::to_owned).collect()
}

#[test]
fn the_edges_drawn_are_those_of_the_code() {
    let (drawn, coded) = (Drawing::parse(DOCUMENT), Drawing::of_the_code());
    let missing: Vec<_> = coded.edges.difference(&drawn.edges).collect();
    assert!(missing.is_empty(), "docs/states.md lacks edges of domain::delivery::EDGES; draw them: {missing:?}");
    let invented: Vec<_> = drawn.edges.difference(&coded.edges).collect();
    assert!(invented.is_empty(), "docs/states.md draws edges that domain::delivery::EDGES lacks: {invented:?}");
    assert_eq!(drawn, coded, "docs/states.md: the arrows from and to [*] are wrong");
}

#[test]
fn every_state_and_cause_is_explained() {
    let states: BTreeSet<String> = State::ALL.iter().map(|state| state.name().to_owned()).collect();
    assert_eq!(first_cells(DOCUMENT, "## States"), states, "docs/states.md, table of states");
    let causes: BTreeSet<String> = EDGES.iter().map(|(_, cause, _)| cause.name().to_owned()).collect();
    assert_eq!(first_cells(DOCUMENT, "## Causes"), causes, "docs/states.md, table of causes");
}

#[test]
fn a_wrong_drawing_is_seen() {
    let drawing =
        Drawing::parse("```mermaid\nstateDiagram-v2\n  [*] --> a\n  a --> b: give up\n  b --> [*]\n```\nc --> d: x");
    assert_eq!(drawing.edges, BTreeSet::from([("a".to_owned(), "give up".to_owned(), "b".to_owned())]));
    assert_eq!((drawing.begins.len(), drawing.ends.len()), (1, 1));
    let missing = DOCUMENT.replacen("    dead --> pending: retry\n", "", 1);
    assert_ne!(Drawing::parse(&missing), Drawing::of_the_code());
    assert_eq!(first_cells("# A\n| `x` | y |\n## B\n| `z` | y |", "# A"), BTreeSet::from(["x".to_owned()]));
}
