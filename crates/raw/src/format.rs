//! The name of the format.

use diskimg_core::Format;

/// The name of the format.
pub const RAW: Format = Format::new("raw");
