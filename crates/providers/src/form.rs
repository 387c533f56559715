//! Form bodies: an event's data as flat `application/x-www-form-urlencoded`, for receivers that read form fields.
//!
//! The rules are those of the vendors whose receivers exist already: one pair for each top-level key, booleans
//! as 1 and 0, null as empty text. Numbers keep their digits as sent; nested values become compact JSON.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use url::form_urlencoded::Serializer;

use crate::message::PlanError;

/// `data` is the text of a JSON object. Pairs are in order of key; of a key that is there twice the last one counts.
pub(crate) fn encode(data: &str) -> Result<String, PlanError> {
    encode_with(data, &[], &[])
}

/// The same after pairs of our own: `ours` whatever the data says, `defaults` where it says nothing.
pub(crate) fn encode_with(data: &str, ours: &[(&str, &str)], defaults: &[(&str, &str)]) -> Result<String, PlanError> {
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(data).map_err(|_| PlanError::Data)?;
    let mut form = Serializer::new(String::with_capacity(data.len() * 2));
    for (key, value) in ours {
        fields.remove(*key);
        form.append_pair(key, value);
    }
    for (key, value) in defaults {
        if !fields.contains_key(*key) {
            form.append_pair(key, value);
        }
    }
    for (key, value) in fields {
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(text).map_err(|_| PlanError::Data)?;
                form.append_pair(&key, &text)
            }
            Some(b'{' | b'[') => form.append_pair(&key, &compact(text)),
            Some(b't') => form.append_pair(&key, "1"),
            Some(b'f') => form.append_pair(&key, "0"),
            Some(b'n') => form.append_pair(&key, ""),
            _ => form.append_pair(&key, text),
        };
    }
    Ok(form.finish())
}

/// Valid JSON without the white space between its tokens; texts and numbers stay as they are.
pub(crate) fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |c: &char| {
        let kept = in_text || !c.is_ascii_whitespace();
        if *c == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && *c == '\\' && !escaped;
        kept
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_level_keys_become_pairs() {
        let check = |data: &str, expected: Result<&str, PlanError>| {
            assert_eq!(encode(data), expected.map(str::to_owned), "{data}");
        };
        check("{}", Ok(""));
        check(r#"{"b":"x","a":1}"#, Ok("a=1&b=x"));
        check(r#"{"is_ok":false,"was_ok":true,"note":null,"empty":""}"#, Ok("empty=&is_ok=0&note=&was_ok=1"));
        check(r#"{"n":1.50,"e":1e400,"i":12345678901234567890123}"#, Ok("e=1e400&i=12345678901234567890123&n=1.50"));
        check(r#"{"text":"a b&c=ü\n\u00e9\"\\"}"#, Ok("text=a+b%26c%3D%C3%BC%0A%C3%A9%22%5C"));
        check(r#"{"ключ":"1","a[b]":"2"}"#, Ok("a%5Bb%5D=2&%D0%BA%D0%BB%D1%8E%D1%87=1"));
        check(
            r#"{"o": { "z" : [1, 2.0, "a b"], "y": {} }, "l": [ ]}"#,
            Ok("l=%5B%5D&o=%7B%22z%22%3A%5B1%2C2.0%2C%22a+b%22%5D%2C%22y%22%3A%7B%7D%7D"),
        );
        check(r#"{"a":1,"a":2}"#, Ok("a=2"));
        for wrong in ["", "[]", "1", "{", "{\"a\"}"] {
            check(wrong, Err(PlanError::Data));
        }
    }

    #[test]
    fn compacting_leaves_texts_alone() {
        let check = |json: &str, expected: &str| assert_eq!(compact(json), expected);
        check("[ 1 ,\t2 ]", "[1,2]");
        check(r#"{ "a b" : " \" \\" , "c" : "\\\" " }"#, r#"{"a b":" \" \\","c":"\\\" "}"#);
    }
}
