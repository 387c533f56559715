//! `postrider bench`: measures this machine and the server on it, end to end, in one run.
//!
//! It starts a receiver in its own process and the real server as another one on a temporary directory, posts events
//! over the real API and counts what arrives. Its load and its receiver share the processor with the server, so both
//! are bare hyper. Figures are told as ratios to what the same machine does without a server ([`floor`], [`disk`]).
//!
//! Start reading at [`scenarios`], which say what is measured; [`server`] starts the process, [`database`] a PostgreSQL
//! for it, [`load`] posts, [`receiver`] counts, [`report`] prints.

mod body;
mod connection;
mod database;
mod disk;
mod figures;
mod floor;
mod load;
mod pace;
mod past;
mod process;
mod progress;
mod receiver;
mod report;
mod scenarios;
mod seen;
mod server;
mod setup;
mod stats;
mod stopwatch;

use anyhow::{Context, anyhow, bail};
use database::Store;
use progress::Progress;
use report::Report;
use scenarios::{Bench, Scenario};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use stopwatch::Stopwatch;

/// More threads than this would only take the processor from the server.
const THREADS_MAX: usize = 4;
/// The exit code of a command that Ctrl-C ended, as shells count it.
const INTERRUPTED: u8 = 130;

/// Which of the scenarios to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    Machine,
    Throughput,
    Fanout,
    Latency,
    Backlog,
    SlowChannel,
    Batch,
    LightLoad,
    BlackHoled,
    NoisyTenant,
    Idle,
    Lists,
    History,
    Retention,
    Stores,
    Waiting,
    LiveTables,
    All,
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to measure
    #[arg(long, value_enum, default_value = "throughput")]
    scenario: Choice,
    /// List the scenarios with their defaults and end
    #[arg(long)]
    list: bool,
    /// Where the server keeps its data; `stores` measures both, and `live-tables` PostgreSQL. PostgreSQL is started for
    /// the run and removed after it
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,
    #[command(flatten)]
    size: Size,
    /// Directory to make the temporary data directory in: its disk is measured too
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Backlog: after the restart, let the receiver answer and wait until everything has arrived
    #[arg(long)]
    drain: bool,
    /// History and retention: attempts in the past
    #[arg(long, default_value_t = scenarios::PAST_ATTEMPTS, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    past: u64,
    /// Waiting: how many deliveries wait, a multiple of 10,000
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=10_000_000))]
    waiting: u64,
    /// Give up on a scenario after so many seconds; by default 300, and 3,600 for lists, live-tables, history and retention
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
    /// Start the server through this program, like `valgrind --tool=callgrind` or `perf record -g`, and end it with
    /// SIGTERM, so that it can write what it saw. Figures of such a run say nothing about speed
    #[arg(long, value_name = "COMMAND")]
    through: Option<String>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,
}

/// The size of a run; what is not given is the scenario's default.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
struct Size {
    /// Events to post; for lists, calls of each kind
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    events: Option<u64>,
    /// Channels to deliver to, a multiple of the fan-out; for lists, those of the tenant
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    channels: Option<u32>,
    /// Channels that hear each event
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    fanout: Option<u16>,
    /// Connections that post events
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: Option<u16>,
    /// Events in one request
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    batch: Option<u16>,
    /// Size of one event in bytes
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    body_bytes: Option<u32>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        for scenario in Scenario::ALL {
            println!("{}", scenario.describe());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures say little. Use `cargo run --release -- bench`.");
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    // Whichever ends first, dropping the other ends the server and removes its directory.
    runtime.block_on(async {
        let stop = super::StopSignal::listen()?;
        tokio::select! {
            code = measure(arguments) => code,
            () = stop.received() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let bench = Bench {
        watch: Stopwatch::start(),
        progress: Progress::new(),
        directory: arguments.dir.clone(),
        store: arguments.store,
        drain: arguments.drain,
        past: arguments.past,
        waiting: arguments.waiting,
        through: arguments.through.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
    };
    let mut reports = Vec::new();
    for scenario in chosen(arguments.scenario) {
        let work = scenario.run(&bench, scenario.settings(arguments.size)?);
        let patience = arguments.timeout.map_or(scenario.patience(), Duration::from_secs);
        let report = tokio::time::timeout(patience, work).await;
        let report = report.map_err(|_| anyhow!("not done within {} s (--timeout)", patience.as_secs()));
        let mut report = report.flatten().with_context(|| format!("scenario {}", scenario.name()))?;
        report.notes.extend(scenario.note(bench.store));
        if !arguments.json {
            println!("{}", report.table());
        }
        reports.push(report);
    }
    if arguments.json {
        println!("{:#}", document(&reports));
    }
    if reports.iter().any(|report| !report.broken.is_empty()) {
        bail!("a promise was broken: see BROKEN in the report");
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(choice: Choice) -> Vec<Scenario> {
    match choice {
        Choice::Machine => vec![Scenario::Machine],
        Choice::Throughput => vec![Scenario::Throughput],
        Choice::Fanout => vec![Scenario::Fanout],
        Choice::Latency => vec![Scenario::Latency],
        Choice::Backlog => vec![Scenario::Backlog],
        Choice::SlowChannel => vec![Scenario::SlowChannel],
        Choice::Batch => vec![Scenario::Batch],
        Choice::LightLoad => vec![Scenario::LightLoad],
        Choice::BlackHoled => vec![Scenario::BlackHoled],
        Choice::NoisyTenant => vec![Scenario::NoisyTenant],
        Choice::Idle => vec![Scenario::Idle],
        Choice::Lists => vec![Scenario::Lists],
        Choice::History => vec![Scenario::History],
        Choice::Retention => vec![Scenario::Retention],
        Choice::Stores => vec![Scenario::Stores],
        Choice::Waiting => vec![Scenario::Waiting],
        Choice::LiveTables => vec![Scenario::LiveTables],
        Choice::All => Scenario::ALL.to_vec(),
    }
}

fn document(reports: &[Report]) -> serde_json::Value {
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "scenarios": reports.iter().map(Report::to_json).collect::<Vec<_>>(),
    })
}
