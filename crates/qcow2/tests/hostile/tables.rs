//! Invalid L1 and L2 entries, and missing clusters.

use std::io::Write as _;

use diskimg_codec::cluster::{Deflater, ZstdEncoder};
use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind, ExtentKind, Extents, Limits, OpenOptions};

use crate::image::{CLUSTER, COMPRESSED, COPIED, DATA, Image, L1, L2, assert_error};

const END: u64 = DATA + CLUSTER;

/// The compressed bytes of a cluster.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2 * bytes.len()];
    let len = Deflater::new(None).unwrap().raw_deflate(bytes, &mut out).unwrap();
    out.truncate(len.expect("it fits"));
    out
}

fn noise(len: usize) -> Vec<u8> {
    let mut numbers = diskimg_core::conformance::Numbers::new(5);
    (0..len).map(|_| numbers.below(17) as u8).collect()
}

#[test]
fn unaligned_l1_entry_is_corrupt() {
    let error = Image::new().with(|image| image.u64(L1, L2 + 512)).unmapped(0);
    assert_error(&error, ErrorKind::Corrupt, Some(L1), Some(0));
}

#[test]
fn l2_table_past_the_end_is_truncated() {
    for offset in [END, 1 << 40, 0x00FF_FFFF_FFFF_F000] {
        let error = Image::new().with(|image| image.u64(L1, COPIED | offset)).unmapped(5 * CLUSTER);
        assert_error(&error, ErrorKind::Truncated, Some(offset), Some(5 * CLUSTER));
    }
}

#[test]
fn truncated_l2_table_is_read_up_to_the_end_of_the_file() {
    let mut image = Image::new();
    image.u64(L1, COPIED | END);
    image.0.extend((COPIED | DATA).to_be_bytes());
    image.0.extend([0; 12]);
    assert!(image.open().unwrap().read_at(0, &mut [0; 8192]).is_ok());
    assert_error(&image.unmapped(2 * CLUSTER), ErrorKind::Truncated, Some(END + 16), Some(2 * CLUSTER));
}

#[test]
fn l2_table_in_other_metadata_is_corrupt() {
    for (offset, what) in [(L1, "active L1 table"), (CLUSTER, "refcount table")] {
        let error = Image::new().with(|image| image.u64(L1, COPIED | offset)).unmapped(CLUSTER);
        assert_error(&error, ErrorKind::Corrupt, Some(L1), Some(CLUSTER));
        assert!(error.to_string().ends_with(what), "{error}");
    }
}

#[test]
fn data_cluster_past_the_end_is_truncated() {
    let error = Image::new().with(|image| image.u64(L2 + 16, COPIED | END)).unmapped(2 * CLUSTER);
    assert_error(&error, ErrorKind::Truncated, Some(END), Some(2 * CLUSTER));
    assert_eq!(
        error.to_string(),
        "qcow2: data cluster at byte 20480 for guest offset 8192: the file ends at byte 20480"
    );
}

#[test]
fn last_cluster_reads_as_zeros_after_the_end_of_the_file() {
    let mut image = Image::new();
    image.0.truncate((DATA + 1000) as usize);
    let mut bytes = painted(0, 1000);
    bytes.resize(1 << 20, 0);
    let disk = image.open().unwrap();
    source(&disk, &bytes);
    let runs: Vec<_> = Extents::new(&disk, 0..2 * CLUSTER)
        .map(|extent| extent.map(|e| (e.kind, e.len, e.location.bytes.map(<[u8]>::len))).unwrap())
        .collect();
    assert_eq!(
        runs,
        [
            (ExtentKind::Data, 1000, Some(1000)),
            (ExtentKind::Zero, CLUSTER - 1000, None),
            (ExtentKind::Unallocated, CLUSTER, None),
        ]
    );
    image.0.truncate(DATA as usize);
    assert_error(&image.unmapped(0), ErrorKind::Truncated, Some(DATA), Some(0));
}

