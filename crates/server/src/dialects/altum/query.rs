//! What a list is asked for. Nothing in a query is an error: what makes no sense is passed over, as the original does.

use std::time::Duration;

use domain::Timestamp;
use domain::ids::ID_MAX;
use engine::ops::{ChannelFilter, ChannelOrder, ChannelPageQuery, OrderBy, Span, TEXT_CHARS_MAX, Text};
use providers::message::parse_rfc3339;
use utoipa::IntoParams;

use super::map::{self, Kind};

/// How many rows a page may have.
const PAGE_SIZES: [u64; 7] = [10, 25, 50, 100, 250, 500, 1000];

/// How many it has when the client names none of those.
const PAGE_SIZE_DEFAULT: u64 = 25;

/// The parameters of a list as they came. Of one that comes twice the last counts.
#[derive(Debug, Default, IntoParams)]
pub(super) struct ListIn {
    /// The number of the page, from 1. What is no such number counts as 1.
    #[param(value_type = i64, required = false, minimum = 1, example = 1)]
    page: Option<String>,
    /// Rows of a page: 10, 25, 50, 100, 250, 500 or 1000. Anything else counts as 25.
    #[param(value_type = i64, required = false, example = 25)]
    results_per_page: Option<String>,
    /// A text to be found in the name, in whatever case. Only with `search_by`.
    #[param(value_type = String, required = false, example = "work")]
    search: Option<String>,
    /// Where to search: `name`.
    #[param(value_type = String, required = false, example = "name")]
    search_by: Option<String>,
    /// Only handlers of this type.
    #[param(value_type = String, required = false, example = "email")]
    r#type: Option<String>,
    /// Only those that are enabled, or are not.
    #[param(value_type = String, required = false, example = "1")]
    is_enabled: Option<String>,
    /// Which time `datetime_start` and `datetime_end` speak of: `datetime` or `last_datetime`.
    #[param(value_type = String, required = false, example = "datetime")]
    datetime_field: Option<String>,
    /// From this second on, in UTC.
    #[param(value_type = String, required = false, example = "2026-01-01 00:00:00")]
    datetime_start: Option<String>,
    /// Up to this second.
    #[param(value_type = String, required = false, example = "2036-01-01 00:00:00")]
    datetime_end: Option<String>,
    /// `notification_handler_id`, `name`, `datetime` or `last_datetime`. Without it the newest come first.
    #[param(value_type = String, required = false, example = "name")]
    order_by: Option<String>,
    /// `ASC` or `DESC`.
    #[param(value_type = String, required = false, example = "DESC")]
    order_type: Option<String>,
}

/// A list to be made.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) page: u64,
    pub(super) page_size: u64,
    filter: ChannelFilter,
    order: ChannelOrder,
    /// All parameters but `page`, as they came.
    pub(super) others: String,
}

impl Wanted {
    /// Reads the query of a URL.
    pub(super) fn read(query: &str) -> Self {
        let given = ListIn::read(query);
        let is_other = |pair: &&str| {
            !pair.is_empty() && url::form_urlencoded::parse(pair.as_bytes()).all(|(name, _)| name != "page")
        };
        let others: Vec<&str> = query.split('&').filter(is_other).collect();
        Self {
            page: given.page.as_deref().map_or(1, page_number),
            page_size: given.page_size(),
            filter: given.filter(),
            order: given.order(),
            others: others.join("&"),
        }
    }

    /// The same for the engine.
    pub(super) fn page_query(&self) -> ChannelPageQuery {
        let skip = (self.page - 1).saturating_mul(self.page_size);
        let as_count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (filter, order) = (self.filter.clone(), self.order);
        ChannelPageQuery { filter, order, skip: as_count(skip), rows_max: as_count(self.page_size) }
    }
}

impl ListIn {
    fn read(query: &str) -> Self {
        let mut given = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "page" => &mut given.page,
                "results_per_page" => &mut given.results_per_page,
                "search" => &mut given.search,
                "search_by" => &mut given.search_by,
                "type" => &mut given.r#type,
                "is_enabled" => &mut given.is_enabled,
                "datetime_field" => &mut given.datetime_field,
                "datetime_start" => &mut given.datetime_start,
                "datetime_end" => &mut given.datetime_end,
                "order_by" => &mut given.order_by,
                "order_type" => &mut given.order_type,
                _ => continue,
            };
            *field = Some(value.into_owned());
        }
        given
    }

    fn page_size(&self) -> u64 {
        let asked = self.results_per_page.as_deref().and_then(|text| text.parse().ok());
        asked.filter(|size| PAGE_SIZES.contains(size)).unwrap_or(PAGE_SIZE_DEFAULT)
    }

    fn filter(&self) -> ChannelFilter {
        let mut filter =
            ChannelFilter { hides_managed: true, among: Some(&map::PROVIDERS), ..ChannelFilter::default() };
        if self.search_by.as_deref() == Some("name") {
            filter.text = self.search.as_deref().and_then(searched);
        }
        filter.provider = self.r#type.as_deref().and_then(Kind::find).map(|kind| kind.name.to_owned());
        filter.is_active = self.is_enabled.as_deref().filter(|text| !text.is_empty()).and_then(map::read_switch);
        let since = self.datetime_start.as_deref().and_then(read_datetime);
        let until = self.datetime_end.as_deref().and_then(read_datetime).map(|end| end.after(Duration::from_secs(1)));
        match self.datetime_field.as_deref() {
            Some("datetime") => filter.created = Span { since, until },
            Some("last_datetime") => filter.updated = Span { since, until },
            _ => {}
        }
        filter
    }

    fn order(&self) -> ChannelOrder {
        let by = match self.order_by.as_deref() {
            Some("notification_handler_id") => Some(OrderBy::Id),
            Some("name") => Some(OrderBy::Name),
            Some("datetime") => Some(OrderBy::CreatedAt),
            Some("last_datetime") => Some(OrderBy::UpdatedAt),
            _ => None,
        };
        let is_descending = match self.order_type.as_deref() {
            Some(text) if text.eq_ignore_ascii_case("desc") => true,
            Some(text) if text.eq_ignore_ascii_case("asc") => false,
            // Those who name an order mean it upwards; those who name none want the newest.
            _ => by.is_none(),
        };
        ChannelOrder { by: by.unwrap_or(OrderBy::Id), is_descending }
    }
}

