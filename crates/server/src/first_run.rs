//! The first run: a tenant, a key, and a receiver to see a first notification arrive.
//!
//! With no settings at all, a new database gets the tenant `default`, a key, and a channel to a receiver that is built
//! in: it listens on one loopback port, which alone the egress rules let through. With an admin key in the settings
//! somebody sets things up by program, and only the tenant is made.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use domain::tenant::Scope;
use domain::{ChannelId, Clock, Secret, TenantId};
use engine::Engine;
use engine::ops::{ChannelEdit, ConfigEdit, KeyRequest, NewChannel, TenantEdit};
use providers::sign::SigningKey;
use serde_json::{Map, Value, json};
use store::directory::{ChannelWithRoutes, Snapshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::is_new;
use crate::config::Config;
use crate::receiver::{Keys, Receiver, Terminal};

/// The tenant that every database begins with.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// Marks the channel of the built-in receiver, as a dialect marks those that it makes.
const DIALECT: &str = "built_in_receiver";

/// The platform key of the settings.
const ADMIN_KEY_NAME: &str = "POSTRIDER_ADMIN_KEY";

/// The built-in receiver, if this database has one.
pub(crate) struct BuiltIn(Option<(Receiver, Option<ChannelId>)>);

impl BuiltIn {
    /// Binds the receiver's port: the one of its channel, or a free one when that is taken.
    pub(crate) async fn bind(config: &Config, snapshot: &Snapshot, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let channel = built_in_channel(snapshot);
        let is_first_run = is_new(snapshot) && config.admin_key.is_none();
        if channel.is_none() && !is_first_run {
            return Ok(Self(None));
        }
        let port = channel.and_then(|channel| loopback_port(channel.channel.settings.config.reveal())).unwrap_or(0);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let receiver = match Receiver::bind(at(port), Arc::clone(&clock)).await {
            Ok(receiver) => receiver,
            Err(_) => Receiver::bind(at(0), clock).await.context("no free port for the built-in receiver")?,
        };
        Ok(Self(Some((receiver, channel.map(|channel| channel.channel.id)))))
    }

    /// Where it listens; always on loopback.
    pub(crate) fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        self.0.as_ref().map(|(receiver, _)| receiver.local_addr()).transpose().context("the built-in receiver's port")
    }

    fn keys(&self) -> Option<Keys> {
        self.0.as_ref().map(|(receiver, _)| receiver.keys())
    }

    /// Starts printing what arrives.
    pub(crate) fn start(
        self,
        tasks: &mut JoinSet<()>,
        stop: CancellationToken,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<()> {
        let Some((receiver, _)) = self.0 else { return Ok(()) };
        let terminal = Terminal::start(std::io::stdout(), clock).context("the terminal cannot be written")?;
        tasks.spawn(async move {
            receiver.serve(stop.cancelled(), terminal.sink()).await;
            terminal.close();
        });
        Ok(())
    }
}

fn built_in_channel(snapshot: &Snapshot) -> Option<&ChannelWithRoutes> {
    snapshot.channels.iter().find(|one| one.channel.settings.dialect.as_deref() == Some(DIALECT))
}

/// Where the built-in receiver listened when it last ran, if this database has one.
pub(crate) fn built_in_address(snapshot: &Snapshot) -> Option<SocketAddr> {
    let port = loopback_port(built_in_channel(snapshot)?.channel.settings.config.reveal())?;
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// What the operator should read when the server has started.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    /// Where the server is, with its scheme.
    url: String,
    /// Made at this start, and shown this once.
    key: Option<Secret>,
    admin_key: Option<Secret>,
    has_receiver: bool,
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        writeln!(f, "Postrider {} is ready at {url}", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "\n  Console     {url}/console\n              what happened, and what needs attention")?;
        writeln!(f, "\n  API         {url}/docs\n              every route, with examples")?;
        if let Some(key) = &self.admin_key {
            writeln!(
                f,
                "\n  Admin key   {}\n              makes tenants and keys; shown this once, so keep it",
                key.reveal()
            )?;
        }
        let Some(key) = &self.key else { return Ok(()) };
        writeln!(
            f,
            "\n  First key   {}\n              for the tenant 'default'; shown this once, so keep it",
            key.reveal()
        )?;
        if self.has_receiver {
            writeln!(f, "\nSend a first notification. It arrives right here, with its signature checked:\n")?;
            writeln!(f, "curl -X POST {url}/v1/events \\")?;
            writeln!(f, "  -H 'Authorization: Bearer {}' \\", key.reveal())?;
            writeln!(f, "  -d '{{\"type\": \"hello.world\", \"data\": {{\"message\": \"It works\"}}}}'\n")?;
            writeln!(f, "'postrider why evt_1' tells what became of it, 'postrider tail' follows what happens.\n")?;
        }
        Ok(())
    }
}

