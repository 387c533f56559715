//! Channels as rows: read here, and their configs opened.

use std::time::Duration;

use domain::channel::{CONCURRENCY_DEFAULT, Channel, ChannelSettings, OnUnknown, Pause};
use domain::{ChannelId, ReasonCode, Secret, TenantId, Timestamp};
use rusqlite::Row;

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

pub(super) fn read_channel(row: &Row<'_>) -> rusqlite::Result<SealedChannel> {
    let time = |column: usize| row.get::<_, Option<i64>>(column).map(|ms| ms.map(Timestamp::from_ms));
    let pause_reason: Option<String> = row.get(13)?;
    let since = time(14)?.unwrap_or_default();
    let code = read_code(row.get(25)?, ReasonCode::ChannelRefused);
    let settings = ChannelSettings {
        name: row.get(2)?,
        provider: row.get(3)?,
        config: Secret::new(""),
        is_active: row.get(5)?,
        subject_template: row.get(6)?,
        body_template: row.get(7)?,
        retry: row.get::<_, Option<String>>(8)?.and_then(|json| read_retry(&json)),
        time_to_live: row.get::<_, Option<i64>>(9)?.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
        concurrency: row.get::<_, Option<u32>>(10)?.unwrap_or(CONCURRENCY_DEFAULT),
        breaker: row.get::<_, Option<String>>(24)?.and_then(|json| read_breaker(&json)),
        rate_limit: row.get::<_, Option<String>>(18)?.and_then(|json| read_rate_limit(&json)),
        digest: row.get::<_, Option<String>>(19)?.and_then(|json| read_digest(&json)),
        is_fifo: row.get(20)?,
        on_unknown: OnUnknown::parse(&row.get::<_, String>(21)?).unwrap_or(OnUnknown::Retry),
        dialect: row.get(11)?,
        wire_config: None,
        is_managed: row.get(23)?,
        shard: row.get(12)?,
    };
    let channel = Channel {
        id: ChannelId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        settings,
        pause: pause_reason.map(|reason| Pause { code, reason, since }),
        created_at: Timestamp::from_ms(row.get(15)?),
        updated_at: time(16)?,
        deleted_at: time(17)?,
    };
    Ok(SealedChannel { channel, config: row.get(4)?, wire_config: row.get(22)? })
}
