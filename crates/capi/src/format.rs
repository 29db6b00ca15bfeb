//! Formats and compressions as numbers.

use std::ffi::c_char;

use diskimg::{Driver, Result, Wrapper, driver, drivers};

use crate::argument::invalid;
use crate::strings;

/// A format: one of DISKIMG_FORMAT_*. New formats may be added.
pub type FormatNumber = u32;

/// For a source, detects the format. For a target, raw.
pub const DISKIMG_FORMAT_AUTO: FormatNumber = 0;
/// A raw disk, including ISO 9660 and UDF.
pub const DISKIMG_FORMAT_RAW: FormatNumber = 1;
/// qcow2, versions 2 and 3.
pub const DISKIMG_FORMAT_QCOW2: FormatNumber = 2;
/// VMDK.
pub const DISKIMG_FORMAT_VMDK: FormatNumber = 3;
/// VDI.
pub const DISKIMG_FORMAT_VDI: FormatNumber = 4;

/// The compression of a whole file: one of DISKIMG_WRAPPER_*. New compressions may be added.
pub type WrapperNumber = u32;

/// Not compressed.
pub const DISKIMG_WRAPPER_NONE: WrapperNumber = 0;
/// gzip.
pub const DISKIMG_WRAPPER_GZIP: WrapperNumber = 1;
/// xz.
pub const DISKIMG_WRAPPER_XZ: WrapperNumber = 2;
/// Zstandard.
pub const DISKIMG_WRAPPER_ZSTD: WrapperNumber = 3;

/// The format can be read.
pub const DISKIMG_CAN_READ: u32 = 1;
/// The format can be converted from a stream: diskimg_convert_stream().
pub const DISKIMG_CAN_STREAM: u32 = 2;
/// The format can be written: diskimg_convert() and diskimg_create().
pub const DISKIMG_CAN_CREATE: u32 = 4;
/// The format can be checked: diskimg_check().
pub const DISKIMG_CAN_CHECK: u32 = 8;

const NAMES: [(FormatNumber, &std::ffi::CStr); 4] = [
    (DISKIMG_FORMAT_RAW, c"raw"),
    (DISKIMG_FORMAT_QCOW2, c"qcow2"),
    (DISKIMG_FORMAT_VMDK, c"vmdk"),
    (DISKIMG_FORMAT_VDI, c"vdi"),
];

/// Returns the number of a format by its name; `DISKIMG_FORMAT_AUTO` for an unknown name.
pub(crate) fn number(name: &str) -> FormatNumber {
    let found = NAMES.iter().find(|(_, known)| known.to_bytes() == name.as_bytes());
    found.map_or(DISKIMG_FORMAT_AUTO, |(number, _)| *number)
}

pub(crate) fn wrapper_number(wrapper: Option<Wrapper>) -> WrapperNumber {
    match wrapper.map(Wrapper::name) {
        Some("gzip") => DISKIMG_WRAPPER_GZIP,
        Some("xz") => DISKIMG_WRAPPER_XZ,
        Some("zstd") => DISKIMG_WRAPPER_ZSTD,
        _ => DISKIMG_WRAPPER_NONE,
    }
}

fn name(format: FormatNumber) -> Option<&'static std::ffi::CStr> {
    NAMES.iter().find(|(number, _)| *number == format).map(|(_, name)| *name)
}

/// Returns the driver of a format; `None` for `DISKIMG_FORMAT_AUTO`.
///
/// # Errors
/// Rejects an unknown number, and a format that this build does not support.
pub(crate) fn driver_of(format: FormatNumber) -> Result<Option<&'static Driver>> {
    if format == DISKIMG_FORMAT_AUTO {
        return Ok(None);
    }
    let name = name(format).and_then(|name| name.to_str().ok());
    let name = name.ok_or_else(|| invalid("format", "one of DISKIMG_FORMAT_*").found(format))?;
    driver(name).map(Some)
}

/// Returns the name of a format, such as "qcow2"; NULL for DISKIMG_FORMAT_AUTO and for an unknown number.
/// The string is static. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_format_name(format: FormatNumber) -> *const c_char {
    name(format).map_or(std::ptr::null(), std::ffi::CStr::as_ptr)
}

/// Returns the format with this name, such as "qcow2"; "iso" is raw. Returns DISKIMG_FORMAT_AUTO for an
/// unknown name and for NULL. Any thread may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_format_by_name(name: *const c_char) -> FormatNumber {
    // SAFETY: the header requires NULL or a string.
    match unsafe { strings::optional(name, "name") } {
        Ok(Some("iso")) => DISKIMG_FORMAT_RAW,
        Ok(Some(name)) => number(name),
        Ok(None) | Err(_) => DISKIMG_FORMAT_AUTO,
    }
}

/// Returns the capabilities of this build for a format as bits of DISKIMG_CAN_*; 0 if it does not support
/// the format. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_format_caps(format: FormatNumber) -> u32 {
    let name = name(format).and_then(|name| name.to_str().ok());
    let Some(driver) = drivers().iter().find(|driver| Some(driver.format.name()) == name) else { return 0 };
    let raw = format == DISKIMG_FORMAT_RAW;
    let bit = |can: bool, bit: u32| if can { bit } else { 0 };
    DISKIMG_CAN_READ
        | bit(driver.stream.is_some(), DISKIMG_CAN_STREAM)
        | bit(driver.create.is_some() || raw, DISKIMG_CAN_CREATE)
        | bit(driver.check.is_some(), DISKIMG_CAN_CHECK)
}
