//! Attempts: a page by number, with the number of them all.
//!
//! Nobody keeps that number, because filters may ask for anything: the newest attempts are looked at, as many as the
//! query allows. Few of their columns are read, and those of the page once more as a whole.

use domain::delivery::AttemptResult;
use domain::outcome::Class;
use domain::{ChannelId, TenantId};
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, limit, query};
use super::attempts::{COLUMNS, read_attempt};
use crate::journal::{AttemptPage, AttemptPageQuery};

pub(super) async fn attempts_page(
    connection: &Connection,
    tenant: TenantId,
    asked: AttemptPageQuery,
) -> Result<AttemptPage, Error> {
    let passed = look(connection, tenant, &asked).await?;
    let ids: Vec<_> = passed.iter().copied().skip(asked.skip).take(asked.rows_max).collect();
    let sql = format!(
        "SELECT found.*
         FROM unnest($2::bigint[]) AS asked (attempt)
         CROSS JOIN LATERAL (SELECT {COLUMNS} FROM attempts
                             WHERE tenant_id = $1 AND id = asked.attempt
                             LIMIT 1) AS found
         ORDER BY id DESC"
    );
    let rows = query(connection, &sql, &[&tenant.0, &ids]).await?;
    let rows = rows.iter().map(|row| Ok(read_attempt(row)?.1)).collect::<Result<_, Error>>()?;
    Ok(AttemptPage { rows, total: passed.len() })
}

/// The attempts that pass, newest first, of those that may be looked at. To look at all counts as a row.
async fn look(connection: &Connection, tenant: TenantId, asked: &AttemptPageQuery) -> Result<Vec<i64>, Error> {
    let looked_at = limit(asked.examined_max.saturating_sub(1));
    let columns = "SELECT id, channel_id, provider, event_type, class, gave_up FROM attempts";
    // The sum keeps PostgreSQL from the tenant's index where the channel's finds fewer rows.
    let rows = match asked.channel {
        None => {
            let sql = format!("{columns} WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2");
            query(connection, &sql, &[&tenant.0, &looked_at]).await?
        }
        Some(channel) => {
            let sql = format!("{columns} WHERE tenant_id + 0 = $1 AND channel_id = $3 ORDER BY id DESC LIMIT $2");
            query(connection, &sql, &[&tenant.0, &looked_at, &channel.0]).await?
        }
    };
    let mut passed = Vec::new();
    for row in &rows {
        if passes(asked, row)? {
            passed.push(row.try_get(0)?);
        }
    }
    Ok(passed)
}

fn passes(asked: &AttemptPageQuery, row: &Row) -> Result<bool, Error> {
    let (provider, event_type): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let class = Class::parse(row.try_get(4)?).unwrap_or(Class::Unknown);
    let result = AttemptResult::of(class, row.try_get(5)?);
    Ok(asked.result.is_none_or(|wanted| result == wanted)
        && asked.providers.contains(provider)
        && asked.event_type.as_deref().is_none_or(|wanted| event_type == wanted)
        && !asked.except.contains(&ChannelId(row.try_get(1)?)))
}
