//! The entry of this format in the list of formats.

use diskimg_core::{Driver, Verdict};

use crate::check;
use crate::cowd;
use crate::errors::FORMAT;
use crate::open::{inspect, open};
use crate::parsed::{is_text, sesparse_magic};
use crate::sparse_header;
use crate::stream;
use crate::writer;

/// What this crate offers.
///
/// ```
/// use diskimg_core::Verdict;
/// use diskimg_vmdk::DRIVER;
/// assert_eq!((DRIVER.probe)(b"KDMV\x01\0\0\0"), Verdict::Yes);
/// assert_eq!((DRIVER.probe)(b"# Disk DescriptorFile\nversion=1 \r\n"), Verdict::Yes);
/// assert_eq!((DRIVER.probe)(b"QFI\xfb"), Verdict::No);
/// ```
pub static DRIVER: Driver = Driver {
    format: FORMAT,
    description: "VMware images: sparse, stream-optimised, flat, split, and those of ESXi",
    extensions: &["vmdk"],
    probe,
    inspect,
    open,
    stream: Some(stream::stream),
    create: Some(writer::create),
    measure: Some(writer::measure),
    check: Some(check::check),
    settings: writer::SETTINGS,
};

/// The magic of an extent, or the first line of a descriptor. Other versions are this format too, and opening
/// says which they are.
fn probe(prefix: &[u8]) -> Verdict {
    let sesparse = sesparse_magic();
    let magics: [&[u8]; 4] =
        [&sparse_header::MAGIC, &sparse_header::UNFINISHED_MAGIC, &cowd::MAGIC, &sesparse];
    if magics.iter().any(|magic| prefix.starts_with(magic)) || is_text(prefix) == Some(true) {
        return Verdict::Yes;
    }
    let possible = magics.iter().filter(|magic| magic.starts_with(prefix)).map(|magic| magic.len());
    // A descriptor may begin behind blanks: one more byte at a time, up to a bound of a line or two.
    let text = is_text(prefix).is_none().then_some(prefix.len().saturating_add(1));
    match possible.chain(text).min() {
        Some(needed) => Verdict::NeedBytes(needed),
        None => Verdict::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_judged_as_the_whole() {
        let text = b"\xef\xbb\xbf \r\n# disk descriptorfile";
        let sesparse = sesparse_magic();
        for whole in [&b"KDMV"[..], b"kdmv", b"COWD", &sesparse, text] {
            assert_eq!(probe(whole), Verdict::Yes);
            for cut in 0..whole.len() {
                match probe(&whole[..cut]) {
                    Verdict::NeedBytes(needed) => assert!(needed > cut && needed <= whole.len()),
                    verdict => panic!("{verdict:?} at {cut}"),
                }
            }
        }
        for none in
            [&b"QFI\xfb"[..], b"KDMX", b"#!/bin/sh", &[0; 512], &[b'\n'; 2000], &[0xBE, 0xBA, 0xFE, 0xCB]]
        {
            assert_eq!(probe(none), Verdict::No);
        }
    }
}
