//! The formats of this build.

use diskimg_core::{Driver, Error, ErrorKind, Fault, Format, Result};

static DRIVERS: &[&Driver] = &[
    #[cfg(feature = "qcow2")]
    &diskimg_qcow2::DRIVER,
    #[cfg(feature = "vmdk")]
    &diskimg_vmdk::DRIVER,
    #[cfg(feature = "vdi")]
    &diskimg_vdi::DRIVER,
    &diskimg_raw::DRIVER,
];

/// The formats of this build, in the order in which they are probed.
///
/// ```
/// let writable = diskimg::drivers().iter().filter(|driver| driver.create.is_some());
/// assert!(writable.map(|driver| driver.format.name()).any(|name| name == "qcow2"));
/// ```
#[must_use]
pub fn drivers() -> &'static [&'static Driver] {
    DRIVERS
}

/// The driver of a format by the name that users type. `iso` is another name of raw.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a known format that this build does not support, and
/// [`ErrorKind::InvalidInput`] for any other name; both list the supported formats.
///
/// ```
/// assert_eq!(diskimg::driver("qcow2")?.format.name(), "qcow2");
/// assert!(diskimg::driver("floppy").is_err());
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn driver(name: &str) -> Result<&'static Driver> {
    let wanted = if name == "iso" { "raw" } else { name };
    if let Some(driver) = DRIVERS.iter().find(|driver| driver.format.name() == wanted) {
        return Ok(driver);
    }
    let error = match crate::foreign_formats::by_name(wanted) {
        Some(format) => Error::new(ErrorKind::Unsupported).about_format(format).with_fault(Fault::Caller),
        None => Error::new(ErrorKind::InvalidInput),
    };
    let names: Vec<&str> = DRIVERS.iter().map(|driver| driver.format.name()).collect();
    Err(error
        .field("format")
        .found_name(name.as_bytes())
        .expected(format_args!("one of {}", names.join(", "))))
}

/// The driver of a format of this build.
///
/// # Errors
/// As [`driver`].
pub(crate) fn driver_of(format: Format) -> Result<&'static Driver> {
    driver(format.name())
}
