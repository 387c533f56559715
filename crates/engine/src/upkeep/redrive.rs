//! One slice of a redrive: rows are read, those that are wanted are chosen, and what follows is written together with how
//! far the order has come.
//!
//! A crash between reading and writing costs one slice of reading. A slice that was written, and whose answer was lost,
//! is not written again: the store refuses one that does not begin where the order stands.

use std::sync::Arc;
use std::time::Duration;

use domain::delivery::Delivery;
use domain::event::Event;
use domain::redrive::{Progress, Redrive, Source, Wanted};
use domain::routing::FilterResult;
use domain::{ChannelId, DeliveryId, EventId, RedriveId, TenantId, Timestamp};
use store::digest::DigestMember;
use store::journal::{Span, Text};
use store::redrives::{DeadLetter, DeadLook, EventLook, PastEvent, RedriveSlice, Steer, Stretch, Take};
use store::{Store, StoreError};

use crate::accept::filter::{Context, Filter};
use crate::operational;
use crate::registry::{LiveChannel, Registry};

/// Rows that one slice takes at most: it holds the writer for a few milliseconds.
const TAKEN_MAX: usize = 200;

/// Rows that one slice looks at, however few are wanted.
const EXAMINED_MAX: usize = 2_000;

/// What a slice came to.
#[derive(Debug)]
pub struct Sliced {
    /// Deliveries that wait again, or may: also when nobody knows whether the slice was written.
    pub touched: Vec<(ChannelId, DeliveryId)>,
    pub next: NextSlice,
}

/// When the next slice may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextSlice {
    After(Duration),
    /// It is over, or a person has paused it.
    Never,
    /// The store failed: when it answers again.
    Again,
}

/// Carries out the next slice of a redrive.
pub(crate) async fn slice(
    store: &dyn Store,
    registry: &Registry,
    (tenant, redrive): (TenantId, RedriveId),
    now: Timestamp,
) -> Sliced {
    let mut touched = Vec::new();
    let next = match try_slice(store, registry, (tenant, redrive), now, &mut touched).await {
        Ok(Some(wait)) => NextSlice::After(wait),
        Ok(None) => NextSlice::Never,
        Err(error) => {
            tracing::warn!(%error, %redrive, "a slice of a redrive could not be done; trying again");
            NextSlice::Again
        }
    };
    Sliced { touched, next }
}

/// How long until the next one; `None` when there is none.
async fn try_slice(
    store: &dyn Store,
    registry: &Registry,
    (tenant, id): (TenantId, RedriveId),
    now: Timestamp,
    touched: &mut Vec<(ChannelId, DeliveryId)>,
) -> Result<Option<Duration>, StoreError> {
    let Some(before) = store.redrive(tenant, id).await?.filter(|one| one.progress == Progress::Running) else {
        return Ok(None);
    };
    let taken_max = usize::try_from(before.pace).unwrap_or(TAKEN_MAX).clamp(1, TAKEN_MAX);
    let slice = match before.source {
        Source::Dead => {
            let stretch = dead(store, &before, before.reached, EXAMINED_MAX.min(taken_max)).await?;
            of_dead(registry, &before, &stretch, now, touched)
        }
        Source::History => {
            let channel = before.wanted.channel.unwrap_or_default();
            let live = registry.channel_of(tenant, channel).filter(|live| live.channel.settings.is_active);
            let Some(live) = live else {
                let note = format!("channel {channel} was deleted or switched off");
                store.steer_redrive(tenant, id, Steer { to: Progress::Cancelled, note, now }).await?;
                return Ok(None);
            };
            let stretch = events(store, &before, &live, before.reached, (taken_max, EXAMINED_MAX)).await?;
            of_events(&before, &live, &stretch, now)
        }
    };
    let after = store.redrive_slice(tenant, slice, now).await?;
    let Some(after) = after.filter(|after| after.progress == Progress::Running) else { return Ok(None) };
    let redriven = after.redriven.saturating_sub(before.redriven);
    Ok(Some(Duration::from_millis(redriven.saturating_mul(1000) / u64::from(before.pace.max(1)))))
}

