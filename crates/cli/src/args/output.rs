//! The format of results.

use clap::ValueEnum;

/// The format of results.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Output {
    /// Text
    #[default]
    Human,
    /// JSON with the keys of `qemu-img`
    Json,
}
