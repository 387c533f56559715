//! The two stores against each other: the same load on SQLite and on PostgreSQL, one channel for each event and then ten.
//!
//! Runs come in pairs, each on a new server with a new database, so what the machine does meanwhile falls on both.

use super::{Bed, Bench, Settings, Sum, in_groups, losses_of};
use crate::cli::bench::database::Store;
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use anyhow::ensure;

/// `events` are those of one run with one channel for each event.
pub(super) const DEFAULTS: Settings =
    Settings { events: 40_000, channels: 20, fanout: 1, workers: 64, batch: 1, event_bytes: 256 };

const PAIRS: u32 = 2;
const TEN: usize = 10;
/// With ten channels for each event there are so many times fewer events, as in `fanout`.
const FEWER: u64 = 4;

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    ensure!(settings.fanout == 1, "stores measures one channel for each event and then ten: leave out --fanout");
    ensure!(settings.channels.is_multiple_of(TEN), "stores needs --channels to be a multiple of {TEN}");
    let one = Pair::measure(bench, &settings).await?;
    let ten = Settings { events: settings.events.div_ceil(FEWER), fanout: TEN, ..settings };
    let ten = Pair::measure(bench, &ten).await?;
    let mut figures = vec![
        Figure::new("sqlite_one", "1 channel each: SQLite", one.sqlite.per_second(), Unit::PerSecond),
        Figure::new("postgres_one", "1 channel each: PostgreSQL", one.postgres.per_second(), Unit::PerSecond),
        one.ratio("ratio_one", "PostgreSQL / SQLite"),
        Figure::new("sqlite_ten", "10 channels each: SQLite", ten.sqlite.per_second(), Unit::PerSecond),
        Figure::new("postgres_ten", "10 channels each: PostgreSQL", ten.postgres.per_second(), Unit::PerSecond),
        ten.ratio("ratio_ten", "PostgreSQL / SQLite"),
    ];
    let (lost, broken) = losses_of(&[&one.sqlite, &one.postgres, &ten.sqlite, &ten.postgres]);
    figures.extend(lost);
    let notes = vec![format!("{PAIRS} pairs of runs of each kind; all figures are deliveries a second")];
    Ok(Report { scenario: "stores", summary: summary(&settings), figures, notes, broken })
}

pub(super) fn summary(settings: &Settings) -> String {
    let Settings { events, channels, workers, batch, event_bytes, .. } = settings;
    let fewer = events.div_ceil(FEWER);
    format!(
        "{events} events of {event_bytes} bytes for 1 of {channels} channels each, {fewer} for {TEN}, {workers} \
         connections, {batch} a request"
    )
}

/// The same load on both stores.
#[derive(Default)]
struct Pair {
    sqlite: Sum,
    postgres: Sum,
}

impl Pair {
    async fn measure(bench: &Bench, settings: &Settings) -> anyhow::Result<Self> {
        let mut pair = Self::default();
        for _ in 0..PAIRS {
            for (store, sum) in [(Store::Sqlite, &mut pair.sqlite), (Store::Postgres, &mut pair.postgres)] {
                let channels = in_groups(settings, &vec![Manner::Now; settings.channels]);
                let bed = Bed::make_on(store, bench, &channels).await?;
                let pace = Pace::Count(settings.requests());
                let (loaded, total) = bed.deliver(bench, settings, pace, settings.fanout).await?;
                sum.add(settings.fanout, &loaded, &total);
            }
        }
        Ok(pair)
    }

    fn ratio(&self, key: &'static str, label: &'static str) -> Figure {
        let ratio = self.postgres.per_second() / self.sqlite.per_second();
        Figure::new(key, label, ratio, Unit::Ratio).aim(Target::AtLeast(Store::Postgres.share()))
    }
}
