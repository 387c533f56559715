//! What a long load leaves in PostgreSQL's live tables: every delivery puts a row into the queue and takes it out again, and
//! what it leaves has to be swept.
//!
//! While the load runs, dead rows and sizes are looked at again and again, and the largest are told.

use super::{Bed, Bench, Settings, Sum, in_groups, losses_of};
use crate::app::LiveTables;
use crate::cli::bench::database::{Database, Store};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use anyhow::Context as _;
use std::cell::Cell;
use std::time::Duration;

/// Two million deliveries.
pub(super) const DEFAULTS: Settings =
    Settings { events: 200_000, channels: 20, fanout: 10, workers: 64, batch: 1, event_bytes: 256 };

pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// How often the tables are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Swept once a minute, which is PostgreSQL's own pace, a million dead rows are those of 16,000 deliveries a second.
const DEAD_ROWS_MAX: f64 = 1_000_000.0;
/// Both indexes of the queue with a million dead rows, and the small ones of the other tables.
const INDEX_MEBIBYTES_MAX: f64 = 128.0;

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let channels = in_groups(&settings, &vec![Manner::Now; settings.channels]);
    let bed = Bed::make_on(Store::Postgres, bench, &channels).await?;
    let database = bed.server.database().context("the server has no database of its own")?;
    let most = Cell::new(LiveTables::default());
    let (loaded, total) = tokio::select! {
        delivered = bed.deliver(bench, &settings, Pace::Count(settings.requests()), settings.fanout) => delivered?,
        error = watch(database, &most) => return Err(error),
    };
    let end = database.live_tables().await?;
    let most = larger(most.get(), end);
    let mut sum = Sum::default();
    sum.add(settings.fanout, &loaded, &total);
    let dead = Figure::count("dead_rows_max", "dead rows, at most", most.dead_rows);
    let index = Figure::mebibytes("index_max", "indexes, at most", most.index_bytes);
    let mut figures = vec![
        Figure::count("deliveries", "deliveries", sum.deliveries),
        Figure::new("delivered", "delivered", sum.per_second(), Unit::PerSecond),
        dead.aim(Target::AtMost(DEAD_ROWS_MAX)),
        Figure::count("dead_rows", "dead rows at the end", end.dead_rows),
        Figure::mebibytes("table_max", "tables, at most", most.table_bytes),
        Figure::mebibytes("table", "tables at the end", end.table_bytes),
        index.aim(Target::AtMost(INDEX_MEBIBYTES_MAX)),
        Figure::mebibytes("index", "indexes at the end", end.index_bytes),
    ];
    let (lost, broken) = losses_of(&[&sum]);
    figures.extend(lost);
    let notes = vec!["all figures of tables are sums over the live ones, looked at every second".to_owned()];
    Ok(Report { scenario: "live-tables", summary: settings.summary(), figures, notes, broken })
}

/// Looks at the tables until it fails, and keeps the most that was seen.
async fn watch(database: &Database, most: &Cell<LiveTables>) -> anyhow::Error {
    loop {
        match database.live_tables().await {
            Ok(seen) => most.set(larger(most.get(), seen)),
            Err(error) => return error,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn larger(one: LiveTables, other: LiveTables) -> LiveTables {
    LiveTables {
        dead_rows: one.dead_rows.max(other.dead_rows),
        table_bytes: one.table_bytes.max(other.table_bytes),
        index_bytes: one.index_bytes.max(other.index_bytes),
    }
}
