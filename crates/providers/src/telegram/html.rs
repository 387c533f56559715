//! Telegram's HTML, read so that nothing is an error: a tag that Telegram does not know is text.

use super::rich::{Rich, Style};

pub(super) fn read(text: &str) -> Rich {
    let mut rich = Rich::default();
    // What is open: its tag, its style, and where it began.
    let mut open: Vec<(String, Style, usize)> = Vec::new();
    let mut rest = text;
    while let Some(found) = rest.find(['<', '&']) {
        rich.push(&rest[..found]);
        rest = &rest[found..];
        if let Some((tag, after)) = tag(rest) {
            let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            if let Some(name) = name.strip_prefix('/') {
                if let Some(position) = open.iter().rposition(|(opened, ..)| opened.eq_ignore_ascii_case(name)) {
                    for (_, style, start) in open.drain(position..).rev() {
                        rich.style_from(start, style);
                    }
                    rest = after;
                    continue;
                }
            } else if let Some(style) = style(name, attributes) {
                open.push((name.to_owned(), style, rich.text.len()));
                rest = after;
                continue;
            } else if matches!(name.to_ascii_lowercase().as_str(), "br" | "br/") {
                rich.push("\n");
                rest = after;
                continue;
            }
        } else if let Some((character, after)) = reference(rest) {
            rich.push(character.encode_utf8(&mut [0; 4]));
            rest = after;
            continue;
        }
        rich.push(&rest[..1]);
        rest = &rest[1..];
    }
    rich.push(rest);
    for (_, style, start) in open.into_iter().rev() {
        rich.style_from(start, style);
    }
    rich
}

/// What stands in the angle brackets at the beginning, and what follows them.
fn tag(text: &str) -> Option<(&str, &str)> {
    let (tag, after) = text.strip_prefix('<')?.split_once('>')?;
    (!tag.contains('<')).then_some((tag.trim(), after))
}

fn style(name: &str, attributes: &str) -> Option<Style> {
    match name.to_ascii_lowercase().as_str() {
        "b" | "strong" => Some(Style::Bold),
        "i" | "em" => Some(Style::Italic),
        "u" | "ins" => Some(Style::Underline),
        "s" | "strike" | "del" => Some(Style::Strikethrough),
        "tg-spoiler" => Some(Style::Spoiler),
        "code" => Some(Style::Code),
        "pre" => Some(Style::Pre),
        "blockquote" => Some(Style::Quote),
        "a" => {
            let value = attributes.trim().strip_prefix("href=")?;
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let target = value[1..].split(quote).next()?;
            Style::link(&read(target).text)
        }
        _ => None,
    }
}

/// A character reference at the beginning, and what follows it.
fn reference(text: &str) -> Option<(char, &str)> {
    let (name, after) = text.strip_prefix('&')?.split_once(';')?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| !c.is_control() || *c == '\n')?
        }
    };
    Some((character, after))
}
