//! What is answered: the keys of the original, in its order, and no more.

use domain::Timestamp;
use providers::message::rfc3339;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// One notification handler.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumHandler)]
pub(super) struct HandlerOut {
    pub(super) id: i64,
    pub(super) r#type: &'static str,
    pub(super) name: String,
    /// The fields of its type.
    #[schema(value_type = Object)]
    pub(super) settings: Settings,
    pub(super) is_enabled: bool,
    /// When it was last changed; null before that.
    #[schema(example = "2025-11-18 03:43:38")]
    pub(super) last_datetime: Option<String>,
    /// When it was made, in UTC.
    #[schema(example = "2025-11-18 03:43:38")]
    pub(super) datetime: String,
}

/// Fields and their texts, in the order of their type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings(pub(super) Vec<(&'static str, String)>);

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, text) in &self.0 {
            map.serialize_entry(field, text)?;
        }
        map.end()
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumShown)]
pub(super) struct ShownOut {
    pub(super) data: HandlerOut,
}

/// A handler that was made or changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumSaved)]
pub(super) struct SavedOut {
    pub(super) data: IdOut,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumId)]
pub(super) struct IdOut {
    pub(super) id: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumList)]
pub(super) struct ListOut {
    pub(super) data: Vec<HandlerOut>,
    pub(super) meta: MetaOut,
    pub(super) links: LinksOut,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumMeta)]
pub(super) struct MetaOut {
    page: u64,
    results_per_page: u64,
    /// Over all pages.
    total: u64,
    total_pages: u64,
}

/// Whole URLs.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AltumLinks)]
pub(super) struct LinksOut {
    first: String,
    /// Null when there are no rows.
    last: Option<String>,
    /// Null on the last page and after it.
    next: Option<String>,
    /// Null on the first page.
    prev: Option<String>,
    #[serde(rename = "self")]
    this: String,
}

impl MetaOut {
    pub(super) fn new(page: u64, results_per_page: u64, total: u64) -> Self {
        Self { page, results_per_page, total, total_pages: total.div_ceil(results_per_page) }
    }
}

impl LinksOut {
    /// The links of a page at `base`, a URL without query; each keeps the parameters `others`.
    pub(super) fn new(base: &str, others: &str, meta: &MetaOut) -> Self {
        let before = if others.is_empty() { String::new() } else { format!("{others}&") };
        let link = |page: u64| format!("{base}?{before}page={page}");
        let MetaOut { page, total_pages, .. } = *meta;
        Self {
            first: link(1),
            last: (total_pages > 0).then(|| link(total_pages)),
            next: (page < total_pages).then(|| link(page + 1)),
            prev: (page > 1).then(|| link(page - 1)),
            this: link(page),
        }
    }
}

/// A time as this API writes it: `2026-01-31 23:59:59`, in UTC.
pub(super) fn datetime(time: Timestamp) -> String {
    let text = rfc3339(time);
    format!("{} {}", &text[..10], &text[11..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_end_where_the_rows_do() {
        let check = |page: u64, total: u64, expected: [Option<u64>; 3]| {
            let links = LinksOut::new("https://a.test/h", "type=x", &MetaOut::new(page, 10, total));
            let link = |page: u64| format!("https://a.test/h?type=x&page={page}");
            assert_eq!([links.last, links.next, links.prev], expected.map(|page| page.map(link)), "{page} of {total}");
            assert_eq!((links.first, links.this), (link(1), link(page)));
        };
        check(1, 0, [None, None, None]);
        check(2, 0, [None, None, Some(1)]);
        check(1, 10, [Some(1), None, None]);
        check(1, 11, [Some(2), Some(2), None]);
        check(2, 11, [Some(2), None, Some(1)]);
        check(9, 11, [Some(2), None, Some(8)]);
        let bare = LinksOut::new("/h", "", &MetaOut::new(1, 10, 1));
        assert_eq!(bare.this, "/h?page=1");
    }

    #[test]
    fn times_are_in_utc_and_whole_seconds() {
        assert_eq!(datetime(Timestamp::from_ms(1_763_437_418_999)), "2025-11-18 03:43:38");
    }
}
