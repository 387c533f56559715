//! Plain text with styles, in parts that Telegram takes: positions count in UTF-16, as Telegram's entities do.

use std::ops::Range;

use serde_json::{Value, json};

use crate::spec::{Markup, Size, Unit};
use crate::text;

/// How a piece of text looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    Code,
    Pre,
    Quote,
    Link(String),
}

impl Style {
    const fn name(&self) -> &'static str {
        match self {
            Self::Bold => "bold",
            Self::Italic => "italic",
            Self::Underline => "underline",
            Self::Strikethrough => "strikethrough",
            Self::Spoiler => "spoiler",
            Self::Code => "code",
            Self::Pre => "pre",
            Self::Quote => "blockquote",
            Self::Link(_) => "text_link",
        }
    }

    /// A link to a web address, or to somebody or something in Telegram.
    pub(super) fn link(target: &str) -> Option<Self> {
        let url = url::Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "tg"))?;
        Some(Self::Link(url.into()))
    }
}

/// A text and the styles of its pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rich {
    pub(super) text: String,
    /// Ranges in bytes; they may hold each other.
    styles: Vec<(Range<usize>, Style)>,
}

impl Rich {
    pub(super) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), styles: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn push_as(&mut self, style: Style, text: &str) {
        let start = self.text.len();
        self.push(text);
        self.style_from(start, style);
    }

    /// Everything from `start`, a length that the text has had, to the end.
    pub(super) fn style_from(&mut self, start: usize, style: Style) {
        if start < self.text.len() {
            self.styles.push((start..self.text.len(), style));
        }
    }

    /// Texts within the size with at most so many entities each; what is beyond them is unstyled.
    pub(super) fn parts(&self, size: Size, entities_max: usize) -> Vec<(String, Vec<Value>)> {
        let ranges = text::ranges(&self.text, size.max, size.unit, Markup::Plain);
        let part = |range: Range<usize>| {
            let entities = self.styles.iter().filter_map(|(styled, style)| self.entity(&range, styled, style));
            (self.text[range.clone()].to_owned(), entities.take(entities_max).collect())
        };
        ranges.into_iter().map(part).collect()
    }

    fn entity(&self, part: &Range<usize>, styled: &Range<usize>, style: &Style) -> Option<Value> {
        let (start, end) = (styled.start.max(part.start), styled.end.min(part.end));
        if start >= end {
            return None;
        }
        let offset = Unit::Utf16.size(&self.text[part.start..start]);
        let mut entity =
            json!({"type": style.name(), "offset": offset, "length": Unit::Utf16.size(&self.text[start..end])});
        if let Style::Link(url) = style {
            entity["url"] = url.as_str().into();
        }
        Some(entity)
    }
}
