//! What the house promises of itself and Cargo cannot keep: walls, dead files, links, manifests.
//!
//! Each test here reads the whole repository and applies one rule of [`rules`] or [`texts`]. That each rule can fail is
//! shown in [`proof`]. When one of them stops you, the message says which file and what to do; the reasons are in
//! `ARCHITECTURE.md` and `CONTRIBUTING.md`.

mod proof;
mod repository;
mod rules;
mod rust;
mod texts;

use repository::{Repository, exists};

/// Lines of a file without its tests. Past this its owners regret it.
const FILE_LINES_MAX: usize = 600;

/// Files that may be longer, with their reasons.
const LONG_FILES: &[(&str, &str)] = &[];

fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n\n{}\n", findings.join("\n"));
}

#[test]
fn the_walls_stand() {
    none(&rules::breached_walls(rules::WALLS, &Repository::this().sources));
}

#[test]
fn sql_stays_in_the_store() {
    none(&rules::sql_outside_the_store(&Repository::this().sources));
}

#[test]
fn the_engine_knows_no_provider_by_name() {
    let repository = Repository::this();
    let modules = rules::provider_modules(repository.source("crates/providers/src/lib.rs"));
    assert!(modules.contains(&"webhook".to_owned()), "the list of providers was not found: {modules:?}");
    none(&rules::providers_by_name(&modules, &repository.sources));
}

#[test]
fn faces_do_not_meet() {
    none(&rules::faces_that_meet(&Repository::this().sources));
}

#[test]
fn only_the_composition_root_names_a_backend() {
    none(&rules::backends_by_name(&Repository::this().sources));
}

#[test]
fn every_file_is_a_module() {
    let repository = Repository::this();
    none(&rules::dead_files(&repository.sources, &repository.reached));
}

#[test]
fn every_file_says_what_it_is() {
    none(&rules::silent_files(&Repository::this().sources));
}

#[test]
fn files_stay_short() {
    none(&rules::long_files(&Repository::this().sources, FILE_LINES_MAX, LONG_FILES));
}

#[test]
fn nothing_is_left_over() {
    none(&rules::leftovers(&Repository::this().sources));
}

#[test]
fn migrations_are_paired() {
    let paths: Vec<String> = Repository::this().ending(".sql").into_iter().map(|text| text.path).collect();
    assert!(!paths.is_empty(), "no migration was found");
    none(&rules::unpaired_migrations(&paths));
}

#[test]
fn links_in_documents_lead_somewhere() {
    none(&texts::broken_links(&Repository::this().ending(".md"), exists));
}

#[test]
fn every_dependency_says_why() {
    let (manifests, members) = Repository::this().manifests();
    none(&texts::unexplained_dependencies(&manifests, &members));
}

#[test]
fn every_crate_is_licensed_and_linted() {
    let repository = Repository::this();
    none(&texts::unlicensed(&repository.manifests().0));
    assert!(repository.text("Cargo.toml").text.contains("license = \"MIT OR Apache-2.0\""), "Cargo.toml: licence");
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(!repository.text(licence).text.is_empty(), "{licence} is empty");
    }
}

#[test]
fn packages_come_from_the_public_registry() {
    let repository = Repository::this();
    none(&texts::foreign_sources(repository.text("Cargo.lock")));
    none(&texts::mirrors(&repository.ending(".cargo/config.toml")));
}

#[test]
fn no_file_speaks_of_a_machine() {
    none(&texts::machine_paths(&Repository::this().everything()));
}
