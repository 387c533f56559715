//! Telegram's two Markdowns, read so that nothing is an error: what is not closed or not known is text.
//!
//! A backslash makes the next special character ordinary everywhere, also within bold, code and links. That is more than
//! Telegram's older Markdown knows, and what makes escaped values safe wherever a template puts them.

use super::rich::{Rich, Style};
use crate::markup::{TELEGRAM_ESCAPES, TELEGRAM_V2_ESCAPES};

/// What one of the two knows.
pub(super) struct Dialect {
    /// The longer ones first.
    markers: &'static [(&'static str, Style)],
    escapes: &'static str,
}

pub(super) const OLDER: Dialect =
    Dialect { markers: &[("*", Style::Bold), ("_", Style::Italic)], escapes: TELEGRAM_ESCAPES };

pub(super) const V2: Dialect = Dialect {
    markers: &[
        ("__", Style::Underline),
        ("||", Style::Spoiler),
        ("*", Style::Bold),
        ("_", Style::Italic),
        ("~", Style::Strikethrough),
    ],
    escapes: TELEGRAM_V2_ESCAPES,
};

const FENCE: &str = "```";
const CODE: &str = "`";

pub(super) fn read(text: &str, dialect: &Dialect) -> Rich {
    let mut rich = Rich::default();
    // What is open: its marker, its style, and where it began.
    let mut open: Vec<(&str, Style, usize)> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((escaped, after)) = dialect.escaped(rest) {
            rich.push(escaped);
            rest = after;
        } else if let Some((code, style, after)) = dialect.code(rest) {
            rich.push_as(style, &code);
            rest = after;
        } else if let Some((label, style, after)) = dialect.link(rest) {
            rich.push_as(style, &label);
            rest = after;
        } else if let Some((marker, style)) = dialect.markers.iter().find(|(marker, _)| rest.starts_with(marker)) {
            let after = &rest[marker.len()..];
            if let Some(position) = open.iter().position(|(opened, ..)| opened == marker) {
                for (_, style, start) in open.drain(position..).rev() {
                    rich.style_from(start, style);
                }
            } else if dialect.find(after, marker).is_some() {
                open.push((marker, style.clone(), rich.text.len()));
            } else {
                rich.push(marker);
            }
            rest = after;
        } else {
            rich.push(&rest[..first.len_utf8()]);
            rest = &rest[first.len_utf8()..];
        }
    }
    for (_, style, start) in open.into_iter().rev() {
        rich.style_from(start, style);
    }
    rich
}

impl Dialect {
    /// The character that a backslash makes ordinary, and what follows.
    fn escaped<'a>(&self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let after = text.strip_prefix('\\')?;
        let length = after.chars().next().filter(|c| self.escapes.contains(*c))?.len_utf8();
        Some(after.split_at(length))
    }

    /// Where `marker` stands and is not escaped.
    fn find(&self, text: &str, marker: &str) -> Option<usize> {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if let Some((_, after)) = self.escaped(rest) {
                at = text.len() - after.len();
            } else if rest.starts_with(marker) {
                return Some(at);
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        None
    }

    fn unescaped(&self, mut text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        while let Some(first) = text.chars().next() {
            let (piece, after) = self.escaped(text).unwrap_or_else(|| text.split_at(first.len_utf8()));
            out.push_str(piece);
            text = after;
        }
        out
    }

    fn code<'a>(&self, text: &'a str) -> Option<(String, Style, &'a str)> {
        let (marker, style) = if text.starts_with(FENCE) { (FENCE, Style::Pre) } else { (CODE, Style::Code) };
        let inside = text.strip_prefix(marker)?;
        let end = self.find(inside, marker).filter(|end| *end > 0)?;
        let mut code = &inside[..end];
        // A first line of one word names the language.
        if style == Style::Pre
            && let Some((word, after)) = code.split_once('\n')
            && word.chars().all(|c| c.is_ascii_alphanumeric())
        {
            code = after;
        }
        Some((self.unescaped(code), style, &inside[end + marker.len()..]))
    }

    fn link<'a>(&self, text: &'a str) -> Option<(String, Style, &'a str)> {
        let inside = text.strip_prefix('[')?;
        let label_end = self.find(inside, "]")?;
        let target = inside[label_end + 1..].strip_prefix('(')?;
        let target_end = self.find(target, ")")?;
        let style = Style::link(&self.unescaped(&target[..target_end]))?;
        Some((self.unescaped(&inside[..label_end]), style, &target[target_end + 1..]))
    }
}