/// Makes what a new database needs, and tells what to say about it.
pub(crate) async fn prepare(
    engine: &Engine,
    config: &Config,
    built_in: &BuiltIn,
    url: String,
) -> anyhow::Result<Welcome> {
    let mut welcome = Welcome { url, ..Welcome::default() };
    // Somebody who has deleted the last tenant has a key.
    let is_first = engine.tenants(None, TenantId(0), 1).is_empty() && engine.keys(None).is_empty();
    if is_first {
        engine.put_tenant(DEFAULT_TENANT, TenantEdit::named("Default")).await?;
    }
    match &config.admin_key {
        Some(key) => engine.set_platform_key(ADMIN_KEY_NAME, key.clone()).await?,
        None if engine.keys(None).is_empty() => {
            let request = request("First admin key", vec![Scope::Platform]);
            welcome.admin_key = Some(engine.create_key(None, request).await?.secret);
        }
        None => {}
    }
    let Some(tenant) = engine.tenant(DEFAULT_TENANT).map(|tenant| tenant.id) else { return Ok(welcome) };
    if is_first && config.admin_key.is_none() {
        welcome.key = Some(engine.create_key(Some(tenant), request("First key", Scope::TENANT.to_vec())).await?.secret);
    }
    if let Some(receiver) = built_in.address()? {
        connect(engine, tenant, built_in, receiver).await?;
        welcome.has_receiver = true;
    }
    Ok(welcome)
}

fn request(name: &str, scopes: Vec<Scope>) -> KeyRequest {
    KeyRequest { name: name.to_owned(), scopes, username: None, expires_at: None, secret: None }
}

/// Makes the receiver's channel, or points it to the receiver's port, and tells the receiver its signing key.
async fn connect(engine: &Engine, tenant: TenantId, built_in: &BuiltIn, receiver: SocketAddr) -> anyhow::Result<()> {
    let mut config: Map<String, Value> = Map::new();
    config.insert("url".to_owned(), json!(format!("http://{receiver}/")));
    let existing = built_in.0.as_ref().and_then(|(_, channel)| *channel);
    let channel = if let Some(channel) = existing {
        let shown = engine.channel(tenant, channel)?;
        if shown.config.get("url") == config.get("url") {
            shown
        } else {
            engine
                .update_channel(
                    tenant,
                    channel,
                    ChannelEdit { config: Some(ConfigEdit::Patch(config)), ..Default::default() },
                )
                .await?
        }
    } else {
        let new = NewChannel {
            name: "Built-in receiver".to_owned(),
            provider: "webhook".to_owned(),
            config,
            edit: ChannelEdit::default(),
            dialect: Some(DIALECT.to_owned()),
            is_managed: false,
        };
        engine.create_channel(tenant, new).await?
    };
    let secret = channel.live.config.text("secret").and_then(|secret| SigningKey::parse(secret).ok());
    if let (Some(keys), Some(secret)) = (built_in.keys(), secret) {
        keys.set(vec![secret]);
    }
    Ok(())
}

/// The port of a URL on loopback in a webhook's config.
fn loopback_port(config: &str) -> Option<u16> {
    let config: Value = serde_json::from_str(config).ok()?;
    let url = url::Url::parse(config.get("url")?.as_str()?).ok()?;
    (url.host_str() == Some("127.0.0.1")).then(|| url.port()).flatten()
}
