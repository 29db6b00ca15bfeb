//! The driver of this format.

use diskimg_core::{Driver, Verdict};

use crate::check;
use crate::cowd;
use crate::errors::FORMAT;
use crate::grain_survey::survey;
use crate::open::{inspect, open};
use crate::sesparse;
use crate::settings_of::settings_of;
use crate::sparse_header;
use crate::stream;
use crate::text_probe::is_descriptor;
use crate::writer;

/// The VMDK driver.
///
/// ```
/// use diskimg_core::Verdict;
/// use diskimg_vmdk::DRIVER;
/// assert_eq!((DRIVER.probe)(b"KDMV\x01\0\0\0"), Verdict::Yes);
/// assert_eq!((DRIVER.probe)(b"# Disk DescriptorFile\nversion=1 \r\n"), Verdict::Yes);
/// assert_eq!((DRIVER.probe)(b"QFI\xfb"), Verdict::No);
/// ```
pub static DRIVER: Driver = Driver::new(FORMAT, probe, inspect, open)
    .with_description("VMware images: sparse, stream-optimised, flat, split, and those of ESXi")
    .with_extensions(&["vmdk"])
    .with_survey(survey)
    .with_stream(stream::stream)
    .with_writer(writer::create, writer::measure)
    .with_check(check::check)
    .with_settings(writer::SETTINGS, settings_of);

/// Recognises the magic of an extent or the first lines of a descriptor. Unsupported versions are recognised too;
/// opening rejects them.
fn probe(prefix: &[u8]) -> Verdict {
    let sesparse = sesparse::signature();
    let magics: [&[u8]; 4] =
        [&sparse_header::MAGIC, &sparse_header::UNFINISHED_MAGIC, &cowd::MAGIC, &sesparse];
    if magics.iter().any(|magic| prefix.starts_with(magic)) || is_descriptor(prefix) == Some(true) {
        return Verdict::Yes;
    }
    let possible = magics.iter().filter(|magic| magic.starts_with(prefix)).map(|magic| magic.len());
    // Blanks and comments may precede a descriptor. Their length is limited, so one more byte each time ends.
    let text = is_descriptor(prefix).is_none().then_some(prefix.len().saturating_add(1));
    match possible.chain(text).min() {
        Some(needed) => Verdict::NeedBytes(needed),
        None => Verdict::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_gives_the_verdict_of_the_whole_or_needs_bytes() {
        let text = b"\xef\xbb\xbf \r\n# disk descriptorfile";
        let sesparse = sesparse::signature();
        let version = b"# made by x\n\nversion = 1\r\n";
        for whole in [&b"KDMV"[..], b"kdmv", b"COWD", &sesparse, text, version] {
            assert_eq!(probe(whole), Verdict::Yes);
            for len in 0..whole.len() {
                match probe(&whole[..len]) {
                    Verdict::NeedBytes(needed) => assert!(needed > len && needed <= whole.len()),
                    verdict => panic!("{verdict:?} at {len}"),
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
