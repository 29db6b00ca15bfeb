//! The version of the library.

use std::ffi::{CStr, c_char};

/// The version of this header. Compare it with diskimg_version_number().
pub const DISKIMG_VERSION_MAJOR: u32 = 0;
/// See DISKIMG_VERSION_MAJOR.
pub const DISKIMG_VERSION_MINOR: u32 = 1;
/// See DISKIMG_VERSION_MAJOR.
pub const DISKIMG_VERSION_PATCH: u32 = 0;

/// Returns the version of the library at run time: major << 16 | minor << 8 | patch. Before 1.0 each minor
/// version has its own ABI and its own SONAME. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_version_number() -> u32 {
    (DISKIMG_VERSION_MAJOR << 16) | (DISKIMG_VERSION_MINOR << 8) | DISKIMG_VERSION_PATCH
}

/// Returns the version of the library at run time as text, such as "0.1.0". The string is static. Any
/// thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_version_string() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_version_equals_the_crate_version() {
        let header = format!("{DISKIMG_VERSION_MAJOR}.{DISKIMG_VERSION_MINOR}.{DISKIMG_VERSION_PATCH}");
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
    }
}
