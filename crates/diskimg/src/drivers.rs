//! The formats of this build, and those that an opener reads.

use std::borrow::Cow;

use diskimg_core::{Driver, Error, ErrorKind, Fault, Format, Result, Verdict};

use crate::foreign_formats;

static BUILT_IN: &[&Driver] = &[
    #[cfg(feature = "qcow2")]
    &diskimg_qcow2::DRIVER,
    #[cfg(feature = "vmdk")]
    &diskimg_vmdk::DRIVER,
    #[cfg(feature = "vdi")]
    &diskimg_vdi::DRIVER,
    &diskimg_raw::DRIVER,
];

/// The formats of this build, in the order in which they are probed. [`Opener::with_drivers`](crate::Opener::with_drivers)
/// reads others.
///
/// ```
/// let writable = diskimg::drivers().iter().filter(|driver| driver.create.is_some());
/// assert!(writable.map(|driver| driver.format.name()).any(|name| name == "qcow2"));
/// ```
#[must_use]
pub fn drivers() -> &'static [&'static Driver] {
    BUILT_IN
}

/// The driver of a format of this build by the name that users type. `iso` is another name of raw.
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
    Drivers::default().named(name)
}

/// The driver of a format of this build.
///
/// # Errors
/// As [`driver`].
pub(crate) fn driver_of(format: Format) -> Result<&'static Driver> {
    driver(format.name())
}

/// The formats that are recognised and read. No two have the same name.
#[derive(Clone)]
pub(crate) struct Drivers(Cow<'static, [&'static Driver]>);

impl Default for Drivers {
    fn default() -> Self {
        Self(Cow::Borrowed(BUILT_IN))
    }
}

impl Drivers {
    /// The drivers of a caller. Of two drivers with the same name the first one counts.
    pub(crate) fn of(drivers: impl IntoIterator<Item = &'static Driver>) -> Self {
        let mut list: Vec<&'static Driver> = Vec::new();
        for driver in drivers {
            if !list.iter().any(|other| other.format == driver.format) {
                list.push(driver);
            }
        }
        Self(Cow::Owned(list))
    }

    /// The drivers in their order.
    pub(crate) fn list(&self) -> &[&'static Driver] {
        &self.0
    }

    /// The driver of this format. `None` if it is not among these drivers.
    pub(crate) fn find(&self, format: Format) -> Option<&'static Driver> {
        self.0.iter().copied().find(|driver| driver.format == format)
    }

    /// The driver by the name that users type. `iso` is another name of raw.
    ///
    /// # Errors
    /// As [`driver`]. A format of this build that is not among these drivers is [`ErrorKind::Unsupported`].
    pub(crate) fn named(&self, name: &str) -> Result<&'static Driver> {
        let wanted = if name == "iso" { "raw" } else { name };
        if let Some(driver) = self.0.iter().find(|driver| driver.format.name() == wanted) {
            return Ok(driver);
        }
        let left_out = BUILT_IN.iter().map(|driver| driver.format).find(|format| format.name() == wanted);
        let error = match left_out.or_else(|| foreign_formats::by_name(wanted)) {
            Some(format) => Error::new(ErrorKind::Unsupported).about_format(format).with_fault(Fault::Caller),
            None => Error::new(ErrorKind::InvalidInput),
        };
        let names: Vec<&str> = self.0.iter().map(|driver| driver.format.name()).collect();
        Err(error
            .field("format")
            .found_name(name.as_bytes())
            .expected(format_args!("one of {}", names.join(", "))))
    }

    /// The formats in which the first bytes of a file are valid, in the order of their names.
    pub(crate) fn recognise(&self, head: &[u8]) -> Vec<Format> {
        let mut formats = valid_in(self.0.iter().copied(), head);
        formats.sort_unstable();
        formats
    }

    /// The format of a file with these first bytes that none of these drivers reads: a known one, or one of this build
    /// that was left out.
    pub(crate) fn recognise_unsupported(&self, head: &[u8]) -> Option<Format> {
        let left_out = BUILT_IN.iter().copied().filter(|driver| self.find(driver.format).is_none());
        valid_in(left_out, head).first().copied().or_else(|| foreign_formats::recognise(head))
    }
}

fn valid_in(drivers: impl Iterator<Item = &'static Driver>, head: &[u8]) -> Vec<Format> {
    drivers.filter(|driver| (driver.probe)(head) == Verdict::Yes).map(|driver| driver.format).collect()
}
