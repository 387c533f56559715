//! How long the disk takes to make 4 KiB durable: what no server that promises durability can be faster than.

use super::stats::Latencies;
use super::stopwatch::Stopwatch;
use anyhow::Context;
use std::io::{Seek, Write};
use std::path::Path;

const ROUNDS: u32 = 200;
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Appends 200 blocks of 4 KiB to a file in `directory`, each followed by `fdatasync`, as a database's log does.
pub(super) fn measure(directory: &Path, watch: Stopwatch) -> anyhow::Result<Latencies> {
    let context = || format!("cannot measure the disk in {}", directory.display());
    let mut file = tempfile::tempfile_in(directory).with_context(context)?;
    // A log is extended once and then overwritten; without this each round would also pay for a larger file.
    file.write_all(&BLOCK.repeat(ROUNDS as usize)).and_then(|()| file.sync_all()).with_context(context)?;
    file.rewind().with_context(context)?;
    let mut latencies = Latencies::new();
    for _ in 0..ROUNDS {
        let start = watch.ns();
        file.write_all(&BLOCK).and_then(|()| file.sync_data()).with_context(context)?;
        latencies.record(watch.since(start));
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_is_measured_and_the_file_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let latencies = measure(directory.path(), Stopwatch::start()).unwrap();
        assert_eq!(latencies.count(), u64::from(ROUNDS));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
