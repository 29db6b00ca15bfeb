//! The driver of this format.

use diskimg_core::{Driver, Verdict};

use crate::check::check;
use crate::errors::FORMAT;
use crate::header::MAGIC;
use crate::open::{inspect, open};
use crate::settings_of::settings_of;
use crate::stream::stream;
use crate::table_survey::survey;
use crate::writer;

/// The driver for qcow2 images.
///
/// ```
/// use diskimg_core::Verdict;
/// use diskimg_qcow2::DRIVER;
/// assert_eq!((DRIVER.probe)(b"QFI\xfb\0\0\0\x03"), Verdict::Yes);
/// assert_eq!((DRIVER.probe)(b"KDMV"), Verdict::No);
/// ```
pub static DRIVER: Driver = Driver::new(FORMAT, probe, inspect, open)
    .with_description("QEMU copy-on-write images, versions 2 and 3")
    .with_extensions(&["qcow2", "qcow"])
    .with_survey(survey)
    .with_stream(stream)
    .with_writer(writer::create, writer::measure)
    .with_check(check)
    .with_settings(writer::SETTINGS, settings_of);

/// Recognises the format by its magic alone. An unsupported version is reported when the image is opened.
fn probe(prefix: &[u8]) -> Verdict {
    match prefix.first_chunk::<4>() {
        Some(magic) if *magic == MAGIC => Verdict::Yes,
        None if MAGIC.starts_with(prefix) => Verdict::NeedBytes(MAGIC.len()),
        _ => Verdict::No,
    }
}
