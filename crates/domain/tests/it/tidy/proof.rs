//! Each rule can fail: what it must find, and what it must leave alone, on small files in memory.

use super::rules::{self, Reached, Text};
use super::rust::{Source, modules, paths};
use super::texts;

fn source(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

fn text(path: &str, text: &str) -> Text {
    Text { path: path.to_owned(), text: text.to_owned() }
}

/// Every finding begins with the file, and there is one for each of `expected`.
fn check(findings: &[String], expected: &[&str]) {
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
    for (finding, start) in findings.iter().zip(expected) {
        assert!(finding.starts_with(start), "{finding}");
        assert!(finding.contains(": "), "{finding}: says nothing to do");
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = r##"// a
/* b /* c */ d */ let x = "e \" f"; let y = r#"g " h"#; let z = b'\''; let w: &'i str = "j
k"; let c = '"'; l"##;
    let taken = source("a.rs", text);
    let code: Vec<&str> = taken.code.split(|it: char| !it.is_alphanumeric()).filter(|it| it.len() == 1).collect();
    assert_eq!(code, ["x", "y", "r", "z", "b", "w", "i", "c", "l"]);
    assert_eq!(taken.code.lines().count(), text.lines().count());
    let strings: Vec<(usize, &str)> = taken.strings.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(strings, [(2, r#"e \" f"#), (2, r#"g " h"#), (2, r"\'"), (2, "j\nk"), (3, "\"")]);
}

#[test]
fn tests_are_told_from_what_is_shipped() {
    let text = "fn a() {}\n#[cfg(test)]\nuse x::{b};\n#[cfg(test)]\n#[rustfmt::skip]\nconst C: [u8; 2] = [1, 2];\n\
                #[cfg(any(test, feature = \"testing\"))]\npub mod d;\nfn e() {}\n#[cfg(test)]\nmod tests {\n fn f() { g() }\n}\nmod h;\n";
    let taken = source("a.rs", text);
    let left: String = taken.shipped.split_whitespace().collect();
    assert_eq!(left, "fna(){};fne(){}modh;");
    assert_eq!(modules(&taken.code), ["d", "h"]);
    assert_eq!(modules(&taken.shipped), ["h"]);
    assert_eq!(taken.shipped_lines(), 3);
}

#[test]
fn paths_are_taken_out_of_their_braces() {
    let code = "use std::{fmt, collections::{BTreeMap as Map, BTreeSet}};\nuse a::b;\nlet x = std::fs::read(y);";
    let named: Vec<(usize, String)> = paths(code).into_iter().filter(|(_, path)| path.contains("::")).collect();
    let expected = [
        (1, "std::fmt"),
        (1, "std::collections::BTreeMap"),
        (1, "std::collections::BTreeSet"),
        (2, "a::b"),
        (3, "std::fs::read"),
    ];
    assert_eq!(named, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn a_breach_of_a_wall_is_found() {
    let found = rules::breached_walls(
        rules::WALLS,
        &[
            source(
                "crates/domain/src/a.rs",
                "use std::{fmt, net::IpAddr};\n// tokio\nfn f() { std::time::SystemTime::now() }",
            ),
            source("crates/domain/src/b.rs", "use std::time::{Duration, Instant};\nconst A: &str = \"tokio\";"),
            source("crates/providers/src/a.rs", "#[cfg(test)]\nmod tests { use tokio::x; }\nuse std::fs;"),
            source("crates/engine/src/a.rs", "fn f() -> axum::Router {}\nuse tokio::time::Instant;"),
            source("crates/store/src/a.rs", "use hyper_util::x; use hyper::y;"),
            source("crates/server/src/a.rs", "use axum::x; use std::time::Instant;"),
        ],
    );
    check(
        &found,
        &[
            "crates/domain/src/a.rs:1 names std::net",
            "crates/domain/src/a.rs:3 names SystemTime",
            "crates/domain/src/b.rs:1 names Instant",
            "crates/providers/src/a.rs:3 names std::fs",
            "crates/engine/src/a.rs:1 names axum",
            "crates/store/src/a.rs:1 names hyper",
        ],
    );
}

#[test]
fn sql_outside_the_store_is_found() {
    let sql = "const A: &str = \"\n SELECT id FROM x\";\nconst B: &str = \"Select one\"; // DELETE FROM y";
    let found =
        rules::sql_outside_the_store(&[source("crates/engine/src/a.rs", sql), source("crates/store/src/a.rs", sql)]);
    check(&found, &["crates/engine/src/a.rs:1 holds SQL"]);
}

#[test]
fn a_provider_named_by_the_engine_is_found() {
    let list = source(
        "crates/providers/src/lib.rs",
        "pub fn all() -> &'static [&'static dyn Provider] {\n &[&webhook::Webhook, &email::Email]\n}\nfn x() { a::b }",
    );
    let modules = rules::provider_modules(&list);
    assert_eq!(modules, ["webhook", "email"]);
    let engine = "use providers::webhook;\nuse providers::{Provider, email::Email};\nfn f() { webhook::TIMEOUT }\nfn webhook() {}";
    let found = rules::providers_by_name(
        &modules,
        &[source("crates/engine/src/a.rs", engine), source("crates/server/src/a.rs", engine)],
    );
    check(&found, &["crates/engine/src/a.rs:1", "crates/engine/src/a.rs:2", "crates/engine/src/a.rs:3"]);
}

#[test]
fn faces_that_meet_are_found() {
    let found = rules::faces_that_meet(&[
        source("crates/server/src/api/mod.rs", "use crate::cli::x;\nuse crate::api::page;\nuse crate::http;"),
        source("crates/server/src/cli/a.rs", "use crate::{app, api};"),
        source("crates/server/src/dialects/one/map.rs", "use crate::dialects::two::wire;"),
        source("crates/server/src/dialects/two/wire.rs", "use crate::dialects::two::map;"),
        source("crates/server/src/dialects/mod.rs", "use crate::dialects::one::router;"),
        source("crates/server/src/app.rs", "use crate::{api, cli};"),
    ]);
    check(
        &found,
        &["crates/server/src/api/mod.rs:1", "crates/server/src/cli/a.rs:1", "crates/server/src/dialects/one/map.rs:1"],
    );
}

#[test]
fn a_backend_named_elsewhere_is_found() {
    let code = "use store::sqlite::{Options, SqliteStore};";
    let files = [
        "crates/server/src/app/backend.rs",
        "crates/server/src/cli/a.rs",
        "crates/store/src/a.rs",
        "crates/sim/src/a.rs",
    ];
    check(&rules::backends_by_name(&files.map(|path| source(path, code))), &["crates/server/src/cli/a.rs:1"]);
}

#[test]
fn a_dead_file_is_found() {
    let sources = [
        source("crates/a/src/lib.rs", "mod b;\npub mod c;\n#[cfg(test)]\nmod suite;\nmod inline { }"),
        source("crates/a/src/b.rs", "mod deep;\n#[cfg(test)]\nmod tests;"),
        source("crates/a/src/b/deep.rs", ""),
        source("crates/a/src/b/tests.rs", ""),
        source("crates/a/src/c/mod.rs", "// mod gone;"),
        source("crates/a/src/c/gone.rs", ""),
        source("crates/a/src/suite.rs", ""),
        source("crates/a/src/inline.rs", ""),
        source("crates/a/tests/it/main.rs", "mod x;"),
        source("crates/a/tests/it/x.rs", ""),
        source("crates/a/src/bin/tool.rs", ""),
    ];
    let reached = Reached::from_roots(&sources);
    check(&rules::dead_files(&sources, &reached), &["crates/a/src/c/gone.rs", "crates/a/src/inline.rs"]);
    for (path, is_test) in [
        ("crates/a/src/b/deep.rs", false),
        ("crates/a/src/b/tests.rs", true),
        ("crates/a/src/suite.rs", true),
        ("crates/a/tests/it/x.rs", true),
        ("crates/a/src/bin/tool.rs", false),
    ] {
        assert_eq!(reached.is_test(path), is_test, "{path}");
    }
}

#[test]
fn silent_and_long_files_are_found() {
    let silent = [source("a.rs", "use x;\n//! Late."), source("b.rs", "//! Says it."), source("c.rs", "//!\n")];
    check(&rules::silent_files(&silent), &["a.rs", "c.rs"]);
    let long =
        [source("a.rs", "x\nx\nx\n"), source("b.rs", "x\n#[cfg(test)]\nmod tests {\n}\n"), source("c.rs", "x\nx\nx\n")];
    check(
        &rules::long_files(&long, 2, &[("c.rs", "why"), ("b.rs", "was long")]),
        &["a.rs has 3 lines", "b.rs is no longer long"],
    );
}

#[test]
fn leftovers_are_found() {
    let code = "fn a() { todo!() }\n// todo!()\nconst A: &str = \"dbg!\";\n#[ignore = \"slow\"]\nstd::thread::sleep(x);\nmy_todo!();\n#[path = \"x.rs\"]";
    check(
        &rules::leftovers(&[source("a.rs", code)]),
        &["a.rs:1 has todo!", "a.rs:4 has #[ignore", "a.rs:5 has thread::sleep", "a.rs:7 has #[path"],
    );
}

#[test]
fn unpaired_migrations_are_found() {
    let check_all = |files: &[&str], expected: &[&str]| {
        let paths: Vec<String> = files.iter().map(|file| format!("crates/store/migrations/{file}")).collect();
        check(&rules::unpaired_migrations(&paths), expected);
    };
    check_all(&["sqlite/V1__first.sql", "sqlite/V2__more.sql"], &[]);
    check_all(&["sqlite/V1__first.sql", "postgres/V1__first.sql"], &[]);
    check_all(
        &["sqlite/V1__first.sql", "sqlite/V2__more.sql", "postgres/V1__first.sql"],
        &["crates/store/migrations/postgres lacks V2__more"],
    );
    check_all(
        &["sqlite/V1__first.sql", "postgres/V1__other.sql"],
        &["crates/store/migrations/postgres lacks V1__first"],
    );
    check_all(&["sqlite/V1__a.sql", "sqlite/V3__b.sql"], &["crates/store/migrations lacks number 2"]);
    check_all(&["sqlite/V1__a.sql", "sqlite/V1__b.sql"], &["crates/store/migrations/sqlite/V1__b.sql has the number"]);
    check_all(&["sqlite/first.sql"], &["crates/store/migrations/sqlite/first.sql is not named"]);
}

#[test]
fn broken_links_are_found() {
    let readme = "# A title, here\n[ok](docs/a.md) [gone](docs/b.md) [url](https://x/y) [self](#a-title-here) [no](#nothing)\n\
                  `[code](x.md)`\n```\n[fenced](x.md)\n```\n[part](docs/a.md#two) [none](docs/a.md#three)";
    let documents = [text("README.md", readme), text("docs/a.md", "## Two\n[up](../README.md) [out](c.md)")];
    let found = texts::broken_links(&documents, |path| ["README.md", "docs/a.md"].contains(&path));
    check(
        &found,
        &[
            "README.md:2 links to docs/b.md",
            "README.md:2 links to #nothing",
            "README.md:7 links to docs/a.md#three",
            "docs/a.md:2 links to c.md",
        ],
    );
}

#[test]
fn manifests_are_checked() {
    let good = "[package]\nlicense.workspace = true\n[lints]\nworkspace = true\n[dependencies]\ndomain.workspace = true\n\
                serde.workspace = true # wire types\n";
    let bad = "[package]\nversion = \"1\"\n[dependencies]\nbytes.workspace = true\nurl = \"2\" #\n# a remark\n\n[dev-dependencies]\n\
               x = { workspace = true }\n[features]\ntesting = []\n";
    let manifests = [text("crates/a/Cargo.toml", good), text("crates/b/Cargo.toml", bad)];
    check(
        &texts::unexplained_dependencies(&manifests, &["domain".to_owned()]),
        &["crates/b/Cargo.toml:4", "crates/b/Cargo.toml:5", "crates/b/Cargo.toml:9"],
    );
    check(&texts::unlicensed(&manifests), &["crates/b/Cargo.toml does not take", "crates/b/Cargo.toml does not take"]);
}

#[test]
fn places_of_one_machine_are_found() {
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"registry+https://mirror.example/\"\n";
    check(&texts::foreign_sources(&text("Cargo.lock", lock)), &["Cargo.lock:2"]);
    let config = "[env]\nA = \"b\"\n[source.crates-io]\nreplace-with = \"mirror\"\n[registries.mirror]\n";
    check(&texts::mirrors(&[text(".cargo/config.toml", config)]), &[".cargo/config.toml:3", ".cargo/config.toml:5"]);
    let home = concat!("/ho", "me/someone");
    let files =
        [text("a.md", &format!("fine\nsee {home}/x")), text("b.md", &format!("https://example.com{home} $HOME{home}"))];
    check(&texts::machine_paths(&files), &["a.md:2"]);
}
