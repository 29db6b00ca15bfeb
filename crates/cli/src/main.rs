//! The `diskimg` command: the `diskimg` library with the options and JSON keys of `qemu-img`.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod memory_limit;
mod output;
mod progress;
mod signals;
mod size;
mod stream_source;
mod visible;
mod work_counts;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, ValueEnum};

use diskimg::core::is_hidden;
use signals::Interrupt;
use visible::visible;

fn main() -> ExitCode {
    // Before all else: a program may ask for the progress as soon as it has started the command.
    Interrupt::listen();
    let args = match parse() {
        Ok(args) => args,
        Err(error) => {
            // Help that cannot be written is a failure, like other output.
            let is_printed = print(&error).and_then(|()| std::io::stdout().flush()).is_ok();
            let succeeds = is_printed && !error.use_stderr();
            return if succeeds { ExitCode::SUCCESS } else { ExitCode::from(usage_code()) };
        }
    };
    let machine = args.wants_json();
    match commands::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(machine),
    }
}

/// Prints help or an error in the arguments. The message of an error repeats arguments as they are; it is replaced by a
/// short one if they have hidden characters.
fn print(error: &clap::Error) -> std::io::Result<()> {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    match arguments.into_iter().find(|argument| argument.contains(is_hidden)) {
        Some(argument) if error.use_stderr() => {
            let kind = error.kind().as_str().unwrap_or("invalid arguments");
            writeln!(std::io::stderr(), "error: {kind}; one has hidden characters: {}", visible(&argument))
        }
        _ => error.print(),
    }
}

fn parse() -> Result<args::Args, clap::Error> {
    let mut command = args::Args::command().color(color());
    if is_qemu_img() {
        command = command.display_name("qemu-img").version(COMPATIBLE_VERSION);
    }
    let matches = command.try_get_matches()?;
    args::Args::from_arg_matches(&matches)
}

/// The version under the name `qemu-img`: that of the `qemu-img` whose options and output this command has. Programs
/// expect `qemu-img version N.N.N` in the first line.
const COMPATIBLE_VERSION: &str = concat!("version 10.0.2 (diskimg ", env!("CARGO_PKG_VERSION"), ")");

/// Returns true if the command runs under the name `qemu-img`.
fn is_qemu_img() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.is_some_and(|name| name.file_stem().is_some_and(|stem| stem == "qemu-img"))
}

/// Returns the value of `--color`. clap needs it before it reports errors in other arguments.
fn color() -> ColorChoice {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut values = arguments.iter().zip(arguments.iter().skip(1)).filter_map(|(name, value)| {
        let value = if name == "--color" { value.to_str() } else { value.to_str()?.strip_prefix("--color=") };
        ColorChoice::from_str(value?, false).ok()
    });
    values.next_back().unwrap_or_default()
}

/// Returns the exit code for invalid arguments. The 2 of clap would mean "unknown format" for `probe`, and 1
/// would mean "different" for `compare`.
fn usage_code() -> u8 {
    let command = args::Args::command();
    let named = std::env::args_os().skip(1).find(|argument| command.find_subcommand(argument).is_some());
    if named.is_some_and(|name| name == "compare") { 2 } else { 1 }
}
