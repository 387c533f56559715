//! `postrider`: the one binary. It reads the command line and hands over.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match server::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("postrider: {error:#}");
            ExitCode::FAILURE
        }
    }
}