/// Dead letters from where it stands, those that are wanted.
pub(crate) async fn dead(
    store: &dyn Store,
    redrive: &Redrive,
    after: i64,
    rows_max: usize,
) -> Result<Stretch<DeadLetter>, StoreError> {
    let look = DeadLook {
        channel: redrive.wanted.channel,
        after: DeliveryId(after),
        up_to: DeliveryId(redrive.up_to),
        rows_max,
    };
    store.dead_after(redrive.tenant, look).await
}

/// Whether a dead letter is wanted. A channel that is gone has no provider any more. The deliveries of a digest died
/// together and come back together, with the first of them that is of a wanted type and time: the others have had their
/// turn, however the digest has ended since.
pub(crate) fn is_wanted(registry: &Registry, wanted: &Wanted, letter: &DeadLetter) -> bool {
    let Delivery { id, channel, event_type, reason, created_at, .. } = &letter.delivery;
    let is_of =
        |provider: &String| registry.channel(*channel).is_some_and(|live| live.channel.settings.provider == *provider);
    let had_its_turn =
        |before: &DigestMember| before.delivery < *id && is_one(wanted, &before.event_type, before.created_at);
    wanted.code.is_none_or(|code| letter.code == Some(code))
        && is_one(wanted, event_type, *created_at)
        && text_of(wanted).is_none_or(|text| text.is_in(reason))
        && wanted.provider.as_ref().is_none_or(is_of)
        && !letter.members.iter().any(had_its_turn)
}

/// Whether a delivery of this type and time is wanted.
fn is_one(wanted: &Wanted, event_type: &str, created_at: Timestamp) -> bool {
    let span = Span { since: wanted.since, until: wanted.until };
    wanted.event_types.as_ref().is_none_or(|pattern| pattern.matches(event_type)) && span.contains(created_at)
}

/// How many deliveries wait again with a dead letter.
pub(crate) fn together(letter: &DeadLetter) -> u64 {
    letter.members.len().max(1) as u64
}

fn text_of(wanted: &Wanted) -> Option<Text> {
    wanted.text.as_deref().and_then(Text::new)
}

fn of_dead(
    registry: &Registry,
    redrive: &Redrive,
    stretch: &Stretch<DeadLetter>,
    now: Timestamp,
    touched: &mut Vec<(ChannelId, DeliveryId)>,
) -> RedriveSlice {
    let mut taken = Vec::new();
    let mut skipped = 0;
    for letter in stretch.rows.iter().filter(|letter| is_wanted(registry, &redrive.wanted, letter)) {
        let (id, channel) = (letter.delivery.id, letter.delivery.channel);
        match registry.channel_of(redrive.tenant, channel).filter(|live| live.channel.settings.is_active) {
            Some(live) => {
                taken.push((id, now.after(live.time_to_live)));
                touched.push((channel, id));
            }
            None => skipped += together(letter),
        }
    }
    RedriveSlice { skipped, take: Take::Dead(taken), ..slice_of(redrive, stretch) }
}

/// Events from where it stands that the channel would hear of now, and that have not come to it yet; or, where an end is
/// wanted, whose newest delivery to it ended like that.
pub(crate) async fn events(
    store: &dyn Store,
    redrive: &Redrive,
    live: &LiveChannel,
    after: i64,
    (rows_max, examined_max): (usize, usize),
) -> Result<Stretch<PastEvent>, StoreError> {
    let wanted = &redrive.wanted;
    let look = EventLook {
        channel: live.channel.id,
        event_types: wanted.event_types.clone(),
        accepted: Span { since: wanted.since, until: wanted.until },
        text: text_of(wanted),
        after: EventId(after),
        up_to: EventId(redrive.up_to),
        rows_max,
        examined_max,
    };
    let mut stretch = store.events_after(redrive.tenant, look).await?;
    let filters = Hearing::of(live);
    stretch.rows.retain(|past| past.delivered == wanted.state && filters.hears(&past.event));
    Ok(stretch)
}

fn of_events(redrive: &Redrive, live: &Arc<LiveChannel>, stretch: &Stretch<PastEvent>, now: Timestamp) -> RedriveSlice {
    let take = Take::Events {
        channel: live.channel.id,
        expires_at: now.after(live.time_to_live),
        delivered: redrive.wanted.state,
        events: stretch.rows.iter().map(|past| past.event.id).collect(),
    };
    RedriveSlice { take, ..slice_of(redrive, stretch) }
}

