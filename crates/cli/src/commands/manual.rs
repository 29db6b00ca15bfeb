//! `diskimg completions` and `diskimg man`: what a package needs.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use diskimg::Error;

use crate::args::Args;
use crate::failure::Outcome;
use crate::output::stdout;

pub(super) fn completions(shell: Shell) -> Outcome {
    // The generator panics where it cannot write: into a pipe that is closed, say.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "diskimg", &mut script);
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(0)
}

/// One page for the command, and one for each of its commands.
pub(super) fn pages(directory: &Path) -> Outcome {
    let failed = |error: std::io::Error| Error::from(error).field(format!("'{}'", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), directory).map_err(failed)?;
    Ok(0)
}
