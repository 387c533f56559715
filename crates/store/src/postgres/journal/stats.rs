//! Sums: from the counters and from what is kept with every move, never by counting rows.

use std::collections::BTreeMap;

use domain::routing::Pattern;
use domain::{ChannelId, TenantId, Timestamp};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, query};
use crate::journal::{ChannelStats, ChannelTotals, Stats, StatsQuery};
use crate::sums::bucket_of;

pub(super) async fn stats(connection: &Connection, tenant: TenantId, query: StatsQuery) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    happened(connection, tenant, &query, &mut stats).await?;
    if query.event_types.is_none() {
        waiting(connection, tenant, query.channel, &mut stats).await?;
    }
    Ok(stats)
}

async fn happened(
    connection: &Connection,
    tenant: TenantId,
    asked: &StatsQuery,
    stats: &mut Stats,
) -> Result<(), Error> {
    let since = bucket_of(asked.since);
    let mut conditions = vec!["tenant_id = $1 AND bucket >= $2".to_owned()];
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&tenant.0, &since];
    if let Some(channel) = &asked.channel {
        values.push(&channel.0);
        conditions.push(format!("channel_id = ${}", values.len()));
    }
    let (comparison, named) = type_condition(asked.event_types.as_ref());
    if let Some(named) = &named {
        values.push(named);
        conditions.push(comparison.replace('?', &format!("${}::text", values.len())));
    }
    let condition = conditions.join(" AND ");
    let sql = format!("SELECT status, sum(count)::bigint FROM counters WHERE {condition} GROUP BY status");
    for row in query(connection, &sql, &values).await? {
        let count = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        match row.try_get(0)? {
            "event" => stats.events = count,
            "sent" => stats.sent = count,
            "failed" => stats.failed_attempts = count,
            "cancelled" => stats.cancelled = count,
            "expired" => stats.expired = count,
            _ => {}
        }
    }
    Ok(())
}

/// How a type is compared with a text (`?`), and the text.
fn type_condition(pattern: Option<&Pattern>) -> (&'static str, Option<String>) {
    match pattern {
        None => ("", None),
        Some(Pattern::All) => ("left(event_type, length(?)) <> ?", Some(domain::event::OWN_PREFIX.to_owned())),
        // No LIKE: an underscore is a letter of event types.
        Some(Pattern::Prefix(prefix)) => ("left(event_type, length(?)) = ?", Some(prefix.to_string())),
        Some(Pattern::Exact(exact)) => ("event_type = ?", Some(exact.to_string())),
    }
}

async fn waiting(
    connection: &Connection,
    tenant: TenantId,
    only: Option<ChannelId>,
    stats: &mut Stats,
) -> Result<(), Error> {
    let columns = "SELECT channel_id, pending, retrying, dead FROM waiting";
    let rows = match only {
        None => {
            let sql = format!("{columns} WHERE tenant_id = $1 ORDER BY channel_id");
            query(connection, &sql, &[&tenant.0]).await?
        }
        Some(channel) => {
            let sql = format!("{columns} WHERE channel_id = $2 AND tenant_id = $1");
            query(connection, &sql, &[&tenant.0, &channel.0]).await?
        }
    };
    for row in &rows {
        let ChannelTotals { channel, pending, retrying, dead } = read_totals(row)?;
        stats.pending += pending;
        stats.retrying += retrying;
        stats.dead += dead;
        if pending + retrying > 0 {
            stats.waiting.push((channel, pending, retrying));
        }
    }
    Ok(())
}

pub(super) async fn stats_by_channel(
    connection: &Connection,
    tenant: TenantId,
    since: Timestamp,
) -> Result<Vec<ChannelStats>, Error> {
    let mut by_channel = BTreeMap::new();
    let since = bucket_of(since);
    let sql = "SELECT channel_id, status, sum(count)::bigint FROM counters
               WHERE tenant_id = $1 AND bucket >= $2 AND channel_id > 0 AND status IN ('sent', 'failed')
               GROUP BY channel_id, status";
    for row in query(connection, sql, &[&tenant.0, &since]).await? {
        let stats: &mut ChannelStats = of(&mut by_channel, ChannelId(row.try_get(0)?));
        let sum = u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or(0);
        match row.try_get(1)? {
            "sent" => stats.sent = sum,
            _ => stats.failed_attempts = sum,
        }
    }
    let sql = "SELECT channel_id, pending, retrying, dead FROM waiting WHERE tenant_id = $1";
    for row in query(connection, sql, &[&tenant.0]).await? {
        let ChannelTotals { channel, pending, retrying, dead } = read_totals(&row)?;
        if pending + retrying + dead > 0 {
            let stats = of(&mut by_channel, channel);
            (stats.pending, stats.retrying, stats.dead) = (pending, retrying, dead);
        }
    }
    Ok(by_channel.into_values().collect())
}

fn of(by_channel: &mut BTreeMap<ChannelId, ChannelStats>, channel: ChannelId) -> &mut ChannelStats {
    let nothing = ChannelStats { channel, sent: 0, failed_attempts: 0, pending: 0, retrying: 0, dead: 0 };
    by_channel.entry(channel).or_insert(nothing)
}

/// What waits and what is dead, of every channel that has any.
pub(super) async fn totals(connection: &Connection) -> Result<Vec<ChannelTotals>, Error> {
    let sql = "SELECT channel_id, pending, retrying, dead FROM waiting ORDER BY channel_id";
    let mut totals: Vec<_> =
        query(connection, sql, &[]).await?.iter().map(read_totals).collect::<Result<_, Error>>()?;
    totals.retain(|one| one.pending + one.retrying + one.dead > 0);
    Ok(totals)
}

fn read_totals(row: &Row) -> Result<ChannelTotals, Error> {
    let sum = |column: usize| row.try_get(column).map(|sum: i64| u64::try_from(sum).unwrap_or(0));
    Ok(ChannelTotals { channel: ChannelId(row.try_get(0)?), pending: sum(1)?, retrying: sum(2)?, dead: sum(3)? })
}
