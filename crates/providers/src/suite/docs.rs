//! `docs/providers.md` against the SPECs: the tables there are written by this file.

use std::fmt::Write as _;
use std::time::Duration;

use crate::spec::FieldKind;
use crate::{Field, Provider, all};

const DOCS: &str = include_str!("../../../../docs/providers.md");

/// Begins what is written from the SPECs; before it stands what people wrote.
const START: &str = "<!-- From here on written by the SPECs: see `suite/docs.rs`. -->\n";

#[test]
fn the_docs_are_those_of_the_specs() {
    let expected: String = all().iter().map(|provider| section(*provider)).collect();
    let written = DOCS.split_once(START).map_or("", |(_, written)| written);
    assert!(written == expected, "docs/providers.md must go on after its mark with this:\n{expected}");
}

fn section(provider: &dyn Provider) -> String {
    let spec = provider.spec();
    let mut out = format!("\n## {}\n\n`{}`\n\n| Field | | |\n|---|---|---|\n", spec.title, spec.name);
    for field in spec.fields {
        let _ = writeln!(out, "| `{}` | {} | {} |", field.key, marks(field), field.help);
    }
    for size in spec.sizes {
        let _ = writeln!(out, "{}- At most {} {}: {}.", first(spec.sizes, size), size.max, size.unit.name(), size.what);
    }
    for rate in spec.rates {
        let messages = if rate.count == 1 { "message" } else { "messages" };
        let begin = if spec.sizes.is_empty() { first(spec.rates, rate) } else { "" };
        let _ = writeln!(
            out,
            "{begin}- {} {messages} in {} for each {}.",
            rate.count,
            time(rate.window),
            rate.scope.name()
        );
    }
    let forms: Vec<String> = provider.pasted().iter().map(|form| written(form.shown)).collect();
    if !forms.is_empty() {
        let _ = write!(out, "\nAs one URL: {}.\n", forms.join("; "));
    }
    if let Some(url) = spec.base_url {
        let setting = format!("POSTRIDER_PROVIDERS__{}__BASE_URL", spec.name.to_uppercase());
        let _ = write!(out, "\nThe API is at <{url}>, or where `{setting}` says.\n");
    }
    out
}

fn marks(field: &Field) -> String {
    let kind = match field.kind {
        FieldKind::Choice([first, ..]) => format!("`{first}`"),
        _ if field.required => "required".to_owned(),
        _ => "optional".to_owned(),
    };
    if field.secret { format!("{kind}, secret") } else { kind }
}

/// A form with its URLs set as code.
fn written(form: &str) -> String {
    let is_url = |word: &&str| word.contains("://");
    let set = |word: &str| {
        let bare = word.trim_end_matches(',');
        if is_url(&word) { format!("`{bare}`{}", &word[bare.len()..]) } else { word.to_owned() }
    };
    form.split(' ').map(set).collect::<Vec<_>>().join(" ")
}

/// An empty line before a list.
fn first<T: PartialEq>(list: &[T], item: &T) -> &'static str {
    if list.first() == Some(item) { "\n" } else { "" }
}

fn time(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
