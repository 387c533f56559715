//! Digests: sealed before they are sent, and then moved as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{ChannelId, DeliveryId, DigestId, Timestamp};
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, execute, query, query_one, text};
use super::super::tx::{Tx, next};
use crate::digest::{DigestMember, NewDigest, SealedDigest, members_json, read_members};

pub(super) async fn seal_digest(tx: &mut Tx, new: &NewDigest) -> Result<Option<DigestId>, Error> {
    let deliveries: Vec<_> = new.members.iter().map(|member| member.delivery.0).collect();
    let sql = "SELECT count(*)
               FROM unnest($2::bigint[]) AS asked (id)
               CROSS JOIN LATERAL (SELECT FROM queue
                                   WHERE channel_id = $1 AND delivery_id BETWEEN asked.id AND asked.id
                                     AND tenant_id = $3 AND tries = 0 AND digest_id IS NULL
                                   ORDER BY delivery_id LIMIT 1) AS found";
    let found = query_one(&tx.connection, sql, &[&new.channel.0, &deliveries, &new.tenant.0]).await?;
    if usize::try_from(found.try_get::<_, i64>(0)?).ok() != Some(deliveries.len()) {
        return Ok(None);
    }
    let id = next(&mut tx.sequences.digest);
    let sql =
        "INSERT INTO digests (id, tenant_id, channel_id, group_key, opened_at, closes_at, sealed_at, members, body)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let (members, body) = (members_json(&new.members).into_bytes(), new.body.as_bytes());
    execute(
        &tx.connection,
        sql,
        &[
            &id,
            &new.tenant.0,
            &new.channel.0,
            &text(&new.key),
            &new.opened_at.as_ms(),
            &new.closes_at.as_ms(),
            &new.sealed_at.as_ms(),
            &members,
            &body,
        ],
    )
    .await?;
    let sql = format!("UPDATE queue SET digest_id = $3, expires_at = $4, due_at = $5 {OF_CHANNEL}");
    let (expires_at, sealed_at) = (new.expires_at.as_ms(), new.sealed_at.as_ms());
    execute(&tx.connection, &sql, &[&new.channel.0, &deliveries, &id, &expires_at, &sealed_at]).await?;
    Ok(Some(DigestId(id)))
}

/// The rows of the channel $1 that are these deliveries, $2, as a condition of a change.
const OF_CHANNEL: &str = "WHERE ctid = ANY (ARRAY (SELECT found.place
                          FROM unnest($2::bigint[]) AS asked (id)
                          CROSS JOIN LATERAL (SELECT ctid AS place FROM queue
                                              WHERE channel_id = $1 AND delivery_id BETWEEN asked.id AND asked.id
                                              ORDER BY delivery_id LIMIT 1) AS found))";

/// Digests with what they send.
pub(super) async fn sealed(
    connection: &Connection,
    ids: &[i64],
) -> Result<BTreeMap<DigestId, Arc<SealedDigest>>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read = |row: &Row| {
        let id = DigestId(row.try_get(0)?);
        let members = read_members(row.try_get(1)?);
        let sealed_at = Timestamp::from_ms(row.try_get(2)?);
        let body = String::from_utf8(row.try_get(3)?).unwrap_or_default();
        Ok((id, Arc::new(SealedDigest { id, members, sealed_at, body })))
    };
    // In this order, so that the index of ids is taken.
    let sql = "SELECT id, members, sealed_at, body FROM digests WHERE id = ANY ($1) ORDER BY id";
    query(connection, sql, &[&ids]).await?.iter().map(read).collect()
}

/// The deliveries that move with this one: those of its digest, or itself alone.
pub(super) async fn together(
    connection: &Connection,
    delivery: DeliveryId,
    digest: Option<DigestId>,
) -> Result<Vec<DeliveryId>, Error> {
    let Some(digest) = digest else { return Ok(vec![delivery]) };
    let found = members(connection, &[digest.0]).await?;
    let Some(members) = found.get(&digest) else { return Ok(vec![delivery]) };
    Ok(members.iter().map(|member| member.delivery).collect())
}

/// The deliveries of digests, of those that are not over for good.
pub(in crate::postgres) async fn members(
    connection: &Connection,
    ids: &[i64],
) -> Result<BTreeMap<DigestId, Vec<DigestMember>>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read = |row: &Row| Ok((DigestId(row.try_get(0)?), read_members(row.try_get(1)?)));
    let sql = "SELECT id, members FROM digests WHERE id = ANY ($1) ORDER BY id";
    query(connection, sql, &[&ids]).await?.iter().map(read).collect()
}

/// Makes all deliveries that move with this one due at once, with a fresh budget of attempts.
pub(super) async fn due_together(
    connection: &Connection,
    channel: ChannelId,
    delivery: DeliveryId,
    digest: Option<DigestId>,
) -> Result<(), Error> {
    let deliveries: Vec<_> = together(connection, delivery, digest).await?.iter().map(|one| one.0).collect();
    let sql = format!("UPDATE queue SET due_at = 0, attempts = 0 {OF_CHANNEL}");
    execute(connection, &sql, &[&channel.0, &deliveries]).await.map(drop)
}

/// Forgets digests that are over for good: nothing of them is sent any more.
pub(super) async fn forget(connection: &Connection, ids: &[i64]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM digests
               WHERE ctid = ANY (ARRAY (SELECT ctid FROM digests WHERE id = ANY ($1) ORDER BY id))";
    execute(connection, sql, &[&ids]).await.map(drop)
}
