//! Routing: which channels an event of some type is meant for.
//!
//! A tenant's subscriptions are indexed by event type, so that routing costs the same with ten channels as with ten
//! thousand that listen to something else. Filters are only named here, by number: the engine compiles and evaluates
//! them, each distinct text once per event.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::event::{EventTypeError, OWN_PREFIX, check_type_shape};
use crate::verdict::Reason;
use crate::{ChannelId, SubscriptionId};

/// Counts every change of configuration; an event remembers the version that it was routed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigVersion(pub i64);

/// Which event types a subscription speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// `*`: every type except Postrider's own.
    All,
    /// `invoice.*`: every type that begins with `invoice.`; holds the prefix with its dot.
    Prefix(Arc<str>),
    /// The type itself.
    Exact(Arc<str>),
}

impl Pattern {
    /// Reads `*`, `prefix.*` or an event type.
    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(stem) = text.strip_suffix(".*") {
            check_type_shape(stem)?;
            return Ok(Self::Prefix(format!("{stem}.").into()));
        }
        check_type_shape(text)?;
        Ok(Self::Exact(text.into()))
    }

    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::All => !event_type.starts_with(OWN_PREFIX),
            Self::Prefix(prefix) => event_type.starts_with(&**prefix),
            Self::Exact(exact) => event_type == &**exact,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(exact) => f.write_str(exact),
        }
    }
}

/// What brings events to a channel, for as long as it is valid. Subscriptions are never edited: a change ends one
/// and begins another, so that the past stays explainable.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub channel: ChannelId,
    pub pattern: Pattern,
    /// An expression over the event; `None` lets everything through.
    pub filter: Option<Arc<str>>,
    pub valid_from: ConfigVersion,
    /// The first version at which it no longer holds.
    pub valid_to: Option<ConfigVersion>,
}

impl Subscription {
    pub fn is_valid_at(&self, version: ConfigVersion) -> bool {
        self.valid_from <= version && self.valid_to.is_none_or(|end| version < end)
    }
}

/// What a filter said about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterResult {
    Pass,
    Reject,
    /// It could not be evaluated, which counts as a rejection that is told apart.
    Failed,
}

/// Where an event goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// In order of id, each once.
    pub matched: Vec<ChannelId>,
    /// The channels whose pattern matched but whose filters did not; in order of id, each once.
    pub skipped: Vec<(ChannelId, Reason)>,
}

#[derive(Clone, Debug)]
struct Route {
    channel: ChannelId,
    filter: Option<usize>,
}

/// The valid subscriptions of one tenant, indexed by event type.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    all: Vec<Route>,
    prefixes: BTreeMap<Arc<str>, Vec<Route>>,
    exact: BTreeMap<Arc<str>, Vec<Route>>,
    filters: Vec<Arc<str>>,
}

impl Routes {
    pub fn new<'a>(subscriptions: impl IntoIterator<Item = &'a Subscription>) -> Self {
        let mut routes = Self::default();
        let mut numbers: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for subscription in subscriptions {
            let filter = subscription.filter.as_ref().map(|text| {
                *numbers.entry(Arc::clone(text)).or_insert_with(|| {
                    routes.filters.push(Arc::clone(text));
                    routes.filters.len() - 1
                })
            });
            let list = match &subscription.pattern {
                Pattern::All => &mut routes.all,
                Pattern::Prefix(prefix) => routes.prefixes.entry(Arc::clone(prefix)).or_default(),
                Pattern::Exact(exact) => routes.exact.entry(Arc::clone(exact)).or_default(),
            };
            list.push(Route { channel: subscription.channel, filter });
        }
        routes
    }

    /// The distinct filter texts; [`Routes::route`] asks for their results by position in this list.
    pub fn filters(&self) -> &[Arc<str>] {
        &self.filters
    }

    /// Finds the channels for `event_type`. `evaluate` is called at most once for each distinct filter.
    pub fn route(&self, event_type: &str, mut evaluate: impl FnMut(usize) -> FilterResult) -> Routed {
        let mut known = vec![None; self.filters.len()];
        let mut answers: Vec<(ChannelId, FilterResult)> = self
            .candidates(event_type)
            .map(|route| {
                let result = route
                    .filter
                    .map_or(FilterResult::Pass, |number| *known[number].get_or_insert_with(|| evaluate(number)));
                (route.channel, result)
            })
            .collect();
        answers.sort_unstable_by_key(|(channel, _)| *channel);
        collect_routed(&answers)
    }

    fn candidates<'a>(&'a self, event_type: &'a str) -> impl Iterator<Item = &'a Route> {
        let all = if event_type.starts_with(OWN_PREFIX) { &[][..] } else { &self.all[..] };
        let dots = if self.prefixes.is_empty() { "" } else { event_type };
        let prefixes = dots.match_indices('.').filter_map(|(dot, _)| self.prefixes.get(&event_type[..=dot])).flatten();
        all.iter().chain(prefixes).chain(self.exact.get(event_type).into_iter().flatten())
    }
}

