//! Compact blobs: lists of ids as differences in base-128, as in a search index.
//!
//! An event that goes to a thousand neighbouring channels costs about a kilobyte, one that goes to one costs a byte.

use domain::ChannelId;
use domain::Timestamp;
use domain::verdict::Reason;

use crate::queue::NewDelivery;

pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// Reads one number and moves on; `None` at the end or on a torn blob.
pub(crate) fn take(blob: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = blob.split_first()?;
        *blob = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A number that may be negative: small ones of both signs take few bytes.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Reads what [`put_signed`] has written.
pub(crate) fn take_signed(blob: &mut &[u8]) -> Option<i64> {
    let folded = take(blob)?;
    Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
}

/// Differences of ascending ids; ids are never negative.
struct Ascending(i64);

impl Ascending {
    fn put(&mut self, out: &mut Vec<u8>, id: i64) {
        put(out, u64::try_from(id - self.0).expect("ids ascend"));
        self.0 = id;
    }

    fn take(&mut self, blob: &mut &[u8]) -> Option<i64> {
        self.0 += i64::try_from(take(blob)?).ok()?;
        Some(self.0)
    }
}

/// Channels in ascending order.
pub(crate) fn encode_channels(channels: impl IntoIterator<Item = ChannelId>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut ids = Ascending(0);
    channels.into_iter().for_each(|channel| ids.put(&mut out, channel.0));
    out
}

pub(crate) fn decode_channels(mut blob: &[u8]) -> Vec<ChannelId> {
    let mut ids = Ascending(0);
    std::iter::from_fn(|| ids.take(&mut blob).map(ChannelId)).collect()
}

/// Deliveries in ascending order of channel.
pub(crate) fn encode_deliveries(deliveries: &[NewDelivery]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut ids = Ascending(0);
    for delivery in deliveries {
        ids.put(&mut out, delivery.channel.0);
        put(&mut out, u64::try_from(delivery.expires_at.as_ms()).unwrap_or(0));
    }
    out
}

pub(crate) fn decode_deliveries(mut blob: &[u8]) -> Vec<NewDelivery> {
    let mut ids = Ascending(0);
    std::iter::from_fn(|| {
        let channel = ChannelId(ids.take(&mut blob)?);
        let expires_at = Timestamp::from_ms(i64::try_from(take(&mut blob)?).ok()?);
        Some(NewDelivery { channel, expires_at })
    })
    .collect()
}

/// Skipped channels in ascending order.
pub(crate) fn encode_skipped(skipped: &[(ChannelId, Reason)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut ids = Ascending(0);
    for (channel, reason) in skipped {
        ids.put(&mut out, channel.0);
        out.push(reason.number());
    }
    out
}

pub(crate) fn decode_skipped(mut blob: &[u8]) -> Vec<(ChannelId, Reason)> {
    let mut ids = Ascending(0);
    std::iter::from_fn(|| {
        let channel = ChannelId(ids.take(&mut blob)?);
        let (number, rest) = blob.split_first()?;
        blob = rest;
        Some((channel, Reason::from_number(*number)?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_hold_what_was_put_in() {
        let channels: Vec<_> = [1, 2, 3, 200, 70_000, domain::ids::ID_MAX].map(ChannelId).to_vec();
        let blob = encode_channels(channels.iter().copied());
        assert_eq!(decode_channels(&blob), channels);
        assert_eq!(encode_channels([]), Vec::<u8>::new());

        let deliveries: Vec<_> = channels
            .iter()
            .map(|channel| NewDelivery { channel: *channel, expires_at: Timestamp::from_ms(1_760_000_000_000) })
            .collect();
        assert_eq!(decode_deliveries(&encode_deliveries(&deliveries)), deliveries);

        let skipped: Vec<_> = channels.iter().copied().zip(Reason::ALL.into_iter().cycle()).collect();
        assert_eq!(decode_skipped(&encode_skipped(&skipped)), skipped);
    }

    #[test]
    fn a_torn_blob_gives_what_is_whole() {
        let blob = encode_channels([ChannelId(1), ChannelId(70_000)]);
        assert_eq!(decode_channels(&blob[..2]), [ChannelId(1)]);
    }
}
