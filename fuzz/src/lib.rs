//! The functions of the fuzz targets. Each accepts any bytes and must not panic, hang or use much memory.
//!
//! Results must also be consistent: of reads in one call and in parts, of extents and the bytes they cover, and of a
//! disk and its conversion.
#![forbid(unsafe_code)]

mod disk;
mod head;
mod stream;
mod wrapper;

use std::sync::Arc;

use diskimg::core::OpenOptions;
use diskimg::{BlockSource, Driver, ErrorKind, Limits, Memory, Opener, driver};

pub use disk::exercise;
pub use head::{raw_content, sniff};
pub use stream::{probe, stream_convert};
pub use wrapper::{gz, xz, zst};

/// The largest disk to read. Small disks are enough to find faults of a reader.
const LARGEST: u64 = 8 << 20;

/// Returns limits so small that code that ignores them exceeds the memory limit of the fuzzer.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        virtual_size: LARGEST,
        metadata_cache: 1 << 20,
        decoder_memory: 16 << 20,
        chain_depth: 2,
        snapshots: 1024,
        header_bytes: 1 << 20,
        probed_bytes: 1 << 20,
    }
}

/// Opens any bytes as one format, and reads and checks a valid image.
fn open(driver: &Driver, data: &[u8]) {
    let options = OpenOptions { limits: limits(), ..OpenOptions::default() };
    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(data.to_vec()));
    let report = driver.check.map(|check| check(Arc::clone(&source), &options));
    if let Ok(image) = (driver.open)(source, &options) {
        exercise(&*image);
        assert!(
            !matches!(report, Some(Err(error)) if error.kind() == ErrorKind::Corrupt),
            "a corrupt image opens"
        );
    }
}

/// Describes any bytes as one format. An image that opens must have a description, and the same one.
fn inspect(driver: &Driver, data: &[u8]) {
    let source = Memory::new(data.to_vec());
    let described = (driver.inspect)(&source, &limits());
    let options = OpenOptions { limits: limits(), ..OpenOptions::default() };
    match ((driver.open)(Arc::new(source), &options), described) {
        (Ok(image), Ok(mut described)) => {
            // Opening reads more, and may add findings.
            let found = &image.info().findings;
            assert!(
                described.findings.iter().all(|finding| found.contains(finding)),
                "{:?}",
                described.findings
            );
            described.findings.clone_from(found);
            assert_eq!(image.info(), &described);
        }
        (Ok(_), Err(error)) => panic!("opens but has no description: {error}"),
        (Err(error), _) => {
            assert!(!error.to_string().contains(char::is_control), "{:?}", error.to_string());
        }
    }
}

/// Opens any bytes as qcow2, and reads and checks a valid image.
pub fn qcow2_open(data: &[u8]) {
    open(&diskimg_qcow2::DRIVER, data);
}

/// Describes any bytes as qcow2.
pub fn qcow2_inspect(data: &[u8]) {
    inspect(&diskimg_qcow2::DRIVER, data);
}

/// Opens any bytes as VMDK, describes them, and reads and checks a valid image.
pub fn vmdk(data: &[u8]) {
    inspect(&diskimg_vmdk::DRIVER, data);
    open(&diskimg_vmdk::DRIVER, data);
}

/// Opens any bytes as VDI, describes them, and reads and checks a valid image.
pub fn vdi(data: &[u8]) {
    inspect(&diskimg_vdi::DRIVER, data);
    open(&diskimg_vdi::DRIVER, data);
}

/// Opens any image, converts it to qcow2 in memory with options from the first byte, and compares.
pub fn convert(data: &[u8]) {
    let Some((&how, image)) = data.split_first() else { return };
    let mut opener = Opener::new();
    opener.limits = limits();
    opener.format = (how & 0x80 != 0).then(|| driver("raw").unwrap().format);
    if let Ok(disk) = opener.open_source(Arc::new(Memory::new(image.to_vec()))) {
        disk::convert(&disk, how);
    }
}
