//! The query of a URL as Lenz reads it: pages by number, lists of values, and an empty text for no filter at all.
//!
//! Parameters that nobody knows are passed over, as clients send them for reasons of their own; of one that is there
//! twice the first counts.

use domain::ChannelId;
use domain::delivery::AttemptResult;
use engine::ops::Text;

use super::PROVIDERS;
use super::error::Error;

const LIMIT_DEFAULT: i64 = 20;
pub(super) const LIMIT_MAX: i64 = 100;

/// What an attempt came to, in the words of Lenz.
pub(super) const RESULTS: [(&str, AttemptResult); 3] =
    [("sent", AttemptResult::Delivered), ("failed", AttemptResult::Failed), ("dead", AttemptResult::GaveUp)];

/// The parameters of a request, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Rows before it.
    pub(super) skip: usize,
    pub(super) rows_max: usize,
}

impl Query {
    pub(super) fn new(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// A parameter that says something.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let first = self.0.iter().find(|(key, _)| key == name);
        first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Error> {
        self.text(name).map(|text| text.parse().map_err(|_| Error::invalid())).transpose()
    }

    fn one_of<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Error> {
        let find = |text: &str| known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        self.text(name).map(|text| find(text).ok_or_else(Error::invalid)).transpose()
    }

    /// `page` from 1, and `limit`, which is cut to its bounds.
    pub(super) fn page(&self) -> Result<Page, Error> {
        let page = self.number("page")?.unwrap_or(1).max(1);
        let limit = self.number("limit")?.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
        let skip = usize::try_from((page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
        Ok(Page { skip, rows_max: usize::try_from(limit).unwrap_or(1) })
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.one_of(name, &[("true", true), ("false", false)])
    }

    pub(super) fn provider(&self, name: &str) -> Result<Option<String>, Error> {
        let known: Vec<(&str, &str)> = PROVIDERS.iter().map(|name| (*name, *name)).collect();
        Ok(self.one_of(name, &known)?.map(ToOwned::to_owned))
    }

    pub(super) fn result(&self, name: &str) -> Result<Option<AttemptResult>, Error> {
        self.one_of(name, &RESULTS)
    }

    pub(super) fn channel(&self, name: &str) -> Result<Option<ChannelId>, Error> {
        Ok(self.number(name)?.map(ChannelId))
    }

    /// A text to be found in another. One that is longer than any text to be found is refused.
    pub(super) fn search(&self, name: &str) -> Result<Option<Text>, Error> {
        self.text(name).map(|text| Text::new(text).ok_or_else(Error::invalid)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_to_their_bounds() {
        let check = |query: &str, expected: Option<(usize, usize)>| {
            let page = Query::new(query).page().ok().map(|page| (page.skip, page.rows_max));
            assert_eq!(page, expected, "{query}");
        };
        check("", Some((0, 20)));
        check("page=&limit=", Some((0, 20)));
        check("page=3&limit=7", Some((14, 7)));
        check("page=0&limit=0", Some((0, 1)));
        check("page=-4&limit=-1", Some((0, 1)));
        check("page=2&limit=1000", Some((100, 100)));
        check("page=9223372036854775807&limit=100", Some((usize::try_from(i64::MAX).unwrap(), 100)));
        check("page=2&page=9", Some((20, 20)));
        for wrong in ["page=x", "limit=x", "page=1.5", "limit=%31e1", "page=9223372036854775808", "page=+%2B1"] {
            check(wrong, None);
        }
    }

    #[test]
    fn filters_are_of_their_lists() {
        let query = Query::new("is_active=true&provider=email&filter%5Bstatus%5D=dead&filter[channel_id]=7&search=A+b");
        assert_eq!(query.flag("is_active"), Ok(Some(true)));
        assert_eq!(query.provider("provider"), Ok(Some("email".to_owned())));
        assert_eq!(query.result("filter[status]"), Ok(Some(AttemptResult::GaveUp)));
        assert_eq!(query.channel("filter[channel_id]"), Ok(Some(ChannelId(7))));
        assert_eq!(query.search("search"), Ok(Text::new("A b")));
        let empty = Query::new("is_active=&provider=&filter[status]=&filter[channel_id]=&search=");
        assert_eq!((empty.flag("is_active"), empty.provider("provider")), (Ok(None), Ok(None)));
        assert_eq!((empty.result("filter[status]"), empty.channel("filter[channel_id]")), (Ok(None), Ok(None)));
        let wrong = Query::new("is_active=1&provider=slack&filter[status]=pending&filter[channel_id]=x");
        assert!(wrong.flag("is_active").is_err() && wrong.provider("provider").is_err());
        assert!(wrong.result("filter[status]").is_err() && wrong.channel("filter[channel_id]").is_err());
    }
}
