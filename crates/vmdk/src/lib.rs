//! VMDK images: read safely from hostile bytes, and written.
#![forbid(unsafe_code)]

use diskimg_core::Format;

/// The name of this format.
pub const FORMAT: Format = Format::new("vmdk");
