//! The compression level of deflate.

use diskimg_core::{Error, ErrorKind, Result};

/// The default of zlib.
const DEFAULT: i32 = 6;

/// Returns the level to use: 1 (fast) to 9 (small); `None` is 6.
pub(super) fn deflate_level(level: Option<i32>) -> Result<u32> {
    let level = level.unwrap_or(DEFAULT);
    u32::try_from(level).ok().filter(|level| (1..=9).contains(level)).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput)
            .field("compression level")
            .found(level)
            .expected("1 to 9 for deflate")
    })
}
