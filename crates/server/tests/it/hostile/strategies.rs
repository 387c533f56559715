//! What somebody may send who means no good, or whose program is broken: pieces that parsers stumble over, put together.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// A text of any kind; most are short.
pub(crate) fn text() -> BoxedStrategy<String> {
    let pieces = [
        "",
        " ",
        "a",
        "invoice.paid",
        "*",
        ".*",
        "..",
        "/",
        "%",
        "%00",
        "%ff",
        "&",
        "=",
        ";",
        ",",
        "\"",
        "'",
        "\\",
        "\0",
        "\r\n",
        "\t",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{feff}",
        "ä",
        "😀",
        "-",
        "-1",
        "0",
        "9007199254740992",
        "99999999999999999999",
        "1e309",
        "NaN",
        "null",
        "true",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "evt_",
        "evt_1",
        "<script>",
        "://",
        "@",
        "[::1]",
        "2026-11-22T07:00:00Z",
        "2026-99-99T99:99:99+99:99",
        "Bearer ",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "whsec_",
        "********",
        "postrider.",
        "and",
        "|",
        "for x in",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(pieces.to_vec()).prop_map(ToOwned::to_owned),
        2 => any::<String>().prop_map(|text| text.chars().take(12).collect()),
        1 => (prop::sample::select(vec!["[", "(", "{", "x", "ä", "not ", "-", "{{", "\u{0}", "a.", ","]), 1..3000_usize)
            .prop_map(|(one, count)| one.repeat(count)),
    ];
    vec(piece, 0..5).prop_map(|pieces| pieces.concat()).boxed()
}

/// Any JSON, also with the names that the API knows.
pub(crate) fn json() -> BoxedStrategy<Value> {
    let numbers = vec![i64::MIN, -1, 0, 1, 2, 1000, (1 << 53) - 1, 1 << 53, i64::MAX];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(numbers).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let names = vec![
        "type",
        "data",
        "severity",
        "channels",
        "tenant",
        "config",
        "url",
        "headers",
        "secret",
        "format",
        "to",
        "filter",
        "event",
        "delays_seconds",
        "groups",
        "variables",
        "key",
        "specversion",
        "idempotency_key",
    ];
    let name = prop_oneof![prop::sample::select(names).prop_map(ToOwned::to_owned), text()];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name.clone(), inner), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
    .boxed()
}

/// What is done to a good body. Places are counted modulo those that there are.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(usize, Value),
    Remove(usize),
    Add(usize, String, Value),
}

pub(crate) fn changes() -> BoxedStrategy<Vec<Change>> {
    let change = prop_oneof![
        4 => (any::<usize>(), json()).prop_map(|(place, value)| Change::Put(place, value)),
        1 => any::<usize>().prop_map(Change::Remove),
        1 => (any::<usize>(), text(), json()).prop_map(|(place, name, value)| Change::Add(place, name, value)),
    ];
    vec(change, 1..3).boxed()
}

/// Bytes that are no JSON, or nearly so.
pub(crate) fn garbage() -> BoxedStrategy<Vec<u8>> {
    let deep = (prop::sample::select(vec!["[", "{\"a\":", "[{\"data\":"]), 1..5000_usize);
    prop_oneof![
        vec(any::<u8>(), 0..64),
        text().prop_map(String::into_bytes),
        deep.prop_map(|(one, count)| one.repeat(count).into_bytes()),
        (json(), any::<prop::sample::Index>()).prop_map(|(value, cut)| {
            let mut bytes = value.to_string().into_bytes();
            bytes.truncate(cut.index(bytes.len().max(1)));
            bytes
        }),
    ]
    .boxed()
}

/// The value of a header: what HTTP lets through.
pub(crate) fn header() -> BoxedStrategy<String> {
    text().prop_map(|text| text.chars().filter(|c| !c.is_ascii_control()).take(2000).collect()).boxed()
}

/// A part of a URL, encoded as far as it must be.
pub(crate) fn url_part() -> BoxedStrategy<String> {
    let encoded = |text: String| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let short = |text: String| text.chars().take(500).collect::<String>();
    prop_oneof![
        4 => text().prop_map(move |text| encoded(short(text))),
        1 => prop::sample::select(vec!["%ff", "%", "%zz", "%00", "a%2fb", "..", "%c3%28", "+", "1"]).prop_map(ToOwned::to_owned),
    ]
    .boxed()
}
