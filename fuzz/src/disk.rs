//! Reads, maps and converts open disks.

use std::sync::Arc;

use diskimg::core::{CreateOptions, OpenOptions};
use diskimg::{
    BlockSource, CompareOptions, ConvertOptions, ExtentKind, Extents, Memory, MemorySink, Setting, compare,
};

/// The number of extents to check, because each may require decompressing a cluster.
const EXTENTS: usize = 4096;

/// Reads a disk and its extents, and compares them. Errors are allowed, contradictions are not.
pub fn exercise(disk: &dyn BlockSource) {
    let size = usize::try_from(disk.size()).unwrap();
    let mut whole = vec![0xA5; size];
    let readable = disk.read_at(0, &mut whole).is_ok();
    let mut next = 0;
    for extent in Extents::new(disk, 0..disk.size()).take(EXTENTS) {
        let Ok(extent) = extent else {
            assert!(!readable, "the disk can be read but not mapped");
            return;
        };
        assert_eq!(extent.offset, next);
        assert!(extent.len > 0 && extent.end() <= disk.size());
        next = extent.end();
        if readable {
            let bytes = &whole[extent.offset as usize..extent.end() as usize];
            check_extent(disk, extent.offset, extent.kind, extent.location.bytes, bytes);
        }
    }
    assert!(disk.read_at(disk.size(), &mut [0]).is_err());
    assert!(disk.read_at(u64::MAX, &mut [0, 0]).is_err());
}

fn check_extent(disk: &dyn BlockSource, offset: u64, kind: ExtentKind, place: Option<&[u8]>, bytes: &[u8]) {
    if kind.reads_as_zeros() {
        assert!(bytes.iter().all(|byte| *byte == 0), "{kind:?} at {offset} has bytes");
    }
    if let Some(place) = place {
        assert!(place == bytes, "the location of {offset} has other bytes");
    }
    let inner = (bytes.len() / 3)..bytes.len().div_ceil(2);
    let mut again = vec![0x5A; inner.len()];
    disk.read_at(offset + inner.start as u64, &mut again).expect("a second read succeeds");
    assert!(again == bytes[inner], "a part of {offset} reads differently");
}

/// Converts a disk to qcow2 with options from the bits of `how`, opens the result, and compares.
pub fn convert(disk: &dyn BlockSource, how: u8) {
    let settings = [
        "cluster_size=512",
        "cluster_size=4k,compression_type=zstd",
        "cluster_size=64k,extended_l2=on",
        "cluster_size=1k,compat=v2",
    ];
    let options = CreateOptions {
        virtual_size: disk.size(),
        compress: how & 4 != 0,
        level: None,
        settings: Setting::parse_list(settings[usize::from(how & 3)]).unwrap(),
        siblings: None,
    };
    let file = MemorySink::new(64 << 20);
    let create = diskimg_qcow2::DRIVER.create.expect("qcow2 can be written");
    let sink = create(Box::new(file.clone()), &options).expect("the settings are valid");
    let mut how_converted = ConvertOptions::default();
    how_converted.threads = 1 + usize::from(how >> 3 & 1);
    how_converted.memory = 1 << 20;
    if diskimg::convert(disk, sink, &how_converted, &()).is_err() {
        return;
    }
    let opened = (diskimg_qcow2::DRIVER.open)(Arc::new(Memory::new(file.bytes())), &OpenOptions::default());
    let copy = opened.expect("what we write opens");
    assert_eq!(copy.size(), disk.size().next_multiple_of(512));
    let mut one_thread = CompareOptions::default();
    one_thread.threads = 1;
    let comparison = compare(disk, &copy, &one_thread, &()).expect("a second read succeeds");
    assert_eq!(comparison.difference, None);
}
