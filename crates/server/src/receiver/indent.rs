//! JSON spread over lines, with its keys in their order and its numbers as they were written.
//!
//! It works on the text instead of a parsed value, which would sort the keys and round the numbers, and it stops at the
//! bound: a body of a mebibyte costs no more than its first lines.

use serde_json::value::RawValue;

/// The first lines of a body, at most `lines_max`, and whether there were more. `None` when it is not JSON.
pub(super) fn lines(body: &[u8], lines_max: usize) -> Option<(Vec<String>, bool)> {
    let text: &RawValue = serde_json::from_slice(body).ok()?;
    let mut page = Page { lines: Vec::new(), line: String::new(), depth: 0, lines_max };
    page.spread(text.get());
    let more = page.lines.len() > lines_max;
    page.lines.truncate(lines_max);
    Some((page.lines, more))
}

struct Page {
    lines: Vec<String>,
    line: String,
    depth: usize,
    lines_max: usize,
}

impl Page {
    /// Spreads valid JSON; stops one line past the bound.
    fn spread(&mut self, text: &str) {
        let (mut in_string, mut escaped) = (false, false);
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            if self.lines.len() > self.lines_max {
                return;
            }
            if in_string {
                self.line.push(character);
                in_string = escaped || character != '"';
                escaped = !escaped && character == '\\';
                continue;
            }
            match character {
                ' ' | '\t' | '\r' | '\n' => {}
                '{' | '[' => {
                    self.line.push(character);
                    while rest.next_if(char::is_ascii_whitespace).is_some() {}
                    if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                        self.line.push(close);
                    } else {
                        self.depth += 1;
                        self.end_line();
                    }
                }
                '}' | ']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.end_line();
                    self.line.push(character);
                }
                ',' => {
                    self.line.push(',');
                    self.end_line();
                }
                ':' => self.line.push_str(": "),
                other => {
                    in_string = other == '"';
                    self.line.push(other);
                }
            }
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        let next = "  ".repeat(self.depth);
        self.lines.push(std::mem::replace(&mut self.line, next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: &str) {
        let (lines, more) = lines(input.as_bytes(), 40).unwrap();
        assert_eq!(lines.join("\n"), expect, "{input}");
        assert!(!more);
    }

    #[test]
    fn structure_is_spread_and_text_is_kept() {
        check("{}", "{}");
        check(" [ ] ", "[]");
        check("12.50", "12.50");
        check(r#"{"z":1,"a":[true, null]}"#, "{\n  \"z\": 1,\n  \"a\": [\n    true,\n    null\n  ]\n}");
        check(r#"{"a":"{\"x\":[1,2]}\\"}"#, "{\n  \"a\": \"{\\\"x\\\":[1,2]}\\\\\"\n}");
    }

    #[test]
    fn what_is_not_json_is_left_to_the_caller() {
        for wrong in ["", "{", "a=b", "{} {}", "\u{1b}"] {
            assert!(lines(wrong.as_bytes(), 40).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_bound_holds_for_any_depth() {
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        let (lines, more) = lines(deep.as_bytes(), 40).unwrap();
        assert_eq!(lines.len(), 40);
        assert!(more);
    }
}
