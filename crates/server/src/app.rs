//! The composition root: puts the parts together. `app/backend.rs` is the only place that names a backend.
//!
//! [`App`] is a server; [`InProcess`] is the same without a port, for a command that finds no server.
//!
//! Starting: the store is opened and locked, configuration read into memory, dispatch goes on where it ended, and
//! last the port opens. Stopping goes the other way: the port closes, what is under way is finished and written down.

mod backend;
mod in_process;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use domain::Clock;
use engine::Engine;
use engine::dispatch::hands::Hands;
use engine::dispatch::in_flight::InFlight;
use engine::dispatch::recovery::recover;
use engine::dispatch::run::{self, Handle, Inbox, Shell};
use engine::dispatch::{Dispatcher, Found, Input};
use engine::observe::Observer;
use engine::random::Entropy;
use engine::registry::Registry;
use engine::transport::{EgressRules, Outbound, TlsRoots};
use providers::Operator;
use store::Store;
use store::directory::Snapshot;
use store::observe::Observed;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use backend::{
    Cluster, Copied, DATABASE_FILE, Durability, LOCK_FILE, LiveTables, OnProgress, Place, Progress, Target, back_up,
    inspect, live_tables, move_store, open_idle_store, restore,
};
pub(crate) use in_process::{InProcess, Starts};

use crate::auth::{self, LocalRouter, Tokens};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::console::{self, Console};
use crate::dialects;
use crate::dialects::aether365::{Links, Notices};
use crate::entropy::SystemEntropy;
use crate::first_run::{self, BuiltIn, Welcome};
use crate::http::listener::{self, Listener};
use crate::http::observe::Observing;
use crate::http::socket::SocketListener;
use crate::http::{cors, observe};
use crate::in_flight::{IN_FLIGHT_FILE, InFlightFile};
use crate::openapi::reference;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, Telemetry};

/// The key that channel configs are encrypted with, in the data directory.
pub(crate) const KEY_FILE: &str = "secret.key";

/// A running Postrider.
pub struct App {
    address: SocketAddr,
    welcome: Welcome,
    dispatch: Handle,
    stop: CancellationToken,
    /// The listener, the dispatcher and the built-in receiver.
    tasks: JoinSet<()>,
    stop_patience: Duration,
}

impl App {
    /// Starts everything and returns once the port is open.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let mut parts = Parts::open(&config).await?;
        let (clock, entropy, metrics) =
            (Arc::clone(&parts.clock), Arc::clone(&parts.entropy), Arc::clone(&parts.metrics));
        let built_in = BuiltIn::bind(&config, &parts.snapshot, Arc::clone(&clock)).await?;
        let listener = Listener::bind(&config).await?;
        let (scheme, address) = (listener.scheme(), listener.local_addr()?);
        parts.address = format!("{scheme}://{address}");
        let links = parts.links(&config);
        let mut tasks = JoinSet::new();
        let otel = config.otel.as_ref();
        let traces = otel.map(|otel| Traces::start(&mut tasks, otel, Arc::clone(&entropy))).transpose()?;
        let telemetry = Arc::new(Telemetry { metrics: Arc::clone(&metrics), traces });
        let Assembled { engine, shell, inbox } =
            parts.assemble(&config, built_in.address()?, Arc::clone(&telemetry) as _)?;
        let welcome = first_run::prepare(&engine, &config, &built_in, format!("{scheme}://{address}")).await?;
        let socket = bind_socket(&config.data_dir);

        let stop = CancellationToken::new();
        let dispatch = shell.handle.clone();
        start_dispatch(&mut tasks, shell, inbox, &config, Starts::Deliveries).await?;
        let observing = Observing { telemetry, clock: Arc::clone(&clock), entropy: Arc::clone(&entropy) };
        engine.steer_all_anew().await?;
        let mut router = router(engine, links, &config, metrics, entropy);
        if let Some(jwt) = &config.jwt {
            router = auth::with_tokens(router, Arc::new(Tokens::new(jwt.clone(), Arc::clone(&clock))?));
        }
        let router = observe::observed(router, observing);
        tasks.spawn(listener::serve(listener, router.clone(), stop.clone()));
        if let Some(socket) = socket {
            let router = LocalRouter::new(router, config.limits.into());
            tasks.spawn(listener::serve(socket, router, stop.clone()));
        }
        built_in.start(&mut tasks, stop.clone(), clock)?;
        Ok(Self { address, welcome, dispatch, stop, tasks, stop_patience: config.stop_patience })
    }

    /// Where the HTTP server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the operator should read now.
    pub fn welcome(&self) -> String {
        self.welcome.to_string()
    }

    /// Closes the port, finishes what is under way and writes it down. Returns whether all of it was.
    pub async fn stop(mut self) -> bool {
        // First: whoever sees the port closed may rely on it that nothing more is started.
        self.dispatch.stop_starting();
        self.stop.cancel();
        let is_settled = self.dispatch.stop(self.stop_patience).await;
        if is_settled {
            while self.tasks.join_next().await.is_some() {}
        }
        is_settled
    }
}

/// Every route of the server.
fn router(
    engine: Arc<Engine>,
    links: Arc<Links>,
    config: &Config,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
) -> Router {
    let console = Console::new(Arc::clone(&engine), entropy);
    let (api, declared) = crate::api::router(Arc::clone(&engine));
    let (dialects, also_declared) = dialects::router(&engine, config, links);
    let reference = reference::router(declared.and(also_declared).document());
    let api = cors::open_to(&config.server.cors_origins, api.merge(dialects).merge(reference));
    console::readable_when_signed_in(api, console.clone()).merge(console.router()).merge(telemetry::route::router(
        engine,
        metrics,
        config.metrics_public,
    ))
}

