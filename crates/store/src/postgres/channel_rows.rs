//! Channels as rows: read here, and their configs opened.

use std::time::Duration;

use domain::channel::{CONCURRENCY_DEFAULT, Channel, ChannelSettings, OnUnknown, Pause};
use domain::{ChannelId, ReasonCode, Secret, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::statements::{unsigned, unsigned_opt};
use crate::settings::{read_breaker, read_code, read_digest, read_rate_limit, read_retry};
use crate::{StoreError, Vault};

/// In the order in which [`read_channel`] reads them.
pub(super) const CHANNEL_COLUMNS: &str = "id, tenant_id, name, provider, config, is_active, subject_template, body_template, \
                               retry, time_to_live_ms, concurrency, dialect, shard, pause_reason, paused_at, \
                               created_at, updated_at, deleted_at, rate_limit, digest, is_fifo, on_unknown, \
                               wire_config, is_managed, breaker, pause_code";

/// A channel as its row holds it: the configs still sealed.
pub(super) struct SealedChannel {
    channel: Channel,
    config: Vec<u8>,
    wire_config: Option<Vec<u8>>,
}

impl SealedChannel {
    pub(super) fn open(self, vault: &Vault) -> Result<Channel, StoreError> {
        let mut channel = self.channel;
        let unseal = |sealed: &[u8]| vault.unseal(channel.tenant, channel.id, sealed);
        let config = unseal(&self.config)?;
        let wire_config = self.wire_config.as_deref().map(unseal).transpose()?;
        channel.settings.config = config;
        channel.settings.wire_config = wire_config;
        Ok(channel)
    }
}

pub(super) fn read_channel(row: &Row) -> Result<SealedChannel, Error> {
    let time = |column: usize| row.try_get::<_, Option<i64>>(column).map(|ms| ms.map(Timestamp::from_ms));
    let pause_reason: Option<String> = row.try_get(13)?;
    let since = time(14)?.unwrap_or_default();
    let code = read_code(row.try_get(25)?, ReasonCode::ChannelRefused);
    let settings = ChannelSettings {
        name: row.try_get(2)?,
        provider: row.try_get(3)?,
        config: Secret::new(""),
        is_active: row.try_get(5)?,
        subject_template: row.try_get(6)?,
        body_template: row.try_get(7)?,
        retry: row.try_get::<_, Option<&str>>(8)?.and_then(read_retry),
        time_to_live: unsigned_opt(row, 9)?.map(Duration::from_millis),
        concurrency: unsigned_opt(row, 10)?.unwrap_or(CONCURRENCY_DEFAULT),
        breaker: row.try_get::<_, Option<&str>>(24)?.and_then(read_breaker),
        rate_limit: row.try_get::<_, Option<&str>>(18)?.and_then(read_rate_limit),
        digest: row.try_get::<_, Option<&str>>(19)?.and_then(read_digest),
        is_fifo: row.try_get(20)?,
        on_unknown: OnUnknown::parse(row.try_get(21)?).unwrap_or(OnUnknown::Retry),
        dialect: row.try_get(11)?,
        wire_config: None,
        is_managed: row.try_get(23)?,
        shard: unsigned(row, 12)?,
    };
    let channel = Channel {
        id: ChannelId(row.try_get(0)?),
        tenant: TenantId(row.try_get(1)?),
        settings,
        pause: pause_reason.map(|reason| Pause { code, reason, since }),
        created_at: Timestamp::from_ms(row.try_get(15)?),
        updated_at: time(16)?,
        deleted_at: time(17)?,
    };
    Ok(SealedChannel { channel, config: row.try_get(4)?, wire_config: row.try_get(22)? })
}
