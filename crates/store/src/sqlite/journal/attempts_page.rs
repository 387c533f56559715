//! Attempts: a page by number, with the number of them all.
//!
//! Nobody keeps that number, because filters may ask for anything: the newest attempts are looked at, as many as the
//! query allows. Few of their columns are read, and those of the page once more as a whole.

use domain::TenantId;
use domain::delivery::{Attempt, AttemptResult};
use domain::outcome::Class;
use rusqlite::{Connection, Row};

use super::super::segments::{self, Kind, Lookup, Order, Search, Segment};
use super::attempts::{COLUMNS, read_attempt};
use crate::journal::{AttemptPage, AttemptPageQuery};

pub(super) fn attempts_page(
    connection: &Connection,
    tenant: TenantId,
    query: &AttemptPageQuery,
) -> rusqlite::Result<AttemptPage> {
    let mut page = AttemptPage { rows: Vec::new(), total: 0 };
    let mut left = query.examined_max;
    for segment in segments::list(connection, Kind::Attempts, 0, i64::MAX)? {
        if left == 0 {
            break;
        }
        // To look into a segment counts as a row, so that a tenant with few attempts among many ends as well.
        left -= 1;
        for id in look(connection, &segment, tenant, query, &mut left)? {
            if page.total >= query.skip && page.rows.len() < query.rows_max {
                page.rows.push(whole(connection, id)?);
            }
            page.total += 1;
        }
    }
    Ok(page)
}

/// The attempts of a segment that pass, newest first, of at most `left` that are looked at.
fn look(
    connection: &Connection,
    segment: &Segment,
    tenant: TenantId,
    query: &AttemptPageQuery,
    left: &mut usize,
) -> rusqlite::Result<Vec<i64>> {
    let (lookup, sought) = match query.channel {
        Some(channel) => (Lookup::Channel, channel.0),
        None => (Lookup::Tenant, tenant.0),
    };
    // It stands behind the answer's body, which is not worth reading past when nobody asks.
    let gave_up = if query.result.is_some() { "gave_up" } else { "0" };
    let columns = format!("id, channel_id, provider, event_type, class, {gave_up}");
    let search = Search { lookup, sought, above: 0, below: i64::MAX, tenant, rows_max: *left };
    let passing = |row: &Row<'_>| Ok(if passes(query, row)? { Some(row.get(0)?) } else { None });
    let looked_at: Vec<Option<i64>> = segment.find(connection, &search, Order::NewestFirst, &columns, passing)?;
    *left -= looked_at.len();
    Ok(looked_at.into_iter().flatten().collect())
}

fn passes(query: &AttemptPageQuery, row: &Row<'_>) -> rusqlite::Result<bool> {
    let class = Class::parse(row.get_ref(4)?.as_str()?).unwrap_or(Class::Unknown);
    let result = AttemptResult::of(class, row.get(5)?);
    Ok(query.result.is_none_or(|wanted| result == wanted)
        && query.providers.contains(row.get_ref(2)?.as_str()?)
        && query
            .event_type
            .as_deref()
            .is_none_or(|wanted| row.get_ref(3).is_ok_and(|kept| kept.as_str() == Ok(wanted)))
        && !query.except.contains(&domain::ChannelId(row.get(1)?)))
}

fn whole(connection: &Connection, id: i64) -> rusqlite::Result<Attempt> {
    let sql = format!("SELECT {COLUMNS} FROM attempts WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], read_attempt).map(|(_, attempt)| attempt)
}
