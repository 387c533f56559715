//! What a tenant may write in filters and templates, so that no text of theirs can hold up the server.
//!
//! The template engine counts instructions (fuel), but one instruction may do any amount of work: `"x" * 100000000` is
//! one. So what makes large values of small ones is refused before anything is compiled, and of the built-in filters
//! only those are there whose output is no larger than their input, with `join` and `tojson` in bounded forms. What is
//! left takes time in proportion to the event and the text.

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, tests};

/// The largest value that a template may make, in bytes.
pub(crate) const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Loops in loops: each multiplies the work of the one around it.
const LOOPS_DEEP_MAX: usize = 3;

/// An environment with fuel and what tenants may use. A missing name is undefined, which is false and prints nothing.
pub(crate) fn environment(fuel: u64) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(fuel));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("items", filters::items);
    environment.add_filter("join", join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("safe", filters::safe);
    environment.add_filter("title", filters::title);
    environment.add_filter("tojson", to_json);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("urlencode", filters::urlencode);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("string", tests::is_string);
    environment.add_test("undefined", tests::is_undefined);
    environment
}

/// Checks an expression before it is compiled. The error says what may not be in it.
pub(crate) fn check_expression(text: &str) -> Result<(), String> {
    match growing_operator(text) {
        Some(operator) => Err(format!("may compare values but not calculate: '{operator}' is not available")),
        None => Ok(()),
    }
}

/// Checks a template before it is compiled. The error says what may not be in it, and in which line.
pub(crate) fn check_template(text: &str) -> Result<(), String> {
    let mut loops_deep = 0_usize;
    for (position, tag) in tags(text) {
        let line = text[..position].matches('\n').count() + 1;
        if let Some(operator) = growing_operator(tag) {
            return Err(format!(
                "line {line}: '{operator}' is not available: templates insert values and do not calculate"
            ));
        }
        let word = tag.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default();
        match word {
            "set" | "with" | "macro" | "call" | "filter" => {
                return Err(format!("line {line}: '{word}' is not available; there are if and for"));
            }
            "for" => loops_deep += 1,
            "endfor" => loops_deep = loops_deep.saturating_sub(1),
            _ => {}
        }
        if loops_deep > LOOPS_DEEP_MAX {
            return Err(format!("line {line}: loops may be {LOOPS_DEEP_MAX} deep"));
        }
    }
    Ok(())
}

/// The first operator that can make a large value of small ones. White space control (`-`, `+` at the edges of a tag) is
/// none.
fn growing_operator(expression: &str) -> Option<char> {
    let outside = outside_quotes(expression.trim_matches(['+', '-']));
    outside.map(|(_, character)| character).find(|character| matches!(character, '*' | '~' | '+'))
}

/// The characters that stand in no quotes, with their positions; the quotes are left out.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut is_escaped = false;
    text.char_indices().filter(move |(_, character)| {
        match (quote, *character) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), character) if character == open => quote = None,
            (None, character @ ('"' | '\'')) => quote = Some(character),
            (None, _) => return true,
            (Some(_), _) => {}
        }
        false
    })
}

/// What stands between `{{` and `}}` or `{%` and `%}`, with the position where it begins. Quotes are respected; an open
/// tag reaches to the end.
fn tags(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = &text[from..];
        let open = rest.find("{{").into_iter().chain(rest.find("{%")).min()?;
        let begin = from + open + 2;
        let end = begin + end_of_tag(&text[begin..]);
        from = (end + 2).min(text.len());
        while !text.is_char_boundary(from) {
            from += 1;
        }
        Some((begin, &text[begin..end]))
    })
}

fn end_of_tag(inside: &str) -> usize {
    let closes = |(position, _): &(usize, char)| {
        let rest = &inside[*position..];
        rest.starts_with("}}") || rest.starts_with("%}")
    };
    outside_quotes(inside).find(closes).map_or(inside.len(), |(position, _)| position)
}

/// `join` with a bound.
fn join(values: &Value, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut out = String::new();
    for (position, value) in values.try_iter()?.enumerate() {
        if position > 0 {
            out.push_str(&separator);
        }
        match value.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&json(&value)?),
        }
        if out.len() > OUTPUT_BYTES_MAX {
            return Err(too_large());
        }
    }
    Ok(out)
}

/// `tojson` on one line, with a bound; what it makes is written as it is.
fn to_json(value: &Value) -> Result<Value, Error> {
    json(value).map(Value::from_safe_string)
}

/// A value as JSON, bounded while it is written: a value may hold another many times over.
pub(crate) fn json(value: &Value) -> Result<String, Error> {
    let mut out = Bounded::default();
    serde_json::to_writer(&mut out, value).map_err(|_| too_large())?;
    String::from_utf8(out.0).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("the output is larger than {OUTPUT_BYTES_MAX} bytes"))
}

/// Output up to [`OUTPUT_BYTES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Bounded(pub(crate) Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(std::io::Error::other(format!("the output is larger than {OUTPUT_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn what_grows_is_refused_in_expressions() {
        for fine in ["a > 1 and b == 'x * y + z ~'", r#"a == "it's \" + " or not c"#, "a - 1 > -2"] {
            assert_eq!(check_expression(fine), Ok(()), "{fine}");
        }
        for growing in ["([1] * 100000000) | length > 0", "'x' ~ a", "a + b > 1", r"'\'' * 9", "2 ** 9"] {
            assert!(check_expression(growing).unwrap_err().contains("not available"), "{growing}");
        }
    }

    #[test]
    fn what_grows_is_refused_in_templates() {
        for fine in [
            "* plain + text ~ {{ name }} * ",
            "{%- for x in list +%}{{ x | upper }}{% endfor %}",
            "{{ '}} + ' }} + {{ a }}",
            "é {{ a }} é",
            "{{",
        ] {
            assert_eq!(check_template(fine), Ok(()), "{fine}");
        }
        for (growing, expected) in [
            ("a\nb {{ 'x' * 100000000 }}", "line 2: '*'"),
            ("{{ a ~ a }}", "'~'"),
            ("{% if a + b %}{% endif %}", "'+'"),
            ("{%- set x = [a, a] %}", "'set'"),
            ("{% with x = 1 %}{% endwith %}", "'with'"),
            (&"{% for x in [[a, a]] %}".repeat(4), "3 deep"),
        ] {
            let error = check_template(growing).unwrap_err();
            assert!(error.contains(expected), "{growing}: {error}");
        }
    }

    #[test]
    fn output_is_bounded_while_it_is_made() {
        let mut value = Value::from("0123456789");
        for _ in 0..64 {
            value = Value::from(vec![value.clone(), value]);
        }
        assert!(json(&value).is_err());
        let many = Value::from(vec!["x"; 10_000]);
        assert!(join(&many, Some("y".repeat(1000))).is_err());
        assert_eq!(join(&Value::from(vec![1, 2]), Some(", ".to_owned())).unwrap(), "1, 2");
    }
}