#[test]
fn zero_cluster_reports_its_allocated_space_and_reads_nothing_there() {
    let zero = |host: u64| COPIED | host | 1;
    let mut image = Image::new();
    // Allocated: old data, the L1 table, twice past the end, nothing.
    for (index, entry) in
        [zero(DATA), zero(L1), zero(1 << 40), zero((1 << 40) + CLUSTER), 1].iter().enumerate()
    {
        image.u64(L2 + 8 * index as u64, *entry);
    }
    let disk = image.open().unwrap();
    source(&disk, &vec![0; 1 << 20]);
    let runs: Vec<_> = Extents::new(&disk, 100..5 * CLUSTER)
        .map(|extent| extent.map(|e| (e.kind, e.len, e.reserved)).unwrap())
        .collect();
    assert_eq!(
        runs,
        [
            (ExtentKind::Zero, CLUSTER - 100, Some(DATA + 100)),
            (ExtentKind::Zero, CLUSTER, Some(L1)),
            (ExtentKind::Zero, 2 * CLUSTER, Some(1 << 40)),
            (ExtentKind::Zero, CLUSTER, None),
        ]
    );
}

#[test]
fn subclusters_without_data_report_the_allocated_space_of_their_cluster() {
    let cluster = 4 * CLUSTER;
    let mut image = Image::extended();
    // Subclusters of 512 bytes: data, zero, unallocated. The next cluster has zeros and is not allocated.
    image.u64(3 * cluster + 8, 0x0000_FF00_0000_00FF);
    image.u64(3 * cluster + 24, 0x0000_000F_0000_0000);
    let disk = image.open().unwrap();
    let runs: Vec<_> = Extents::new(&disk, 0..2 * cluster)
        .map(|extent| extent.map(|e| (e.kind, e.len, e.reserved)).unwrap())
        .collect();
    let host = 4 * cluster;
    assert_eq!(
        runs,
        [
            (ExtentKind::Data, 8 * 512, None),
            (ExtentKind::Zero, 8 * 512, Some(host + 8 * 512)),
            (ExtentKind::Unallocated, 16 * 512, Some(host + 16 * 512)),
            (ExtentKind::Zero, 4 * 512, None),
            (ExtentKind::Unallocated, cluster - 4 * 512, None),
        ]
    );
}

#[test]
fn data_in_the_l1_or_refcount_table_is_corrupt() {
    for offset in [CLUSTER, L1] {
        let error = Image::new().with(|image| image.u64(L2, COPIED | offset)).unmapped(0);
        assert_error(&error, ErrorKind::Corrupt, Some(offset), Some(0));
    }
    let error = Image::new().with(|image| image.compressed_at(0, 200, 100)).unmapped(0);
    assert_error(&error, ErrorKind::Corrupt, Some(200), Some(0));
}

#[test]
fn reserved_bits_are_corrupt() {
    for bit in [0, 8, 56, 62] {
        let error = Image::new().with(|image| image.u64(L1, COPIED | L2 | 1 << bit)).unmapped(0);
        assert_error(&error, ErrorKind::Corrupt, Some(L1), Some(0));
    }
    for bit in [1, 8, 56, 61] {
        let error = Image::new().with(|image| image.u64(L2, COPIED | DATA | 1 << bit)).unmapped(0);
        assert_error(&error, ErrorKind::Corrupt, Some(L2), Some(0));
    }
    let error = Image::new().with(|image| image.u64(L2 + 8, DATA + 512)).unmapped(CLUSTER + 5);
    assert_error(&error, ErrorKind::Corrupt, Some(L2 + 8), Some(CLUSTER + 5));
}

#[test]
fn damaged_cluster_only_ends_the_run_before_it() {
    let disk = Image::new().with(|image| image.u64(L2 + 8, DATA + 512)).open().unwrap();
    assert_eq!(disk.extent_at(0..3 * CLUSTER).unwrap().len, CLUSTER);
    assert!(disk.read_at(0, &mut [0; CLUSTER as usize]).is_ok());
    let error = disk.read_at(0, &mut [0; CLUSTER as usize + 1]).unwrap_err();
    assert_error(&error, ErrorKind::Corrupt, Some(L2 + 8), Some(CLUSTER));
}

