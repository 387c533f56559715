//! Markups: how a text is written so that it stands as it is, whatever it holds.
//!
//! An escaped text opens no formatting, makes no link with another label, and calls nobody. What a template itself writes
//! is its author's and stays. Start at [`Markup::value`], which is what templates insert.

use std::fmt::Write as _;

use url::{Position, Url};

/// Written after a character that would begin something: people do not see it, and parsers do.
const BREAK: char = '\u{200b}';

/// What a template writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    /// Values stand in JSON texts.
    Json,
    /// Values stand between tags or in quoted attributes.
    Html,
    /// Values stand as they are.
    Plain,
    /// Slack's `mrkdwn`.
    SlackMrkdwn,
    DiscordMarkdown,
    /// Telegram's older Markdown.
    TelegramMarkdown,
    TelegramMarkdownV2,
    /// The Markdown of adaptive cards.
    TeamsMarkdown,
    /// Google Chat's texts.
    ChatMarkup,
    /// The HTML of Google Chat's cards.
    ChatHtml,
    /// A post on X, which has no markup, but makes links, mentions and topics of words.
    Post,
}

impl Markup {
    pub const ALL: [Self; 11] = [
        Self::Json,
        Self::Html,
        Self::Plain,
        Self::SlackMrkdwn,
        Self::DiscordMarkdown,
        Self::TelegramMarkdown,
        Self::TelegramMarkdownV2,
        Self::TeamsMarkdown,
        Self::ChatMarkup,
        Self::ChatHtml,
        Self::Post,
    ];

    /// A value that a template inserts: a web address stays one that can be followed, anything else is escaped.
    pub fn value(self, text: &str) -> String {
        match (self, link(text)) {
            (Self::SlackMrkdwn, Some(link)) => link.replace('&', "&amp;"),
            (Self::DiscordMarkdown | Self::TeamsMarkdown | Self::ChatMarkup, Some(link)) => link,
            _ => self.escape(text),
        }
    }

    /// The text so that it stands as it is.
    pub fn escape(self, text: &str) -> String {
        match self {
            Self::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Plain => text.to_owned(),
            Self::Html => each(text, |out, c, _| html(out, c, true)),
            Self::ChatHtml => each(text, |out, c, _| html(out, c, false)),
            Self::SlackMrkdwn => each(text, slack),
            Self::DiscordMarkdown => each(text, |out, c, _| match c {
                '@' => out.extend([c, BREAK]),
                _ => backslash(out, c, r"\*_~`|>#-[]()<"),
            }),
            Self::TelegramMarkdown => each(text, |out, c, _| backslash(out, c, TELEGRAM_ESCAPES)),
            Self::TelegramMarkdownV2 => each(text, |out, c, _| backslash(out, c, TELEGRAM_V2_ESCAPES)),
            Self::TeamsMarkdown => each(text, |out, c, _| match c {
                '<' => out.extend([c, BREAK]),
                _ => backslash(out, c, r"\*_~`[]()#->"),
            }),
            Self::ChatMarkup => each(text, |out, c, _| breaking(out, c, "*_~`<")),
            Self::Post => post(text),
        }
    }

    /// How many bytes at the beginning of a text in this markup belong together; 0 when they are ordinary.
    pub(crate) fn atom_len(self, text: &str) -> usize {
        /// A longer one is no reference, and no link that is worth keeping whole.
        const ATOM_BYTES_MAX: usize = 2500;
        let first = text.chars().next().unwrap_or(' ');
        let up_to = |end: char| {
            let head = &text[..text.floor_char_boundary(ATOM_BYTES_MAX)];
            head.find([end, '\n']).filter(|found| head[*found..].starts_with(end)).map_or(0, |found| found + 1)
        };
        let reference = || {
            let length = up_to(';');
            if length <= 12 { length } else { 0 }
        };
        match (self, first) {
            (Self::SlackMrkdwn | Self::Html | Self::ChatHtml, '&') => reference(),
            (Self::SlackMrkdwn | Self::Html | Self::ChatHtml | Self::ChatMarkup | Self::DiscordMarkdown, '<') => {
                up_to('>')
            }
            (
                Self::DiscordMarkdown
                | Self::TelegramMarkdown
                | Self::TelegramMarkdownV2
                | Self::TeamsMarkdown
                | Self::Json,
                '\\',
            ) => 1 + text[1..].chars().next().map_or(0, char::len_utf8),
            _ if text[first.len_utf8().min(text.len())..].starts_with(BREAK) => first.len_utf8() + BREAK.len_utf8(),
            _ => 0,
        }
    }
}

/// What a backslash makes ordinary in Telegram's older Markdown. Telegram itself knows fewer; the texts are read here.
pub(crate) const TELEGRAM_ESCAPES: &str = r"\_*`[]()";

/// The same in its newer one.
pub(crate) const TELEGRAM_V2_ESCAPES: &str = r"\_*[]()~`>#+-=|{}.!";

/// Calls `write` for each character, with whether it begins a line.
fn each(text: &str, mut write: impl FnMut(&mut String, char, bool)) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut begins_line = true;
    for c in text.chars() {
        write(&mut out, c, begins_line);
        begins_line = c == '\n';
    }
    out
}

fn backslash(out: &mut String, c: char, special: &str) {
    if special.contains(c) {
        out.push('\\');
    }
    out.push(c);
}

fn breaking(out: &mut String, c: char, special: &str) {
    out.push(c);
    if special.contains(c) {
        out.push(BREAK);
    }
}

fn html(out: &mut String, c: char, with_quotes: bool) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' if with_quotes => out.push_str("&quot;"),
        '\'' if with_quotes => out.push_str("&#39;"),
        other => out.push(other),
    }
}

/// A quote begins with `&gt;` at the beginning of a line, escaped or not.
fn slack(out: &mut String, c: char, begins_line: bool) {
    if c == '>' && begins_line {
        out.push(BREAK);
    }
    match c {
        '*' | '_' | '~' | '`' => out.extend([c, BREAK]),
        _ => html(out, c, false),
    }
}

/// Names, topics and stock symbols are broken behind their sign, and addresses behind their dots.
fn post(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = characters.next() {
        out.push(c);
        let is_name =
            c == '.' && previous.is_alphanumeric() && characters.peek().is_some_and(|next| next.is_alphabetic());
        if is_name || "@＠#＃$".contains(c) {
            out.push(BREAK);
        }
        previous = c;
    }
    out
}

/// A text that is a web address and nothing else, without what a markup would read; percent-encoding changes no address.
pub(crate) fn link(text: &str) -> Option<String> {
    let is_bare = !text.contains(|c: char| c.is_whitespace() || c.is_control() || "@[]<>{}\"\\|^'".contains(c));
    let url = Url::parse(text).ok().filter(|url| is_bare && matches!(url.scheme(), "http" | "https"))?;
    let (host, rest) = (&url[..Position::BeforePath], &url[Position::BeforePath..]);
    if host.contains(['*', '_', '~', '`', '(', ')']) {
        return None;
    }
    let encoded = each(rest, |out, c, _| match c {
        '*' | '_' | '~' | '`' | '(' | ')' => {
            // A text can always be written to memory.
            let _ = write!(out, "%{:02X}", u32::from(c));
        }
        _ => out.push(c),
    });
    Some(format!("{host}{encoded}"))
}

#[cfg(test)]
mod tests;