/// What is no number, or none above 0, counts as 1.
fn page_number(text: &str) -> u64 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return 1;
    }
    // A number that is too large to be read is beyond every page, as the largest is.
    text.parse().unwrap_or(u64::MAX).clamp(1, ID_MAX.unsigned_abs())
}

/// No name is as long as what is cut off here.
fn searched(text: &str) -> Option<Text> {
    Text::new(&text.chars().take(TEXT_CHARS_MAX).collect::<String>())
}

/// A time like `2026-01-31 23:59:59`, in UTC.
fn read_datetime(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(' ')?;
    let is_plain = date.len() == 10 && time.len() == 8;
    is_plain.then(|| parse_rfc3339(&format!("{date}T{time}Z"))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbers_and_sizes_are_those_that_there_are() {
        let check = |query: &str, page: u64, page_size: u64, skip: usize| {
            let wanted = Wanted::read(query);
            assert_eq!((wanted.page, wanted.page_size, wanted.page_query().skip), (page, page_size, skip), "{query}");
        };
        check("", 1, 25, 0);
        check("page=3&results_per_page=100", 3, 100, 200);
        for page in ["0", "-1", "", "x", "1.5", "+2", "2x", "%20"] {
            check(&format!("page={page}"), 1, 25, 0);
        }
        for size in ["0", "-10", "11", "1001", "x", ""] {
            check(&format!("results_per_page={size}&page=2"), 2, 25, 25);
        }
        check("page=2&page=4", 4, 25, 75);
        let largest = ID_MAX.unsigned_abs();
        check("page=99999999999999999999", largest, 25, usize::try_from((largest - 1) * 25).unwrap());
    }

    #[test]
    fn other_parameters_stay_as_they_came() {
        let check = |query: &str, others: &str| assert_eq!(Wanted::read(query).others, others, "{query}");
        check("", "");
        check("page=2", "");
        check("&page=2&", "");
        check("p%61ge=2&x=%C3%A4+b&page", "x=%C3%A4+b");
        check("results_per_page=10&page=2&type=email&unknown", "results_per_page=10&type=email&unknown");
    }

    #[test]
    fn filters_that_make_no_sense_are_passed_over() {
        let nothing = format!("{:?}", Wanted::read("").filter);
        for query in [
            "search=a",
            "search=a&search_by=settings",
            "search=&search_by=name",
            "type=pigeon",
            "type=",
            "is_enabled=maybe",
            "is_enabled=",
            "datetime_start=2026-01-01 00:00:00",
            "datetime_field=datetime&datetime_start=2026-01-01",
            "datetime_field=datetime&datetime_start=2026-13-01 00:00:00",
            "datetime_field=datetime&datetime_start=2026-01-01T00:00:00&datetime_end=",
            "datetime_field=created&datetime_start=2026-01-01 00:00:00",
        ] {
            assert_eq!(format!("{:?}", Wanted::read(query).filter), nothing, "{query}");
        }
    }

    #[test]
    fn filters_are_read() {
        let filter = Wanted::read("search=Work&search_by=name&type=x&is_enabled=0").filter;
        assert_eq!((filter.provider.as_deref(), filter.is_active), (Some("x"), Some(false)));
        assert_eq!(filter.text, Text::new("work"));
        let filter = Wanted::read(
            "datetime_field=last_datetime&datetime_start=2026-01-01+00:00:00&datetime_end=2026-01-01%2000:00:01",
        )
        .filter;
        let at = |text: &str| parse_rfc3339(text).unwrap();
        let (since, until) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:02Z"));
        assert_eq!(filter.updated, Span { since: Some(since), until: Some(until) });
        assert_eq!(filter.created, Span::default());
    }

    #[test]
    fn the_order_is_upwards_once_it_is_named() {
        let check = |query: &str, by: OrderBy, is_descending: bool| {
            assert_eq!(Wanted::read(query).order, ChannelOrder { by, is_descending }, "{query}");
        };
        check("", OrderBy::Id, true);
        check("order_by=colour", OrderBy::Id, true);
        check("order_type=ASC", OrderBy::Id, false);
        check("order_by=name", OrderBy::Name, false);
        check("order_by=name&order_type=desc", OrderBy::Name, true);
        check("order_by=notification_handler_id&order_type=sideways", OrderBy::Id, false);
        check("order_by=datetime&order_type=DESC", OrderBy::CreatedAt, true);
        check("order_by=last_datetime&order_type=ASC", OrderBy::UpdatedAt, false);
    }
}
