//! The `diskimg` command: `qemu-img`'s letters and JSON keys over the `diskimg` library.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod json;
mod output;
mod progress;
mod signals;
mod size;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            // clap's own 2 would read as "unknown format" of `probe` and as an error of `compare`.
            return if error.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS };
        }
    };
    let machine = args.wants_json();
    match commands::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(machine),
    }
}
