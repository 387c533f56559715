//! Retention under load: a past whose time is over goes while events are posted as fast as they are accepted.
//!
//! Told are the rows that go a second against those that the load writes (an event, a delivery and an attempt each), and
//! the longest time that a piece of upkeep held the writer, from the server's own figures.

use super::history::{self, ATTEMPTS_EACH};
use super::throughput::delivered_per_second;
use super::{Bed, Bench, Settings, losses};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::stats::per_second;
use std::time::Duration;

pub(super) const DEFAULTS: Settings = Settings { events: 200_000, ..history::DEFAULTS };

/// Days that history is kept on the server of this scenario; the past is older.
const KEPT_DAYS: &str = "7";

/// Rows of history that a delivery of the load writes.
const ROWS_EACH: u64 = 3;

const HOLD_MS_MAX: f64 = 20.0;

pub(super) fn summary(settings: &Settings, past_attempts: u64) -> String {
    format!("{past_attempts} old attempts, {ATTEMPTS_EACH} a delivery, go meanwhile; {}", settings.summary())
}

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let mut bed = Bed::make(bench, &settings, &vec![Manner::Now; settings.channels]).await?;
    for kind in ["EVENTS", "DELIVERIES", "ATTEMPTS"] {
        bed.server.set(&format!("POSTRIDER_RETENTION__{kind}_DAYS"), KEPT_DAYS);
    }
    let begins_at = history::before_now(Duration::from_hours(24 * 20));
    history::write_past(bench, &mut bed, &settings, begins_at).await?;
    let before = bed.server.figures().await?;
    let (loaded, total) = bed.deliver(bench, &settings, Pace::Count(settings.requests()), settings.fanout).await?;
    let after = bed.server.figures().await?;
    let time = Duration::from_nanos(total.last_ns.saturating_sub(loaded.start_ns));
    let gone = per_second(after.rows("retain") - before.rows("retain"), time);
    let written = per_second(total.deliveries * ROWS_EACH, time);
    let longest = |key, label, work| {
        Figure::new(key, label, after.longest_ms(work), Unit::Milliseconds).aim(Target::AtMost(HOLD_MS_MAX))
    };
    let mut figures = vec![
        Figure::new("delivered", "delivered", delivered_per_second(&loaded, &total), Unit::PerSecond),
        Figure::p99("accept_p99", "accept p99", &loaded.latencies),
        Figure::new("written", "rows written", written, Unit::PerSecond),
        Figure::new("gone", "rows let go of", gone, Unit::PerSecond),
        Figure::new("share", "let go of / written", gone / written, Unit::Ratio).aim(Target::AtLeast(1.0)),
        longest("retain_longest", "retention held the writer at most", "retain"),
        longest("index_longest", "a look-up held it at most", "index"),
        longest("fold_longest", "folding the log held it at most", "fold"),
    ];
    let (lost, broken) = losses(loaded.accepted * settings.fanout as u64, &loaded, &total);
    figures.extend(lost);
    let note = "holds are told by the bounds 0.5, 1, 2, 5, 10, 20, 50 ... ms; 'not known' is above 500 ms".to_owned();
    Ok(Report { scenario: "retention", summary: summary(&settings, bench.past), figures, notes: vec![note], broken })
}