/// The opened database and what everything else is made of.
struct Parts {
    store: Arc<dyn Store>,
    snapshot: Snapshot,
    dispatch: Handle,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<Metrics>,
    /// Signs links in mails.
    link_key: [u8; 32],
    /// Where this server is reached when the settings do not say.
    address: String,
}

/// The parts put together; nothing runs yet.
struct Assembled {
    engine: Arc<Engine>,
    shell: Shell<Outbound>,
    inbox: Inbox,
}

impl Parts {
    /// Takes the data directory.
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let (dispatch, inbox) = run::channel();
        let metrics = Metrics::new(clock.now());
        let observed = Observed { observer: Arc::clone(&metrics) as _, clock: Arc::clone(&clock) };
        let (store, link_key) = backend::open_store(config, &entropy, &dispatch, observed).await?;
        let snapshot = store.load().await?;
        let address = format!("http://{}", config.listen);
        Ok(Self { store, snapshot, dispatch, inbox, clock, entropy, metrics, link_key, address })
    }

    fn links(&self, config: &Config) -> Arc<Links> {
        let base = config.server.public_url.as_ref().map_or(self.address.as_str(), Url::as_str);
        Arc::new(Links::new(self.link_key, base))
    }

    /// `receiver` is the one socket of this machine that the egress rules let through.
    fn assemble(
        self,
        config: &Config,
        receiver: Option<SocketAddr>,
        observer: Arc<dyn Observer>,
    ) -> anyhow::Result<Assembled> {
        let notices = Arc::new(Notices::new(self.links(config), config.aether365_mails_by_default));
        let Self { store, snapshot, dispatch, inbox, clock, entropy, .. } = self;
        let rules = EgressRules::new(config.egress_allow.clone(), receiver.into_iter().collect());
        let transport = Arc::new(Outbound::new(rules, &TlsRoots::system(), config.smtp.server.clone())?);
        let operator = Operator {
            has_smtp: config.smtp.server.is_some(),
            smtp_from: config.smtp.from.clone(),
            base_urls: config.base_urls.clone(),
            thulium_time_zone: Some(config.thulium_time_zone.clone()),
        };
        let registry = Arc::new(Registry::new(snapshot, config.engine, operator)?);
        let engine =
            Engine::new(Arc::clone(&store), Arc::clone(&registry), dispatch.clone(), Arc::clone(&clock), entropy);
        let engine = Arc::new(engine.observed_by(Arc::clone(&observer)).steered_by(notices));
        let hands = Hands { store, clock: Arc::clone(&clock), registry: Arc::clone(&registry) };
        let in_flight = open_in_flight(config, &registry.instance)?;
        let shell = Shell { handle: dispatch, hands, in_flight, registry, transport, clock, observer };
        Ok(Assembled { engine, shell, inbox })
    }
}

fn open_in_flight(config: &Config, instance: &str) -> anyhow::Result<InFlight> {
    let file = InFlightFile::open(&config.data_dir, config.engine.in_flight_max)
        .with_context(|| format!("{} cannot be used", config.data_dir.join(IN_FLIGHT_FILE).display()))?;
    Ok(InFlight::new(Arc::new(file), instance))
}

/// Writes down what was under way when the last process ended. Before anything is started, so that nothing is sent again
/// whose first sending is not on record.
async fn recover_sends(shell: &Shell<Outbound>) -> anyhow::Result<()> {
    let found = shell.in_flight.read().with_context(|| format!("{IN_FLIGHT_FILE} cannot be read"))?;
    if found.unreadable > 0 {
        let slots = found.unreadable;
        tracing::warn!(
            slots,
            "some notes of sends under way cannot be read: such a send is made again without a record"
        );
    }
    let now = shell.clock.now();
    let sends = recover(&*shell.hands.store, &shell.registry, &SystemEntropy, found.notes, now).await?;
    if sends > 0 {
        tracing::warn!(sends, "the last process ended with sends under way; each is on record as an unknown attempt");
    }
    Ok(())
}

/// The socket for commands on this machine. A server that cannot have one serves all the same.
fn bind_socket(data_dir: &Path) -> Option<SocketListener> {
    let bound = SocketListener::bind(data_dir);
    let explain = |error| {
        tracing::warn!(
            %error,
            "there is no socket for commands on this machine: they need POSTRIDER_URL and POSTRIDER_KEY, or another \
             POSTRIDER_DATA_DIR"
        );
    };
    bound.map_err(explain).ok()
}

async fn start_dispatch(
    tasks: &mut JoinSet<()>,
    shell: Shell<Outbound>,
    inbox: Inbox,
    config: &Config,
    starts: Starts,
) -> anyhow::Result<()> {
    recover_sends(&shell).await?;
    let found = Found::in_store(&*shell.hands.store).await?;
    let now = shell.clock.now();
    let registry = Arc::clone(&shell.registry);
    let mut dispatcher = Dispatcher::new(registry, Arc::new(SystemEntropy), &config.engine, found, now);
    if starts == Starts::Nothing {
        dispatcher.handle(Input::Stop, now);
    }
    tasks.spawn(shell.run(dispatcher, inbox));
    Ok(())
}

/// Whether the database can be opened and read with the key that lies beside it.
pub(crate) async fn check_opens(config: &Config) -> anyhow::Result<()> {
    Parts::open(config).await.map(drop)
}

/// Whether nobody has used this database before.
pub(crate) fn is_new(snapshot: &Snapshot) -> bool {
    snapshot.tenants.is_empty() && snapshot.keys.is_empty()
}
