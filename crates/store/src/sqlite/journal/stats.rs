//! Sums: from the counters and from what is kept with every move, never by counting rows.

use std::collections::BTreeMap;

use domain::routing::Pattern;
use domain::{ChannelId, TenantId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::journal::{ChannelStats, ChannelTotals, Stats, StatsQuery};
use crate::sums::bucket_of;

pub(super) fn stats(connection: &Connection, tenant: TenantId, query: &StatsQuery) -> rusqlite::Result<Stats> {
    let mut stats = Stats::default();
    happened(connection, tenant, query, &mut stats)?;
    if query.event_types.is_none() {
        waiting(connection, tenant, query.channel, &mut stats)?;
    }
    Ok(stats)
}

fn happened(connection: &Connection, tenant: TenantId, query: &StatsQuery, stats: &mut Stats) -> rusqlite::Result<()> {
    let mut conditions = vec!["tenant_id = ?1 AND bucket >= ?2".to_owned()];
    let mut values: Vec<Value> = vec![tenant.0.into(), bucket_of(query.since).into()];
    if let Some(channel) = query.channel {
        values.push(channel.0.into());
        conditions.push(format!("channel_id = ?{}", values.len()));
    }
    let number = values.len() + 1;
    match &query.event_types {
        None => {}
        Some(Pattern::All) => {
            values.push(domain::event::OWN_PREFIX.to_owned().into());
            conditions.push(format!("substr(event_type, 1, length(?{number})) <> ?{number}"));
        }
        Some(Pattern::Prefix(prefix)) => {
            values.push(prefix.to_string().into());
            // No LIKE: an underscore is a letter of event types.
            conditions.push(format!("substr(event_type, 1, length(?{number})) = ?{number}"));
        }
        Some(Pattern::Exact(exact)) => {
            values.push(exact.to_string().into());
            conditions.push(format!("event_type = ?{number}"));
        }
    }
    let condition = conditions.join(" AND ");
    let sql = format!("SELECT status, SUM(count) FROM counters WHERE {condition} GROUP BY status");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        match row.get_ref(0)?.as_str()? {
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

fn waiting(
    connection: &Connection,
    tenant: TenantId,
    only: Option<ChannelId>,
    stats: &mut Stats,
) -> rusqlite::Result<()> {
    let columns = "SELECT channel_id, pending, retrying, dead FROM waiting";
    let sql = match only {
        None => format!("{columns} WHERE tenant_id = ?1 AND ?2 IS NULL ORDER BY channel_id"),
        Some(_) => format!("{columns} WHERE channel_id = ?2 AND +tenant_id = ?1"),
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![tenant.0, only.map(|channel| channel.0)])?;
    while let Some(row) = rows.next()? {
        let sum = |column| row.get(column).map(|sum: i64| u64::try_from(sum).unwrap_or(0));
        let (pending, retrying, dead) = (sum(1)?, sum(2)?, sum(3)?);
        stats.pending += pending;
        stats.retrying += retrying;
        stats.dead += dead;
        if pending + retrying > 0 {
            stats.waiting.push((ChannelId(row.get(0)?), pending, retrying));
        }
    }
    Ok(())
}

pub(super) fn stats_by_channel(
    connection: &Connection,
    tenant: TenantId,
    since: Timestamp,
) -> rusqlite::Result<Vec<ChannelStats>> {
    let mut by_channel = BTreeMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT channel_id, status, SUM(count) FROM counters
         WHERE tenant_id = ?1 AND bucket >= ?2 AND channel_id > 0 AND status IN ('sent', 'failed')
         GROUP BY channel_id, status",
    )?;
    let mut rows = statement.query([tenant.0, bucket_of(since)])?;
    while let Some(row) = rows.next()? {
        let stats: &mut ChannelStats = of(&mut by_channel, ChannelId(row.get(0)?));
        let sum = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        match row.get_ref(1)?.as_str()? {
            "sent" => stats.sent = sum,
            _ => stats.failed_attempts = sum,
        }
    }
    let mut statement =
        connection.prepare_cached("SELECT channel_id, pending, retrying, dead FROM waiting WHERE tenant_id = ?1")?;
    let mut rows = statement.query([tenant.0])?;
    while let Some(row) = rows.next()? {
        let sum = |column| row.get(column).map(|sum: i64| u64::try_from(sum).unwrap_or(0));
        let (pending, retrying, dead) = (sum(1)?, sum(2)?, sum(3)?);
        if pending + retrying + dead > 0 {
            let stats = of(&mut by_channel, ChannelId(row.get(0)?));
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
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<Vec<ChannelTotals>> {
    let read = |row: &Row<'_>| {
        let sum = |column| row.get(column).map(|sum: i64| u64::try_from(sum).unwrap_or(0));
        Ok(ChannelTotals { channel: ChannelId(row.get(0)?), pending: sum(1)?, retrying: sum(2)?, dead: sum(3)? })
    };
    let mut statement =
        connection.prepare_cached("SELECT channel_id, pending, retrying, dead FROM waiting ORDER BY channel_id")?;
    let mut totals: Vec<ChannelTotals> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    totals.retain(|one| one.pending + one.retrying + one.dead > 0);
    Ok(totals)
}
