//! Digests: sealed before they are sent, and then moved as one.

use domain::{ChannelId, DeliveryId, DigestId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::tx::{Tx, next};
use crate::digest::{DigestMember, NewDigest, SealedDigest, members_json, read_members};

pub(super) fn seal_digest(tx: &mut Tx<'_>, new: &NewDigest) -> rusqlite::Result<Option<DigestId>> {
    let mut waits_untried = tx.connection.prepare_cached(
        "SELECT EXISTS (
             SELECT 1 FROM queue
             WHERE channel_id = ?1 AND delivery_id = ?2 AND tenant_id = ?3 AND tries = 0 AND digest_id IS NULL)",
    )?;
    for member in &new.members {
        let ids = [new.channel.0, member.delivery.0, new.tenant.0];
        if !waits_untried.query_row(ids, |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
    }
    let id = next(&mut tx.sequences.digest);
    tx.connection
        .prepare_cached(
            "INSERT INTO digests (id, tenant_id, channel_id, group_key, opened_at, closes_at, sealed_at, members, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id,
            new.tenant.0,
            new.channel.0,
            new.key,
            new.opened_at.as_ms(),
            new.closes_at.as_ms(),
            new.sealed_at.as_ms(),
            members_json(&new.members).as_bytes(),
            new.body.as_bytes(),
        ])?;
    let mut join = tx.connection.prepare_cached(
        "UPDATE queue SET digest_id = ?3, expires_at = ?4, due_at = ?5 WHERE channel_id = ?1 AND delivery_id = ?2",
    )?;
    for member in &new.members {
        join.execute(params![new.channel.0, member.delivery.0, id, new.expires_at.as_ms(), new.sealed_at.as_ms()])?;
    }
    Ok(Some(DigestId(id)))
}

/// A digest with what it sends.
pub(super) fn sealed(connection: &Connection, id: DigestId) -> rusqlite::Result<Option<SealedDigest>> {
    connection
        .prepare_cached("SELECT members, sealed_at, body FROM digests WHERE id = ?1")?
        .query_row([id.0], |row| {
            let members = read_members(row.get_ref(0)?.as_blob()?);
            let body = String::from_utf8(row.get(2)?).unwrap_or_default();
            Ok(SealedDigest { id, members, sealed_at: Timestamp::from_ms(row.get(1)?), body })
        })
        .optional()
}

/// The deliveries that move with this one: those of its digest, or itself alone.
pub(super) fn together(
    connection: &Connection,
    delivery: DeliveryId,
    digest: Option<DigestId>,
) -> rusqlite::Result<Vec<DeliveryId>> {
    let Some(digest) = digest else { return Ok(vec![delivery]) };
    let members = members(connection, digest)?;
    Ok(members.map_or_else(|| vec![delivery], |members| members.iter().map(|member| member.delivery).collect()))
}

/// The deliveries of a digest that is not over for good.
pub(in crate::sqlite) fn members(connection: &Connection, id: DigestId) -> rusqlite::Result<Option<Vec<DigestMember>>> {
    connection
        .prepare_cached("SELECT members FROM digests WHERE id = ?1")?
        .query_row([id.0], |row| Ok(read_members(row.get_ref(0)?.as_blob()?)))
        .optional()
}

/// Makes all deliveries that move with this one due at once, with a fresh budget of attempts.
pub(super) fn due_together(
    connection: &Connection,
    channel: ChannelId,
    delivery: DeliveryId,
    digest: Option<DigestId>,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("UPDATE queue SET due_at = 0, attempts = 0 WHERE channel_id = ?1 AND delivery_id = ?2")?;
    for delivery in together(connection, delivery, digest)? {
        statement.execute([channel.0, delivery.0])?;
    }
    Ok(())
}

/// Forgets a digest that is over for good: nothing of it is sent any more.
pub(super) fn forget(connection: &Connection, digest: DigestId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM digests WHERE id = ?1")?.execute([digest.0]).map(drop)
}
