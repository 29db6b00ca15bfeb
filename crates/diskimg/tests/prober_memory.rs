//! The memory of a prober between pushes, which is less than 2 MiB for any stream.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use diskimg::{Memory, Opener, Prober};

const MIB: usize = 1 << 20;

/// Counts allocated bytes.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed unchanged to the allocator of the system.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
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
static ALLOCATOR: Counting = Counting;

/// A header of qcow2, version 2 or 3, for clusters of 64 KiB.
fn qcow2(version: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..8].copy_from_slice(&[b'Q', b'F', b'I', 0xfb, 0, 0, 0, version]);
    let words = [(20, 16_u32), (36, 1), (56, 1), (96, 4), (100, 104)];
    for (at, value) in words.into_iter().filter(|(at, _)| version == 3 || *at < 72) {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    for (at, value) in [(24, 1_u64 << 20), (40, 3 << 16), (48, 1 << 16)] {
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

/// `count` snapshots with names of `name_len` bytes each, with the table at `at`.
fn snapshots(count: u32, name_len: u16, at: usize) -> Vec<u8> {
    let entry = (40 + usize::from(name_len)).next_multiple_of(8);
    let mut bytes = qcow2(2, at + usize::try_from(count).unwrap() * entry + 65_536);
    bytes[60..64].copy_from_slice(&count.to_be_bytes());
    bytes[64..72].copy_from_slice(&(at as u64).to_be_bytes());
    for index in 0..usize::try_from(count).unwrap() {
        let start = at + index * entry;
        bytes[start + 14..start + 16].copy_from_slice(&name_len.to_be_bytes());
        bytes[start + 40..][..usize::from(name_len)].fill(b'n');
    }
    bytes
}

fn bitmaps(count: u32) -> Vec<u8> {
    let at = 2 << 16;
    let mut bytes = qcow2(3, at + 32 * usize::try_from(count).unwrap() + 65_536);
    bytes[95] = 1;
    bytes[104..112].copy_from_slice(&[0x23, 0x85, 0x28, 0x75, 0, 0, 0, 24]);
    bytes[112..116].copy_from_slice(&count.to_be_bytes());
    bytes[120..128].copy_from_slice(&(u64::from(count) * 32).to_be_bytes());
    bytes[128..136].copy_from_slice(&(at as u64).to_be_bytes());
    for index in 0..usize::try_from(count).unwrap() {
        let start = at + 32 * index;
        bytes[start + 16..start + 20].copy_from_slice(&[1, 16, 0, 5]);
        bytes[start + 24..start + 29].copy_from_slice(format!("{index:05}").as_bytes());
    }
    bytes
}

/// A descriptor with this number of lines.
fn descriptor(lines: usize, line: &str) -> Vec<u8> {
    let mut text = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n".to_owned();
    text.push_str("createType=\"custom\"\n");
    for number in 0..lines {
        writeln!(text, "{}", line.replace('#', &number.to_string())).unwrap();
    }
    text.into_bytes()
}

/// A stream-optimised VMDK with its grain directory at its end, and this number of lines in its descriptor.
fn stream_optimised(lines: usize, line: &str, len: usize) -> Vec<u8> {
    let mut text = descriptor(lines, line);
    text.resize(text.len().next_multiple_of(512), 0);
    let sectors = u64::try_from(text.len() / 512).unwrap();
    let mut bytes = vec![0; 512];
    bytes[..4].copy_from_slice(b"KDMV");
    bytes[4..8].copy_from_slice(&3_u32.to_le_bytes());
    bytes[8..12].copy_from_slice(&0x3_0001_u32.to_le_bytes());
    let words = [(12, 2048_u64), (20, 128), (28, 1), (36, sectors), (56, u64::MAX), (64, sectors + 1)];
    for (at, value) in words {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[44..48].copy_from_slice(&512_u32.to_le_bytes());
    bytes[73..77].copy_from_slice(b"\n \r\n");
    bytes[77] = 1;
    bytes.extend(text);
    bytes.resize(len, 7);
    bytes
}

fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let named = "RW 8 FLAT \"a-name-of-some-length-#.vmdk\" 0";
    let long = format!("RW 8 FLAT \"{}-#.vmdk\" 0", "n".repeat(220));
    let key = "ddb.key-#=\"value\"";
    let mut random = 1_u32;
    let noise = std::iter::repeat_with(move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random.to_be_bytes()[0] | 1
    });
    let mut disc = vec![0; 4 * MIB];
    disc[32_769..32_774].copy_from_slice(b"CD001");
    vec![
        ("snapshots without names", snapshots(40_000, 0, 65_536)),
        ("snapshots without names, far after the head", snapshots(40_000, 0, 2 * MIB)),
        ("snapshots with names", snapshots(20_000, 100, 65_536)),
        ("snapshots with long names", snapshots(100, 60_000, 65_536)),
        ("some snapshots", snapshots(3, 10, 65_536)),
        ("bitmaps", bitmaps(60_000)),
        ("20,000 extents", descriptor(20_000, named)),
        ("as many extents as there may be", descriptor(4090, named)),
        ("extents with long names", descriptor(4090, &long)),
        ("extents of zeros", descriptor(4090, "RW 8 ZERO")),
        ("keys", descriptor(8000, key)),
        ("one long line", descriptor(1, &format!("parentFileNameHint=\"{}\"", "n".repeat(MIB - 4096)))),
        ("one long name of a layout", descriptor(1, &format!("x=\"{}\"", "n".repeat(MIB - 4096)))),
        ("a stream", stream_optimised(1, named, 4 * MIB)),
        ("a stream of many extents", stream_optimised(4090, &long, 4 * MIB)),
        ("a stream of many keys", stream_optimised(8000, key, 4 * MIB)),
        ("zeros", vec![0; 4 * MIB]),
        ("noise", noise.take(4 * MIB).collect()),
        ("disc", disc),
    ]
}

#[test]
fn prober_uses_less_than_2_mib_for_any_stream() {
    for (name, bytes) in streams() {
        for chunk in [997, 65_536, usize::MAX] {
            let before = NOW.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            let mut prober = Prober::new();
            let mut held = 0;
            for piece in bytes.chunks(chunk.min(bytes.len())) {
                prober.push(piece);
                held = held.max(NOW.load(Ordering::Relaxed) - before);
            }
            let most = MOST.load(Ordering::Relaxed) - before;
            eprintln!("{name} by {chunk}: {held} held, {most} at most");
            assert!(held < 2 * MIB, "{name} by {chunk}: {held} bytes are held");
            assert!(most < 16 * MIB, "{name} by {chunk}: {most} bytes for a moment");
            drop(prober.finish());
        }
        described_like_its_file(name, bytes);
    }
}

/// Lists that are too long before the end are complete at the end.
fn described_like_its_file(name: &str, bytes: Vec<u8>) {
    let mut opener = Opener::new();
    opener.threads = 1;
    let found = opener.inspect_stream(&bytes[..]).map(|inspection| inspection.info);
    let expected = opener.inspect_source(&Memory::new(bytes)).map(|inspection| inspection.info);
    match (found, expected) {
        (Ok(mut found), Ok(expected)) => {
            // A table that is too long and too far from the head is not read, which is a finding.
            if found.findings.iter().any(|finding| finding.check == "not_seen") {
                eprintln!("{name}: not all was seen");
                (found.findings, found.snapshots) = (expected.findings.clone(), expected.snapshots.clone());
                found.details = expected.details.clone();
            }
            assert!(found == expected, "{name}");
        }
        (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected.to_string(), "{name}"),
        (found, expected) => panic!("{name}: {:?}, of the file {:?}", found.err(), expected.err()),
    }
}
