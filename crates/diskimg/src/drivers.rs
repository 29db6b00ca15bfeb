//! The formats of this build.

use diskimg_core::{Driver, Error, ErrorKind, Format, Result};

static DRIVERS: [&Driver; 4] =
    [&diskimg_qcow2::DRIVER, &diskimg_vmdk::DRIVER, &diskimg_vdi::DRIVER, &diskimg_raw::DRIVER];

/// The formats of this build, in the order they are probed.
#[must_use]
pub fn drivers() -> &'static [&'static Driver] {
    &DRIVERS
}

/// The driver of a format by the name users type. `iso` is raw by another name.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a format that is known but not in this build, and
/// [`ErrorKind::InvalidInput`] for any other name; both list what there is.
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
    let kind = match crate::foreign_formats::by_name(wanted) {
        Some(_) => ErrorKind::Unsupported,
        None => ErrorKind::InvalidInput,
    };
    let names: Vec<&str> = DRIVERS.iter().map(|driver| driver.format.name()).collect();
    Err(Error::new(kind)
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
