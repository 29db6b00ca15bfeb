//! The entry of this format in the list of formats.

use diskimg_core::{Driver, ErrorKind, Verdict};

use crate::check::check;
use crate::errors::FORMAT;
use crate::fields::{SIGNATURE, SIGNATURE_AT, length_of_version};
use crate::header::Header;
use crate::open::{inspect, open};
use crate::stream::stream;
use crate::writer;

/// What this crate offers.
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
pub static DRIVER: Driver = Driver {
    format: FORMAT,
    description: "VirtualBox disk images: dynamic, fixed, differencing and undo",
    extensions: &["vdi"],
    probe,
    inspect,
    open,
    stream: Some(stream),
    create: Some(writer::create),
    measure: Some(writer::measure),
    check: Some(check),
    settings: writer::SETTINGS,
};

/// What all writers begin their text for people with: no boot code begins so.
const TEXT: &[u8] = b"<<<";

/// The signature, and something that makes it more than four bytes of boot code: the text that all writers put
/// in front, and then opening says what is wrong with the header; or else a header without fault.
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
        Err(_) => Verdict::No,
    }
}