#[test]
fn zero_flag_is_corrupt_in_version_2() {
    let error = Image::v2().with(|image| image.u64(L2, COPIED | DATA | 1)).unmapped(0);
    assert_error(&error, ErrorKind::Corrupt, Some(L2), Some(0));
    let disk = Image::new().with(|image| image.u64(L2, COPIED | DATA | 1)).open().unwrap();
    assert_eq!(disk.extent_at(0..CLUSTER).unwrap().kind, ExtentKind::Zero);
}

#[test]
fn compressed_cluster_past_the_end_is_truncated() {
    for at in [END, END + 3, 1 << 57] {
        let error = Image::new().with(|image| image.compressed_at(1, at, 100)).unmapped(CLUSTER);
        assert_error(&error, ErrorKind::Truncated, Some(at), Some(CLUSTER));
    }
}

#[test]
fn incomplete_compressed_cluster_is_truncated_and_never_stale() {
    let stream = deflated(&noise(CLUSTER as usize));
    assert!(stream.len() > 600);
    let mut image = Image::new();
    let at = image.compressed(1, &stream);
    let whole = image.open().unwrap();
    let mut bytes = vec![0; CLUSTER as usize];
    whole.read_at(CLUSTER, &mut bytes).unwrap();
    assert_eq!(bytes, noise(CLUSTER as usize));
    image.0.truncate(image.0.len() - 100);
    let error = image.unreadable(CLUSTER);
    assert_error(&error, ErrorKind::Truncated, Some(at), Some(CLUSTER));
}

#[test]
fn compressed_cluster_of_garbage_or_short_output_is_corrupt() {
    let short = deflated(&noise(CLUSTER as usize - 1));
    for stream in [vec![0xFF; 512], short] {
        let mut image = Image::new();
        let at = image.compressed(1, &stream);
        image.0.resize(image.0.len().next_multiple_of(512), 0);
        assert_error(&image.unreadable(CLUSTER), ErrorKind::Corrupt, Some(at), Some(CLUSTER));
        let mut whole = vec![0; CLUSTER as usize];
        let error = image.open().unwrap().read_at(CLUSTER, &mut whole).unwrap_err();
        assert_error(&error, ErrorKind::Corrupt, Some(at), Some(CLUSTER));
    }
}

#[test]
fn compressed_data_longer_than_its_cluster_is_clipped() {
    let mut image = Image::new();
    image.compressed(1, &deflated(&painted(9, 2 * CLUSTER as usize)));
    let mut bytes = vec![0; CLUSTER as usize];
    image.open().unwrap().read_at(CLUSTER, &mut bytes).unwrap();
    assert_eq!(bytes, painted(9, CLUSTER as usize));
}

#[test]
fn zstd_frame_with_a_window_of_2_gib_is_over_the_limit() {
    // The magic, no single segment, a window descriptor of 2^31, one raw block.
    let frame = [&[0x28, 0xB5, 0x2F, 0xFD, 0x00, 21 << 3][..], &[0x01, 0x80, 0x00], &[7; 4096]].concat();
    let mut image = Image::zstd();
    let at = image.compressed(1, &frame);
    assert_error(&image.unreadable(CLUSTER), ErrorKind::Limit, Some(at), Some(CLUSTER));
}

#[test]
fn zstd_clusters_of_several_frames_are_read() {
    let bytes = noise(CLUSTER as usize);
    let mut stream = Vec::new();
    for half in bytes.chunks(CLUSTER as usize / 2) {
        let mut out = vec![0; 8192];
        let len = ZstdEncoder::new(None).unwrap().encode(half, &mut out).unwrap().unwrap();
        stream.write_all(&out[..len]).unwrap();
    }
    let mut image = Image::zstd();
    image.compressed(1, &stream);
    let mut read = vec![0; CLUSTER as usize];
    image.open().unwrap().read_at(CLUSTER, &mut read).unwrap();
    assert_eq!(read, bytes);
}

#[test]
fn compressed_clusters_may_share_a_sector_and_end_with_the_file() {
    let mut image = Image::new();
    image.0.extend([0xEE; 77]);
    let mut bytes = painted(0, CLUSTER as usize);
    for cluster in 1..=20 {
        let data = painted(cluster, CLUSTER as usize);
        image.compressed(cluster, &deflated(&data));
        bytes.extend(data);
    }
    assert_ne!(image.0.len() % 512, 0);
    bytes.resize(1 << 20, 0);
    source(&image.open().unwrap(), &bytes);
}

