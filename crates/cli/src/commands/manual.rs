//! `diskimg completions` and `diskimg man`: files for packages of the command.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use diskimg::Error;

use crate::args::Args;
use crate::failure::Outcome;
use crate::output::stdout;

pub(super) fn completions(shell: Shell) -> Outcome {
    // The generator panics on write errors, such as a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "diskimg", &mut script);
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(0)
}

/// Writes a page for `diskimg` and one for each of its commands.
pub(super) fn pages(directory: &Path) -> Outcome {
    let failed = |error: std::io::Error| Error::from(error).file(format!("'{}'", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), directory).map_err(failed)?;
    Ok(0)
}
