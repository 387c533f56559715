//! Text from the wire made safe for a terminal: no escape sequence, line break or direction mark reaches it raw.
//!
//! A sender must not be able to move the cursor, forge a line of ours or hide what stands there.

use std::fmt::Write;

/// The longest line shown, in characters; what is cut away is counted.
const LINE_CHARS_MAX: usize = 200;

/// One line of at most 200 characters, with every harmful character shown as `\u{..}`.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(LINE_CHARS_MAX * 4));
    let mut characters = text.chars();
    for character in characters.by_ref().take(LINE_CHARS_MAX) {
        if is_harmful(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    let more = characters.count();
    if more > 0 {
        // Writing to a String cannot fail.
        let _ = write!(safe, " ... {more} more characters");
    }
    safe
}

/// JSON with every harmful character as `\uXXXX`. Valid JSON has such characters in strings only, where this means the
/// same text.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Control characters (C0, DEL, C1), and the invisible ones that reorder, break or join text.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: &str) {
        assert_eq!(line(input), expect);
    }

    #[test]
    fn harmful_characters_are_shown_and_not_sent() {
        check("plain, żółw, 日本", "plain, żółw, 日本");
        check("\u{1b}[2Jgone", "\\u{1b}[2Jgone");
        check("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c");
        check("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m");
        check("\u{202e}txt.exe", "\\u{202e}txt.exe");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let long = "x".repeat(LINE_CHARS_MAX + 5);
        assert!(line(&long).ends_with("x ... 5 more characters"));
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "{\"a\":\"\u{9b}31m \u{e0001}\"}";
        let safe = json(text);
        assert!(safe.is_ascii(), "{safe}");
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(text).unwrap(), serde_json::from_str(&safe).unwrap());
        assert_eq!(before, after);
    }
}
