//! Texts in the measures of providers: how long one is, where it may be parted, and what is left of it when cut.
//!
//! A part never ends within what people see as one character, nor within what a markup treats as one (an escape, an
//! entity, a link). Sizes are those of the text as it goes out, so escaping is counted.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use crate::markup::Markup;

/// What a provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Code points.
    Characters,
    /// Units of UTF-16.
    Utf16,
    /// Bytes of UTF-8.
    Bytes,
    /// As posts on X are counted: two for most scripts beyond Latin and for emoji, and 23 for a link. Never less than X
    /// counts, and a little more for characters that are made of several.
    Weighted,
    /// Parts of a message: no measure of texts.
    Items,
}

impl Unit {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Utf16 => "UTF-16 units",
            Self::Bytes => "bytes",
            Self::Weighted => "weighted characters",
            Self::Items => "items",
        }
    }

    /// How long a text is.
    pub fn size(self, text: &str) -> usize {
        match self {
            Self::Characters => text.chars().count(),
            Self::Utf16 => text.encode_utf16().count(),
            Self::Bytes => text.len(),
            Self::Weighted => text.split_inclusive(char::is_whitespace).map(weight).sum(),
            Self::Items => 1,
        }
    }
}

/// What stands for what was cut off.
const ELLIPSIS: &str = "…";

/// The text in parts of at most `max`, in order; none of them empty. Prefers to part between paragraphs, then lines,
/// then words.
pub(crate) fn parts(text: &str, max: usize, unit: Unit, markup: Markup) -> Vec<String> {
    ranges(text, max, unit, markup).into_iter().map(|range| text[range].to_owned()).collect()
}

/// Where these parts are in the text; the white space between them is in none.
pub(crate) fn ranges(text: &str, max: usize, unit: Unit, markup: Markup) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let end = text.trim_end().len();
    let mut start = end - text[..end].trim_start().len();
    while start < end {
        let rest = &text[start..end];
        let length = match unit.size(rest) {
            size if size <= max => rest.len(),
            _ => good_end(rest, fitting(rest, max, unit, markup)),
        };
        let part_end = start + rest[..length].trim_end().len();
        ranges.push(start..part_end);
        let after = &text[start + length..end];
        start = end - after.trim_start().len();
    }
    ranges
}

/// The text, or as much of its beginning as fits with an ellipsis after it.
pub(crate) fn cut(text: &str, max: usize, unit: Unit, markup: Markup) -> String {
    if unit.size(text) <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(unit.size(ELLIPSIS));
    let end = fitting_or_none(text, room, unit, markup);
    format!("{}{ELLIPSIS}", text[..end].trim_end())
}

/// How many bytes of the text's beginning fit, at a place where it may be parted; at least one character, so that there
/// is progress.
fn fitting(text: &str, max: usize, unit: Unit, markup: Markup) -> usize {
    match fitting_or_none(text, max, unit, markup) {
        // One character that people see may be made of more code points than fit.
        0 => {
            let ends: Vec<usize> = text.char_indices().map(|(start, c)| start + c.len_utf8()).collect();
            ends[ends.partition_point(|end| unit.size(&text[..*end]) <= max).saturating_sub(1)]
        }
        end => end,
    }
}

fn fitting_or_none(text: &str, max: usize, unit: Unit, markup: Markup) -> usize {
    let ends = ends(text, max, markup);
    match ends.partition_point(|end| unit.size(&text[..*end]) <= max) {
        0 => 0,
        count => ends[count - 1],
    }
}

/// The places where a text may be parted, in order; not many more than `max` of them, because every unit counts a
/// character as one at least.
fn ends(text: &str, max: usize, markup: Markup) -> Vec<usize> {
    let mut graphemes = text.grapheme_indices(true).map(|(start, grapheme)| start + grapheme.len()).peekable();
    let mut ends = Vec::new();
    let mut start = 0;
    while start < text.len() && ends.len() <= max {
        let atom_end = start + markup.atom_len(&text[start..]);
        let mut end = start;
        while end < atom_end || end == start {
            end = graphemes.next().unwrap_or(text.len());
        }
        ends.push(end);
        start = end;
    }
    ends
}

