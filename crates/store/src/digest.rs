//! Digests as they are kept: sealed before they are sent, so that a message is the same however often it is sent.
//!
//! A backend keeps members as [`members_json`] writes them, and gives them back as [`read_members`] reads them.

use std::sync::Arc;

use domain::{ChannelId, DeliveryId, DigestId, EventId, TenantId, Timestamp};
use serde_json::{Value, json};

/// Several deliveries of one channel that are to be one message.
#[derive(Clone, Debug)]
pub struct NewDigest {
    pub tenant: TenantId,
    pub channel: ChannelId,
    /// What its deliveries have in common.
    pub key: String,
    pub opened_at: Timestamp,
    pub closes_at: Timestamp,
    pub sealed_at: Timestamp,
    /// When its time-to-live ends: from then on that of each of its deliveries.
    pub expires_at: Timestamp,
    /// In order of delivery.
    pub members: Vec<DigestMember>,
    /// What is sent, in the words of whoever sends it.
    pub body: String,
}

/// One delivery of a digest, with what its history is written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestMember {
    pub delivery: DeliveryId,
    pub event: EventId,
    pub event_type: Arc<str>,
    pub created_at: Timestamp,
}

/// A digest that is durable. Its first delivery stands for it in the queue; the others move with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedDigest {
    pub id: DigestId,
    pub members: Vec<DigestMember>,
    pub sealed_at: Timestamp,
    pub body: String,
}

pub(crate) fn members_json(members: &[DigestMember]) -> String {
    let row = |member: &DigestMember| {
        json!([member.delivery.0, member.event.0, &*member.event_type, member.created_at.as_ms()])
    };
    members.iter().map(row).collect::<Value>().to_string()
}

/// Members that cannot be read count as none.
pub(crate) fn read_members(json: &[u8]) -> Vec<DigestMember> {
    let rows: Vec<(i64, i64, String, i64)> = serde_json::from_slice(json).unwrap_or_default();
    let member = |(delivery, event, event_type, created_at): (i64, i64, String, i64)| DigestMember {
        delivery: DeliveryId(delivery),
        event: EventId(event),
        event_type: event_type.into(),
        created_at: Timestamp::from_ms(created_at),
    };
    rows.into_iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_as_they_were() {
        let member = |id: i64| DigestMember {
            delivery: DeliveryId(id),
            event: EventId(id * 3),
            event_type: format!("a.\"{id}\"").into(),
            created_at: Timestamp::from_ms(1_700_000_000_000 + id),
        };
        let members: Vec<_> = (1..=3).map(member).collect();
        assert_eq!(read_members(members_json(&members).as_bytes()), members);
        assert_eq!(read_members(b"[[1]]"), []);
    }
}
