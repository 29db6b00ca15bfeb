//! The memory that an open image keeps: within the budget of its caches, whatever was read.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

use diskimg::{BlockSource, ConvertOptions, Disk, Memory, Opener, Setting, Target, convert, driver};

const MIB: usize = 1 << 20;
/// The size of the disk in bytes.
const SIZE: usize = 16 * MIB;

/// Counts allocated bytes.
struct CountedBytes;

static NOW: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed unchanged to the allocator of the system.
unsafe impl GlobalAlloc for CountedBytes {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NOW.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountedBytes = CountedBytes;

/// Reads a sector of each cluster, and then all of the disk in one call.
fn read(disk: &Disk) {
    for offset in (0..SIZE as u64).step_by(64 << 10) {
        disk.read_at(offset + 512, &mut [0; 512]).unwrap();
    }
    disk.read_at(0, &mut vec![0; SIZE]).unwrap();
}

#[test]
fn open_image_keeps_no_more_than_its_caches_may_have() {
    let dir = tempfile::tempdir().unwrap();
    // Half of the bytes do not become smaller.
    let noise = (0_u32..4 << 20).flat_map(|word| (word.wrapping_mul(0x9E37_79B1) >> 16).to_le_bytes());
    let source = Memory::new(noise.collect::<Vec<u8>>());
    // The codec of the one thread that reads, and the tables and buffers of the handle.
    let own = 600 << 10;
    for (format, settings) in [
        ("qcow2", "cluster_size=64k"),
        ("qcow2", "cluster_size=64k,compression_type=zstd"),
        ("qcow2", "cluster_size=2M"),
        ("vmdk", "subformat=streamOptimized"),
        ("raw", ""),
    ] {
        let path = dir.path().join(format!("disk.{format}"));
        let mut target = Target::file(&path, driver(format).unwrap().format);
        (target.settings, target.overwrite) = (Setting::parse_list(settings).unwrap(), true);
        target.compress = format == "qcow2";
        let sink = target.create(Some(SIZE as u64)).unwrap();
        convert(&source, sink, &ConvertOptions::default(), &()).unwrap();
        for budget in [0, 256 << 10, 2 * MIB, 16 * MIB] {
            let mut opener = Opener::new();
            opener.format = Some(driver(format).unwrap().format);
            opener.limits.metadata_cache = budget as u64;
            let file = std::sync::Arc::new(diskimg::FileSource::new(File::open(&path).unwrap()).unwrap());
            let before = NOW.load(Ordering::Relaxed);
            let disk = opener.open_source(file).unwrap();
            read(&disk);
            let kept = NOW.load(Ordering::Relaxed).saturating_sub(before);
            // Each cache keeps the page or cluster that it used last.
            let last = if settings.contains("2M") { 2 * MIB + (64 << 10) } else { 128 << 10 };
            let most = own + last + budget.min(16 * MIB);
            println!("{format} {settings}: {kept} bytes with a budget of {budget}");
            assert!(
                kept <= most,
                "{format} {settings}: {kept} bytes with a budget of {budget}, expected {most}"
            );
        }
    }
}
