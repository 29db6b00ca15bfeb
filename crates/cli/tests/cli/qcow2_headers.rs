//! Headers of qcow2 images: what `qemu-img` reads is read, and what it refuses by a feature bit is refused.

use crate::tools::{ScratchDir, mixed_disk};

/// Returns header extensions with an end mark.
fn extensions(list: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, data) in list {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(*data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.extend([0; 8]);
    bytes
}

/// Writes an image with these bytes changed, and compares the conversions of it from a file and from a pipe with that of
/// `qemu-img`. Returns true if it is read.
#[track_caller]
fn agrees(dir: &ScratchDir, image: &[u8], changes: &[(usize, &[u8])]) -> bool {
    let mut changed = image.to_vec();
    changes.iter().for_each(|(at, bytes)| changed[*at..][..bytes.len()].copy_from_slice(bytes));
    dir.write("changed.qcow2", &changed);
    let (code, _) = dir.img_may_fail(&["convert", "-O", "raw", "changed.qcow2", "theirs.raw"]);
    let file = dir.run(&["convert", "--force", "-O", "raw", "changed.qcow2", "file.raw"]);
    let pipe = dir.run_fed(&["convert", "--force", "-O", "raw", "-", "pipe.raw"], &changed);
    assert_eq!((file.code, pipe.code), (code, code), "{changes:?}: {file:?}");
    if code == 0 {
        let theirs = dir.read("theirs.raw");
        assert!(dir.read("file.raw") == theirs && dir.read("pipe.raw") == theirs, "{changes:?}");
    }
    code == 0
}

#[test]
fn unknown_incompatible_features_alone_are_refused() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    for bit in [0, 1, 2, 5, 17, 63] {
        assert!(agrees(&dir, &image, &[(80, &(1_u64 << bit).to_be_bytes())]), "compatible {bit}");
    }
    for bit in [2, 5, 63] {
        assert!(agrees(&dir, &image, &[(88, &(1_u64 << bit).to_be_bytes())]), "autoclear {bit}");
    }
    assert!(!agrees(&dir, &image, &[(88, &2_u64.to_be_bytes())]), "raw external data without a data file");
    for (bit, is_read) in [(0, true), (1, true), (2, false), (3, false), (5, false), (6, false), (63, false)]
    {
        assert_eq!(
            agrees(&dir, &image, &[(72, &(1_u64 << bit).to_be_bytes())]),
            is_read,
            "incompatible {bit}"
        );
    }
    for method in [1_u32, 2, 3, 99] {
        assert!(!agrees(&dir, &image, &[(32, &method.to_be_bytes())]), "crypt_method {method}");
    }
}

#[test]
fn odd_extensions_and_lengths_are_read_as_by_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    let row = [0; 48];
    for list in [
        &[(0x1234_5678, &b"unknown"[..]), (0x1234_5678, b"twice")][..],
        &[(0x6803_F857, &row), (0x6803_F857, &row)],
        &[(0x6803_F857, &row[..47])],
        &[(0xE279_2ACA, b"raw")],
        &[(0xE279_2ACA, b"")],
        &[(0x4441_5441, b"first"), (0x4441_5441, b"second")],
        &[(0x2385_2875, &[0; 24]), (0x2385_2875, &[0; 24])],
    ] {
        assert!(agrees(&dir, &image, &[(112, &extensions(list))]), "{list:?}");
    }
    for list in
        [&[(0xE279_2ACA, &[b'r'; 16][..])][..], &[(0x0537_BE77, &[0; 16])], &[(0x0537_BE77, &[0; 15])]]
    {
        assert!(!agrees(&dir, &image, &[(112, &extensions(list))]), "{list:?}");
    }
    for length in [104_u32, 120, 128, 504] {
        let at = usize::try_from(length).unwrap();
        let changes = [(100, &length.to_be_bytes()[..]), (112, &[0x55; 400]), (at, &[0; 8])];
        assert!(agrees(&dir, &image, &changes), "header_length {length}");
    }
    assert!(agrees(&dir, &image, &[(105, &[7; 7])]), "bytes after the compression type");
    assert!(agrees(&dir, &image, &[(16, &5000_u32.to_be_bytes())]), "a length without a backing file name");
    assert!(agrees(&dir, &image, &[(64, &(1_u64 << 60).to_be_bytes())]), "no snapshots at an offset");
    assert!(agrees(&dir, &image, &[(36, &100_u32.to_be_bytes())]), "a longer L1 table");
}
