//! Which version this is.

use std::ffi::{CStr, c_char};

/// Version of the header; compare with diskimg_version_number().
pub const DISKIMG_VERSION_MAJOR: u32 = 0;
/// See DISKIMG_VERSION_MAJOR.
pub const DISKIMG_VERSION_MINOR: u32 = 1;
/// See DISKIMG_VERSION_MAJOR.
pub const DISKIMG_VERSION_PATCH: u32 = 0;

/// Version of the library at run time: major << 16 | minor << 8 | patch. Before 1.0 another minor version is
/// another ABI, and has another SONAME. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_version_number() -> u32 {
    (DISKIMG_VERSION_MAJOR << 16) | (DISKIMG_VERSION_MINOR << 8) | DISKIMG_VERSION_PATCH
}

/// Version of the library at run time in words, such as "0.1.0". Static: never free it. Any thread.
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
    fn the_numbers_of_the_header_are_those_of_the_crate() {
        let header = format!("{DISKIMG_VERSION_MAJOR}.{DISKIMG_VERSION_MINOR}.{DISKIMG_VERSION_PATCH}");
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
    }
}
