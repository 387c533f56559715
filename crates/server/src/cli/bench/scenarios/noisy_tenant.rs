//! No tenant can hurt another: ten quiet tenants, without and with one more that posts 75 times what each of them does.
//!
//! Every tenant has one channel. What the noisy one posts is counted apart. Runs come in pairs, each on a new server, and
//! the figures of both pairs are put together.

use super::{Bench, QUIET, Settings};
use crate::cli::bench::body::{self, Bodies};
use crate::cli::bench::load::{self, Load, Target};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::{Manner, Receiver};
use crate::cli::bench::report::{self, Figure, Report, Unit};
use crate::cli::bench::server::Server;
use crate::cli::bench::setup::{ChannelPlan, Tenant};
use crate::cli::bench::stats::Latencies;
use anyhow::ensure;
use std::sync::Arc;

/// `channels` are the quiet tenants, with one each; `events` are those of all of them in one run.
pub(super) const DEFAULTS: Settings =
    Settings { events: 1_000, channels: 10, fanout: 1, workers: 16, batch: 1, event_bytes: 256 };

const PAIRS: u32 = 2;
/// Of each quiet tenant.
const PER_SECOND: u32 = 10;
const NOISE: u32 = 75;
const RATIO_MAX: f64 = 1.2;

/// Of all runs of a kind, without the noisy tenant.
struct Runs {
    end_to_end: Latencies,
    accepted: u64,
    delivered: u64,
    duplicates: u64,
}

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    ensure!(
        settings.fanout == 1 && settings.batch == 1,
        "noisy-tenant has one channel an event and one event a request"
    );
    let (mut calm, mut noisy) = (Runs::new(), Runs::new());
    for _ in 0..PAIRS {
        calm.add(bench, &settings, 0).await?;
        noisy.add(bench, &settings, NOISE).await?;
    }
    let ratio = noisy.end_to_end.p99_ms().zip(calm.end_to_end.p99_ms()).map(|(noisy, calm)| noisy / calm);
    let lost = (calm.accepted + noisy.accepted).saturating_sub(calm.delivered + noisy.delivered);
    let duplicates = calm.duplicates + noisy.duplicates;
    let figures = vec![
        Figure::new("load", "load of each quiet tenant", f64::from(PER_SECOND), Unit::PerSecond),
        Figure::new("noise", "load of the noisy tenant", f64::from(PER_SECOND * NOISE), Unit::PerSecond),
        Figure::p50("calm_p50", "end to end p50, alone", &calm.end_to_end),
        Figure::p50("noisy_p50", "end to end p50, with the noisy one", &noisy.end_to_end),
        Figure::p99("calm_p99", "end to end p99, alone", &calm.end_to_end),
        Figure::p99("noisy_p99", "end to end p99, with the noisy one", &noisy.end_to_end),
        Figure::new("ratio", "p99, with the noisy one / alone", ratio, Unit::Ratio)
            .aim(report::Target::AtMost(RATIO_MAX)),
        Figure::count("lost", "lost on the quiet ones", lost),
        Figure::count("duplicates", "duplicates", duplicates),
    ];
    let broken = [(lost, "deliveries did not arrive"), (duplicates, "deliveries arrived more than once")];
    let broken = broken.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let notes = vec![format!("{PAIRS} pairs of runs; figures are of the {} quiet tenants", settings.channels)];
    Ok(Report { scenario: "noisy-tenant", summary: settings.summary(), figures, notes, broken })
}

impl Runs {
    fn new() -> Self {
        Self { end_to_end: Latencies::new(), accepted: 0, delivered: 0, duplicates: 0 }
    }

    /// Runs once, with a tenant beside the others that posts `noise` times what one of them does.
    async fn add(&mut self, bench: &Bench, settings: &Settings, noise: u32) -> anyhow::Result<()> {
        let receiver = Receiver::start(bench.watch).await?;
        let server = Server::start(&bench.directory, bench.store, &bench.through, bench.watch).await?;
        let mut keys = Vec::new();
        for number in 0..settings.channels {
            keys.push(tenant_with_channel(&server, &format!("quiet-{number}"), receiver.url(Manner::Now)).await?);
        }
        let loud = tenant_with_channel(&server, "noisy", receiver.url(Manner::Aside)).await?;
        let load = |keys, requests, per_second| Load {
            address: server.address(),
            target: Target::Server { keys },
            // The one type that every channel hears.
            bodies: Bodies::new(0..1, settings.event_bytes, settings.batch),
            workers: settings.workers,
            pace: Pace::Steady { requests, per_second: f64::from(per_second) },
        };
        let tenants = u32::try_from(settings.channels)?;
        let quiet = load::run(load(keys, settings.requests(), PER_SECOND * tenants), bench.watch, Arc::default());
        let requests = settings.requests() * u64::from(noise) / u64::from(tenants);
        let noise = load::run(load(vec![loud], requests, (PER_SECOND * noise).max(1)), bench.watch, Arc::default());
        let both = async { tokio::try_join!(quiet, noise) };
        let (loaded, _) = bench.progress.during(|| format!("delivered {}", receiver.arrived()), both).await?;
        receiver.wait(loaded.accepted, QUIET).await;
        let total = receiver.total();
        self.end_to_end.add(&total.latencies);
        self.accepted += loaded.accepted;
        self.delivered += total.deliveries;
        self.duplicates += total.duplicates;
        Ok(())
    }
}

/// Makes a tenant with a channel that hears the events of the bench, and returns its key.
async fn tenant_with_channel(server: &Server, slug: &str, url: String) -> anyhow::Result<String> {
    let mut tenant = Tenant::make(server, slug).await?;
    tenant.make_channel(slug, &ChannelPlan { url, event_type: body::event_type(0) }).await?;
    Ok(tenant.key().to_owned())
}
