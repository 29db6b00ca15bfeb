//! `diskimg completions` and `diskimg man`: what a package needs.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::failure::Outcome;
use crate::output::stdout;

pub(super) fn completions(shell: Shell) -> Outcome {
    clap_complete::generate(shell, &mut Args::command(), "diskimg", &mut stdout());
    Ok(0)
}

/// One page for the command, and one for each of its commands.
pub(super) fn pages(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Args::command(), directory)?;
    Ok(0)
}
