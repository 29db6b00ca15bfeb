//! The driver of this format.

use std::sync::Arc;

use diskimg_core::{Driver, ErrorKind, Verdict};

use crate::check::check;
use crate::errors::FORMAT;
use crate::header::Header;
use crate::header_fields::{SIGNATURE, SIGNATURE_AT, length_of_version};
use crate::map_survey::survey;
use crate::open::{Vdi, inspect};
use crate::settings_of::settings_of;
use crate::stream::stream;
use crate::writer;

/// The driver of VDI images.
///
/// ```
/// use diskimg_core::Verdict;
/// use diskimg_vdi::DRIVER;
/// let mut head = [0; 512];
/// head[..3].copy_from_slice(b"<<<");
/// assert_eq!((DRIVER.probe)(&head), Verdict::No);
/// head[64..68].copy_from_slice(&[0x7F, 0x10, 0xDA, 0xBE]);
/// assert_eq!((DRIVER.probe)(&head), Verdict::Yes);
/// ```
pub static DRIVER: Driver =
    Driver::new(FORMAT, probe, inspect, |source, options| Ok(Arc::new(Vdi::open(source, options)?)))
        .with_description("VirtualBox disk images: dynamic, fixed, differencing and undo")
        .with_extensions(&["vdi"])
        .with_survey(survey)
        .with_stream(stream)
        .with_writer(writer::create, writer::measure)
        .with_check(check)
        .with_settings(writer::SETTINGS, settings_of);

/// The beginning of the text that all writers put before the signature. No boot code starts with it.
const TEXT: &[u8] = b"<<<";
/// The signature at the end of a boot sector.
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xAA];
const BOOT_SIGNATURE_AT: usize = 510;

/// Recognises the signature, unless it may be four bytes of boot code. It is not if the usual text precedes it, a valid
/// header follows, or the sector is not a boot sector. A damaged image is recognised too, so that it is not taken for a
/// raw disk; opening it reports the damage.
fn probe(prefix: &[u8]) -> Verdict {
    let signature = prefix.get(SIGNATURE_AT..).unwrap_or_default();
    if signature.len() < SIGNATURE.len() && SIGNATURE.starts_with(signature) {
        return Verdict::NeedBytes(SIGNATURE_AT + SIGNATURE.len());
    }
    if !signature.starts_with(&SIGNATURE) {
        return Verdict::No;
    }
    if prefix.starts_with(TEXT) {
        return Verdict::Yes;
    }
    match Header::parse(prefix) {
        Ok(_) => Verdict::Yes,
        Err(error) if error.kind() == ErrorKind::Truncated => Verdict::NeedBytes(length_of_version(prefix)),
        Err(_) => match prefix.get(BOOT_SIGNATURE_AT..).unwrap_or_default() {
            end if end.starts_with(&BOOT_SIGNATURE) => Verdict::No,
            [_, _, ..] => Verdict::Yes,
            _ => Verdict::NeedBytes(BOOT_SIGNATURE_AT + BOOT_SIGNATURE.len()),
        },
    }
}
