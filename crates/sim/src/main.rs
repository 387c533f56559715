//! `cargo run -p sim -- --seeds 200`: simulates seeds one after another, and shrinks those that break.

use std::process::ExitCode;

use clap::Parser;
use sim::backlog::{self, Backlog};
use sim::shrink::{Only, Part, shrink};
use sim::{Options, Report, simulate};

/// Runs the real engine and store under a virtual clock, with everything that can go wrong going wrong.
#[derive(Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print what happens.
    #[arg(long)]
    trace: bool,
    /// Go on after a seed that breaks, and shrink none.
    #[arg(long)]
    all: bool,
    /// Only these parts of the world, as shrinking names them.
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<Part>>,
    /// Begin with so many deliveries that wait already, and see a few thousand of them go out; no other worlds.
    #[arg(long)]
    backlog: Option<u64>,
}

/// How many seeds between two lines of progress.
const PROGRESS_SEEDS: u64 = 100;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(deliveries) = args.backlog {
        return begin_with(deliveries, &args);
    }
    let only = args.only.clone().map(Only::these).unwrap_or_default();
    let options = Options { prints_trace: args.trace, only, sabotage: None };
    let mut broken = 0;
    let mut sends = 0;
    for seed in args.seed..args.seed + args.seeds {
        let report = simulate(seed, &options)?;
        sends += report.counts.sends;
        if report.broken.is_some() {
            broken += 1;
            tell(&report, &args, &options)?;
            if !args.all {
                return Ok(ExitCode::FAILURE);
            }
        }
        let done = seed - args.seed + 1;
        if args.trace {
            println!("{report:?}");
        } else if done % PROGRESS_SEEDS == 0 || done == args.seeds {
            println!("{done} seeds, {sends} requests, {broken} broken");
        }
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Simulates a start with a backlog.
fn begin_with(deliveries: u64, args: &Args) -> anyhow::Result<ExitCode> {
    let backlog = Backlog { seed: args.seed, prints_trace: args.trace, ..Backlog::of(deliveries) };
    let report = backlog::simulate(&backlog)?;
    println!("{report:#?}");
    Ok(if report.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what broke, and how to replay it: as it is, and as small as it gets.
fn tell(report: &Report, args: &Args, options: &Options) -> anyhow::Result<()> {
    let Some((at, what)) = &report.broken else { return Ok(()) };
    println!("seed {} breaks at {:.6} s: {what}", report.seed, at.as_secs_f64());
    if args.only.is_some() {
        return Ok(());
    }
    println!("replay it: cargo run -p sim -- --seed {} --trace", report.seed);
    if !args.all
        && let Some(shrunk) = shrink(report.seed, options)?
    {
        println!("{} of {} parts break it, found in {} tries", shrunk.parts.len(), report.parts.len(), shrunk.tries);
        println!("replay that: {}", shrunk.command());
    }
    Ok(())
}
