//! `cargo run -p sim -- --seeds 200`: simulates seeds one after another and stops at the first that breaks.

use std::process::ExitCode;

use clap::Parser;
use sim::{Options, simulate};

/// Runs the real engine and store under a virtual clock, with everything that can go wrong going wrong.
#[derive(Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print what happens.
    #[arg(long)]
    trace: bool,
    /// Go on after a seed that breaks.
    #[arg(long)]
    all: bool,
}

/// How many seeds between two lines of progress.
const PROGRESS_SEEDS: u64 = 100;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let options = Options { prints_trace: args.trace, ..Options::default() };
    let mut broken = 0;
    let mut sends = 0;
    for seed in args.seed..args.seed + args.seeds {
        let report = simulate(seed, options)?;
        sends += report.counts.sends;
        if let Some((at, what)) = &report.broken {
            broken += 1;
            println!("seed {seed} breaks at {:.6} s: {what}", at.as_secs_f64());
            println!("replay it: cargo run -p sim -- --seeds 1 --seed {seed} --trace");
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