#[test]
fn compressed_clusters_in_any_order_are_read() {
    let mut image = Image::new();
    let mut bytes = painted(0, CLUSTER as usize);
    for cluster in (1..=20).rev() {
        image.compressed(cluster, &deflated(&painted(cluster, CLUSTER as usize)));
    }
    bytes.extend((1..=20).flat_map(|cluster| painted(cluster, CLUSTER as usize)));
    bytes.resize(1 << 20, 0);
    source(&image.open().unwrap(), &bytes);
}

#[test]
fn compressed_cluster_with_a_subcluster_bitmap_is_corrupt() {
    let table = 3 * 4 * CLUSTER;
    let image = Image::extended().with(|image| image.u64(table, COMPRESSED | 0x12345));
    assert_error(&image.unmapped(0), ErrorKind::Corrupt, Some(table), Some(0));
}

#[test]
fn subcluster_both_allocated_and_zero_is_corrupt() {
    let table = 3 * 4 * CLUSTER;
    let image = Image::extended().with(|image| image.u64(table + 8, 1 << 32 | 1));
    assert_error(&image.unmapped(0), ErrorKind::Corrupt, Some(table), Some(0));
    let nowhere = Image::extended().with(|image| image.u64(table, 0));
    assert_error(&nowhere.unmapped(0), ErrorKind::Corrupt, Some(table), Some(0));
}

#[test]
fn subclusters_read_by_their_kind() {
    let cluster = 4 * CLUSTER as usize;
    let image = Image::extended().with(|image| image.u64(3 * 4 * CLUSTER + 8, 0b100 << 32 | 0b11 | 1 << 31));
    let mut bytes = painted(0, cluster);
    bytes[1024..cluster - 512].fill(0);
    bytes.resize(1 << 20, 0);
    let disk = image.open().unwrap();
    source(&disk, &bytes);
    let kinds: Vec<_> =
        Extents::new(&disk, 0..cluster as u64).map(|e| e.map(|e| (e.kind, e.len)).unwrap()).collect();
    assert_eq!(
        kinds,
        [
            (ExtentKind::Data, 1024),
            (ExtentKind::Zero, 512),
            (ExtentKind::Unallocated, cluster as u64 - 2048),
            (ExtentKind::Data, 512),
        ]
    );
}

#[test]
fn disk_of_one_shared_cluster_is_mapped_in_little_memory() {
    let limits = Limits { virtual_size: 1 << 50, metadata_cache: 1 << 20, ..Limits::default() };
    let cluster = 2_u64 << 20;
    let mut image = Image::new();
    image.0.truncate(CLUSTER as usize);
    image.0.resize(4 * cluster as usize, 0);
    image.u32(20, 21);
    for (at, value) in [(24, 1 << 50), (40, 2 * cluster), (48, cluster)] {
        image.u64(at, value);
    }
    image.u32(36, 2048);
    for entry in 0..2048 {
        image.u64(2 * cluster + 8 * entry, COPIED | (3 * cluster));
    }
    let stream = deflated(&vec![b'A'; cluster as usize]);
    let at = image.0.len() as u64;
    let entry = COMPRESSED | (stream.len() as u64 / 512) << 49 | at;
    for index in 0..cluster / 8 {
        image.u64(3 * cluster + 8 * index, entry);
    }
    image.0.extend(&stream);
    assert_eq!(image.refused().kind(), ErrorKind::Limit);
    let disk = image.open_with(&OpenOptions { limits, ..OpenOptions::default() }).unwrap();
    let mut bytes = [0; 3];
    for offset in [0, (1 << 50) - 3, 12_345_678_901_234] {
        disk.read_at(offset, &mut bytes).unwrap();
        assert_eq!(bytes, *b"AAA");
    }
    let first = Extents::new(&disk, 0..1 << 42).next().unwrap().unwrap();
    assert_eq!((first.kind, first.len), (ExtentKind::Encoded, 1 << 42));
}
