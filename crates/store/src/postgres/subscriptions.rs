//! Subscriptions as their rows hold them. Part of the directory, and read by the journal as well.
//!
//! With SQLite this is the end of `directory.rs`; here a pattern needs more words to be read.

use domain::routing::{ConfigVersion, Pattern, Subscription};
use domain::{ChannelId, SubscriptionId};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Error, Row};

pub(super) const SUBSCRIPTION_COLUMNS: &str = "id, channel_id, pattern, filter, valid_from, valid_to";

pub(super) fn read_subscription(row: &Row) -> Result<Subscription, Error> {
    let KeptPattern(pattern) = row.try_get(2)?;
    Ok(Subscription {
        id: SubscriptionId(row.try_get(0)?),
        channel: ChannelId(row.try_get(1)?),
        pattern,
        filter: row.try_get::<_, Option<&str>>(3)?.map(Into::into),
        valid_from: ConfigVersion(row.try_get(4)?),
        valid_to: row.try_get::<_, Option<i64>>(5)?.map(ConfigVersion),
    })
}

/// A pattern as its column holds it: a text that is none is an error of the row.
struct KeptPattern(Pattern);

impl<'a> FromSql<'a> for KeptPattern {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Pattern::parse(<&str>::from_sql(kind, raw)?)?))
    }

    fn accepts(kind: &Type) -> bool {
        <&str>::accepts(kind)
    }
}
