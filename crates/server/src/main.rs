//! `postrider`: the one binary. It reads the command line and hands over; what each command does is in [`cli`].

mod cli;
mod clock;
mod receiver;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("postrider: {error:#}");
            ExitCode::FAILURE
        }
    }
}
