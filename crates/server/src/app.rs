//! The composition root: the only place that names a backend and puts the parts together.
//!
//! Starting: the store is opened and locked, configuration read into memory, dispatch goes on where it ended, and
//! last the port opens. Stopping goes the other way: the port closes, what is under way is finished and written down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use domain::Clock;
use engine::Engine;
use engine::dispatch::hands::Hands;
use engine::dispatch::run::{self, Handle, Inbox, Shell};
use engine::dispatch::{Dispatcher, Found};
use engine::random::Entropy;
use engine::registry::Registry;
use engine::transport::{EgressRules, GuardedHttp, TlsRoots};
use store::directory::Snapshot;
use store::observe::Observed;
use store::sqlite::{Options, SqliteStore};
use store::{Store, Vault};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::console::{self, Console};
use crate::entropy::SystemEntropy;
use crate::first_run::{self, BuiltIn, Welcome};
use crate::http::listener::Listener;
use crate::http::observe::Observing;
use crate::http::{cors, observe};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, Telemetry};

/// The key that channel configs are encrypted with, in the data directory.
const KEY_FILE: &str = "secret.key";

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
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let (dispatch, inbox) = run::channel();
        let metrics = Metrics::new(clock.now());
        let observed = Observed { observer: Arc::clone(&metrics) as _, clock: Arc::clone(&clock) };
        let store = open_store(&config, &entropy, &dispatch, observed)?;
        let snapshot = store.load().await?;
        let built_in = BuiltIn::bind(&config, &snapshot, Arc::clone(&clock)).await?;
        let listener = Listener::bind(&config).await?;
        let (scheme, address) = (listener.scheme(), listener.local_addr()?);

        let rules = EgressRules::new(config.egress_allow.clone(), built_in.address()?.into_iter().collect());
        let transport = Arc::new(GuardedHttp::new(rules, TlsRoots::system())?);
        let registry = Arc::new(Registry::new(snapshot, config.engine)?);
        let engine = Engine::new(
            Arc::clone(&store),
            Arc::clone(&registry),
            dispatch.clone(),
            Arc::clone(&clock),
            Arc::clone(&entropy),
        );
        let mut tasks = JoinSet::new();
        let traces =
            config.otel.as_ref().map(|otel| Traces::start(&mut tasks, otel, Arc::clone(&entropy))).transpose()?;
        let telemetry = Arc::new(Telemetry { metrics: Arc::clone(&metrics), traces });
        let engine = Arc::new(engine.observed_by(Arc::clone(&telemetry) as _));
        let welcome = first_run::prepare(&engine, &config, &built_in, format!("{scheme}://{address}")).await?;

        let stop = CancellationToken::new();
        let hands = Hands { store, clock: Arc::clone(&clock) };
        let shell = Shell {
            handle: dispatch.clone(),
            hands,
            registry,
            transport,
            clock: Arc::clone(&clock),
            observer: Arc::clone(&telemetry) as _,
        };
        start_dispatch(&mut tasks, shell, inbox, &entropy, &config).await?;
        let observing = Observing { telemetry, clock: Arc::clone(&clock), entropy: Arc::clone(&entropy) };
        let router = router(engine, &config, metrics, entropy);
        tasks.spawn(listener.serve(observe::observed(router, observing), stop.clone()));
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
fn router(engine: Arc<Engine>, config: &Config, metrics: Arc<Metrics>, entropy: Arc<dyn Entropy>) -> Router {
    let console = Console::new(Arc::clone(&engine), entropy);
    let api = cors::open_to(&config.server.cors_origins, crate::api::router(Arc::clone(&engine)));
    console::readable_when_signed_in(api, console.clone()).merge(console.router()).merge(telemetry::route::router(
        engine,
        metrics,
        config.metrics_public,
    ))
}

fn open_store(
    config: &Config,
    entropy: &Arc<dyn Entropy>,
    dispatch: &Handle,
    observed: Observed,
) -> anyhow::Result<Arc<dyn Store>> {
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("the data directory {} cannot be made", config.data_dir.display()))?;
    let bytes = Arc::clone(entropy);
    let vault = Vault::open(&config.data_dir.join(KEY_FILE), move |buffer: &mut [u8]| bytes.fill(buffer))?;
    let feed = {
        let dispatch = dispatch.clone();
        Box::new(move |arrivals| dispatch.arrived(arrivals))
    };
    let options = Options { observed: Some(observed), ..Options::new(&config.data_dir) };
    Ok(Arc::new(SqliteStore::open(&options, Arc::new(vault), feed)?))
}

async fn start_dispatch(
    tasks: &mut JoinSet<()>,
    shell: Shell<GuardedHttp>,
    inbox: Inbox,
    entropy: &Arc<dyn Entropy>,
    config: &Config,
) -> anyhow::Result<()> {
    let found = Found::in_store(&*shell.hands.store).await?;
    let now = shell.clock.now();
    let registry = Arc::clone(&shell.registry);
    let dispatcher = Dispatcher::new(registry, Arc::clone(entropy), &config.engine, found, now);
    tasks.spawn(shell.run(dispatcher, inbox));
    Ok(())
}

/// Whether nobody has used this database before.
pub(crate) fn is_new(snapshot: &Snapshot) -> bool {
    snapshot.tenants.is_empty() && snapshot.keys.is_empty()
}