/// Folds the results of several subscriptions of one channel: one that passes is enough.
fn collect_routed(answers: &[(ChannelId, FilterResult)]) -> Routed {
    let mut routed = Routed::default();
    for group in answers.chunk_by(|left, right| left.0 == right.0) {
        let channel = group[0].0;
        if group.iter().any(|(_, result)| *result == FilterResult::Pass) {
            routed.matched.push(channel);
        } else if group.iter().any(|(_, result)| *result == FilterResult::Failed) {
            routed.skipped.push((channel, Reason::FilterFailed));
        } else {
            routed.skipped.push((channel, Reason::FilterFalse));
        }
    }
    routed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(channel: i64, pattern: &str, filter: Option<&str>) -> Subscription {
        Subscription {
            id: SubscriptionId(channel),
            channel: ChannelId(channel),
            pattern: Pattern::parse(pattern).unwrap(),
            filter: filter.map(Into::into),
            valid_from: ConfigVersion(1),
            valid_to: None,
        }
    }

    #[test]
    fn patterns_match_and_print_as_written() {
        let check = |pattern: &str, event_type: &str, expected: bool| {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(event_type), expected, "{pattern} on {event_type}");
            assert_eq!(parsed.to_string(), pattern);
        };
        check("*", "invoice.paid", true);
        check("*", "postrider.channel.tripped", false);
        check("postrider.*", "postrider.channel.tripped", true);
        check("invoice.*", "invoice.paid", true);
        check("invoice.*", "invoice.paid.late", true);
        check("invoice.*", "invoice", false);
        check("invoice.*", "invoices.paid", false);
        check("invoice.paid", "invoice.paid", true);
        check("invoice.paid", "invoice.paid.late", false);
        for wrong in ["", "**", "*.paid", "a.*.b", "a*", ".*"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_index_agrees_with_the_patterns() {
        let patterns = ["*", "a.*", "a.b.*", "a", "a.b", "a.b.c", "postrider.*", "b.*"];
        let subscriptions: Vec<_> =
            patterns.iter().zip(1..).map(|(pattern, channel)| subscription(channel, pattern, None)).collect();
        let routes = Routes::new(&subscriptions);
        for event_type in ["a", "a.b", "a.b.c", "a.b.c.d", "b", "b.x", "c", "postrider.x"] {
            let expected: Vec<_> =
                subscriptions.iter().filter(|one| one.pattern.matches(event_type)).map(|one| one.channel).collect();
            let routed = routes.route(event_type, |_| FilterResult::Reject);
            assert_eq!(routed.matched, expected, "{event_type}");
        }
    }

    #[test]
    fn one_passing_subscription_is_enough_and_equal_filters_are_asked_once() {
        let routes = Routes::new(&[
            subscription(1, "*", Some("x")),
            subscription(1, "a.*", Some("y")),
            subscription(2, "a.b", Some("x")),
            subscription(3, "a.b", Some("z")),
        ]);
        let mut asked = Vec::new();
        let routed = routes.route("a.b", |number| {
            asked.push(number);
            [FilterResult::Reject, FilterResult::Pass, FilterResult::Failed][number]
        });
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2]);
        assert_eq!(routed.matched, [ChannelId(1)]);
        let skipped = [(ChannelId(2), Reason::FilterFalse), (ChannelId(3), Reason::FilterFailed)];
        assert_eq!(routed.skipped, skipped);
    }
}
