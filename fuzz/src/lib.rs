//! What the fuzz targets do: each function takes any bytes and may not panic, hang or take much memory.
//!
//! Beyond that, whatever answers twice has to answer the same: a read in one go and in pieces, extents and the
//! bytes they speak of, a disk and what it was converted to.
#![forbid(unsafe_code)]

mod disk;
mod head;
mod stream;
mod wrapper;

use std::sync::Arc;

use diskimg::{DenyReferences, Limits, Memory, OpenOptions, Opener, driver};

pub use disk::exercise;
pub use head::{raw_content, sniff};
pub use stream::{probe, stream_convert};
pub use wrapper::{gz, xz, zst};

/// The largest disk that is read: a reader's faults show on small ones.
const LARGEST: u64 = 8 << 20;

/// Small enough that whoever ignores them meets the memory limit of the fuzzer.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        virtual_size: LARGEST,
        metadata_cache: 1 << 20,
        decoder_memory: 16 << 20,
        chain_depth: 2,
        snapshots: 1024,
        header_bytes: 1 << 20,
    }
}

/// Opens any bytes as qcow2, and reads what opens.
pub fn qcow2_open(data: &[u8]) {
    let options = OpenOptions { limits: limits(), resolver: &DenyReferences, snapshot: None };
    if let Ok(image) = (diskimg_qcow2::DRIVER.open)(Arc::new(Memory::new(data.to_vec())), &options) {
        exercise(&*image);
    }
}

/// Describes any bytes as qcow2; whatever opens can be described, and tells the same.
pub fn qcow2_inspect(data: &[u8]) {
    let source = Memory::new(data.to_vec());
    let told = (diskimg_qcow2::DRIVER.inspect)(&source, &limits());
    let options = OpenOptions { limits: limits(), resolver: &DenyReferences, snapshot: None };
    match ((diskimg_qcow2::DRIVER.open)(Arc::new(source), &options), told) {
        (Ok(image), Ok(told)) => assert_eq!(image.info(), &told),
        (Ok(_), Err(error)) => panic!("opens, and cannot be described: {error}"),
        (Err(error), _) => {
            assert!(!error.to_string().contains(char::is_control), "{:?}", error.to_string());
        }
    }
}

/// Opens any image, converts it to qcow2 in memory as the first byte says, and compares.
pub fn convert(data: &[u8]) {
    let Some((&how, image)) = data.split_first() else { return };
    let mut opener = Opener::new();
    opener.limits = limits();
    opener.format = (how & 0x80 != 0).then(|| driver("raw").unwrap().format);
    if let Ok(disk) = opener.open_source(Arc::new(Memory::new(image.to_vec()))) {
        disk::convert(&disk, how);
    }
}