/// The end of a paragraph, a line or a word in the second half of what fits; else the very end.
fn good_end(text: &str, end: usize) -> usize {
    let head = &text[..end];
    let in_second_half = |found: usize| found > end / 2;
    let places = [head.rfind("\n\n"), head.rfind('\n'), head.rfind(' ')];
    places.into_iter().flatten().find(|found| in_second_half(*found)).unwrap_or(end)
}

/// A word with the white space after it.
fn weight(word: &str) -> usize {
    const LINK: usize = 23;
    let own: usize = word.chars().map(|c| if is_light(c) { 1 } else { 2 }).sum();
    let is_link =
        ["http://", "https://"].iter().any(|scheme| word.starts_with(scheme)) && word.matches("://").count() == 1;
    if is_link {
        return own.max(LINK + 1);
    }
    let mut characters = word.chars().peekable();
    let mut previous = ' ';
    let mut dots = 0;
    while let Some(c) = characters.next() {
        let is_name =
            c == '.' && previous.is_alphanumeric() && characters.peek().is_some_and(|next| next.is_alphabetic());
        dots += usize::from(is_name);
        previous = c;
    }
    own + dots * LINK
}

/// The ranges that X counts once: Latin and its neighbours up to Georgian, general punctuation and quotes.
fn is_light(c: char) -> bool {
    matches!(u32::from(c), 0..=4351 | 8192..=8205 | 8208..=8223 | 8242..=8247)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_unit() {
        let check = |text: &str, expected: [usize; 4]| {
            let found = [Unit::Characters, Unit::Utf16, Unit::Bytes, Unit::Weighted].map(|unit| unit.size(text));
            assert_eq!(found, expected, "{text}");
        };
        check("", [0, 0, 0, 0]);
        check("aä", [2, 2, 3, 2]);
        check("漢😀", [2, 3, 7, 4]);
        check("see a.co", [8, 8, 8, 31]);
        check("1.5", [3, 3, 3, 3]);
    }

    #[test]
    fn parts_end_where_people_would_end_them() {
        let check = |text: &str, max: usize, expected: &[&str]| {
            assert_eq!(parts(text, max, Unit::Characters, Markup::Plain), expected, "{text}");
        };
        check("", 5, &[]);
        check("one two", 7, &["one two"]);
        check("one two three", 9, &["one two", "three"]);
        check("one two\n\nthree", 12, &["one two", "three"]);
        check("abcdefghij", 4, &["abcd", "efgh", "ij"]);
        check("👩‍👩‍👧👩‍👩‍👧", 6, &["👩‍👩‍👧", "👩‍👩‍👧"]);
        check("👩‍👩‍👧", 2, &["👩\u{200d}", "👩\u{200d}", "👧"]);
    }

    #[test]
    fn escapes_stay_whole() {
        let check = |markup: Markup, text: &str, max: usize, expected: &str| {
            assert_eq!(cut(text, max, Unit::Characters, markup), expected, "{text}");
        };
        check(Markup::SlackMrkdwn, "a&amp;b", 4, "a…");
        check(Markup::SlackMrkdwn, "a&amp;b", 7, "a&amp;b");
        check(Markup::SlackMrkdwn, "ab <https://x.test|label> c", 12, "ab…");
        check(Markup::DiscordMarkdown, r"a\*b", 3, "a…");
        check(Markup::DiscordMarkdown, r"a\*b c", 4, r"a\*…");
        check(Markup::ChatHtml, "&lt;&lt;&lt;", 9, "&lt;&lt;…");
    }

    proptest! {
        #[test]
        fn everything_arrives_and_nothing_is_too_long(text in "(\\PC|[\\n &<>*\\\\])*", max in 8usize..60) {
            for unit in [Unit::Characters, Unit::Utf16, Unit::Bytes] {
                for markup in Markup::ALL {
                    let escaped = markup.escape(&text);
                    let parts = parts(&escaped, max, unit, markup);
                    prop_assert!(parts.iter().all(|part| !part.is_empty() && unit.size(part) <= max));
                    let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                    prop_assert_eq!(bare(&parts.concat()), bare(&escaped));
                    prop_assert!(unit.size(&cut(&escaped, max, unit, markup)) <= max);
                }
            }
        }
    }
}