fn slice_of<T>(redrive: &Redrive, stretch: &Stretch<T>) -> RedriveSlice {
    RedriveSlice {
        redrive: redrive.id,
        after: redrive.reached,
        reached: stretch.reached,
        is_end: stretch.is_end,
        examined: stretch.examined,
        skipped: 0,
        take: Take::Dead(Vec::new()),
    }
}

/// What a channel hears of: its subscriptions with their filters compiled.
struct Hearing<'c> {
    live: &'c LiveChannel,
    filters: Vec<Option<Filter>>,
}

impl<'c> Hearing<'c> {
    fn of(live: &'c LiveChannel) -> Self {
        let compiled = |text: &Arc<str>| Filter::compile_stored(text);
        let filters = live.subscriptions.iter().map(|one| one.filter.as_ref().map(compiled)).collect();
        Self { live, filters }
    }

    /// Whether an event would come to the channel now. One that named its channels came to those alone, and one that tells
    /// of the channel never does.
    fn hears(&self, event: &Event) -> bool {
        let content = &event.content;
        if let Some(named) = &content.explicit_channels {
            return named.contains(&self.live.channel.id);
        }
        if operational::tells_of(content) == Some(self.live.channel.id) {
            return false;
        }
        let mut context = None;
        self.live.subscriptions.iter().zip(&self.filters).any(|(subscription, filter)| {
            let mut passes = |filter: &Filter| {
                filter.evaluate(context.get_or_insert_with(|| Context::of(content))) == FilterResult::Pass
            };
            subscription.pattern.matches(&content.event_type) && filter.as_ref().is_none_or(&mut passes)
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::delivery::State;
    use domain::routing::Pattern;
    use domain::{DigestId, ReasonCode};

    use super::*;

    /// Types and times of three deliveries of one digest.
    const MEMBERS: [(&str, i64); 3] = [("a.x", 10), ("b.x", 20), ("a.y", 30)];

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    /// The dead letter of the delivery at this position, in a digest or by itself.
    fn letter(position: usize, is_merged: bool) -> DeadLetter {
        let id = |position: usize| i64::try_from(position).expect("small") + 1;
        let member = |(position, (event_type, made_at)): (usize, &(&str, i64))| DigestMember {
            delivery: DeliveryId(id(position)),
            event: EventId(id(position)),
            event_type: (*event_type).into(),
            created_at: at(*made_at),
        };
        let members: Vec<_> = MEMBERS.iter().enumerate().map(member).collect();
        let DigestMember { delivery, event, event_type, created_at } = members[position].clone();
        let delivery = Delivery {
            id: delivery,
            tenant: TenantId(1),
            channel: ChannelId(1),
            event,
            event_type: event_type.to_string(),
            state: State::Dead,
            attempts: 1,
            next_attempt_at: None,
            created_at,
            expires_at: at(1000),
            settled_at: Some(at(100)),
            digest: is_merged.then_some(DigestId(7)),
            code: ReasonCode::AttemptsUsedUp,
            reason: "http 503".to_owned(),
        };
        DeadLetter { delivery, code: Some(503), members: if is_merged { members } else { Vec::new() } }
    }

    #[test]
    fn a_digest_is_wanted_at_the_first_of_its_deliveries_that_is() {
        let registry = Registry::of_nothing();
        let check = |wanted: Wanted, alone: &[usize], merged: &[usize]| {
            let places = |is_merged| {
                (0..3).filter(|place| is_wanted(&registry, &wanted, &letter(*place, is_merged))).collect::<Vec<_>>()
            };
            assert_eq!((places(false), places(true)), (alone.to_vec(), merged.to_vec()), "{wanted:?}");
        };
        let of_type = |pattern: &str| Wanted { event_types: Pattern::parse(pattern).ok(), ..Wanted::default() };
        check(Wanted::default(), &[0, 1, 2], &[0]);
        check(of_type("a.*"), &[0, 2], &[0]);
        check(of_type("b.x"), &[1], &[1]);
        check(Wanted { since: Some(at(20)), ..Wanted::default() }, &[1, 2], &[1]);
        check(Wanted { code: Some(500), ..Wanted::default() }, &[], &[]);
        check(Wanted { text: Some("503".to_owned()), ..of_type("a.y") }, &[2], &[2]);
        assert_eq!((together(&letter(0, true)), together(&letter(0, false))), (3, 1));
    }
}
