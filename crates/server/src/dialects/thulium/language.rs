//! The languages of errors: the vendor tells them in English, and in Polish to those who ask for it by
//! `Accept-Language`.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// In which language an error is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Polish,
}

impl Language {
    /// The one of the two that the client likes better (RFC 9110, 12.5.4), whatever else it can read.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let (mut english, mut polish) = (0.0_f32, 0.0_f32);
        let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        for range in lines.flat_map(|line| line.split(',')) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight: Option<f32> = weight.trim().strip_prefix("q=").and_then(|text| text.parse().ok());
            let weight = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
            match tag.trim().split('-').next().map(str::to_ascii_lowercase).as_deref() {
                Some("en") => english = weight.max(english),
                // Of two that are liked as well the first is meant.
                Some("pl") if weight > english => polish = weight.max(polish),
                _ => {}
            }
        }
        if polish > 0.0 && polish >= english { Self::Polish } else { Self::English }
    }
}

/// What is told, in each language.
#[derive(Clone, Debug)]
pub(super) struct Text {
    english: String,
    polish: String,
}

impl Text {
    pub(super) fn new(english: impl Into<String>, polish: impl Into<String>) -> Self {
        Self { english: english.into(), polish: polish.into() }
    }

    pub(super) fn in_language(self, language: Language) -> String {
        match language {
            Language::English => self.english,
            Language::Polish => self.polish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{English, Polish};
    use super::*;

    #[test]
    fn what_is_liked_better_is_wanted() {
        let check = |lines: &[&'static str], wanted: Language| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_LANGUAGE, line.parse().unwrap());
            }
            assert_eq!(Language::wanted(&headers), wanted, "{lines:?}");
        };
        check(&[], English);
        check(&["pl"], Polish);
        check(&["pl-PL,pl;q=0.9,en-US;q=0.8,en;q=0.7"], Polish);
        check(&["de, PL ; q=0.3"], Polish);
        check(&["de", "pl"], Polish);
        check(&["pl, en"], Polish);
        check(&["en, pl"], English);
        check(&["en-GB;q=0.5, pl;q=0.6"], Polish);
        check(&["pl;q=0.5, en"], English);
        for none in ["", "*", "de", "pl;q=0", "pl;q=2", "pl;q=x", "pl;level=1", "plx", "p"] {
            check(&[none], English);
        }
    }
}
