//! Host files as sources: the suite, holes, and files that are not what they should be.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg_core::conformance::{self, painted};
use diskimg_core::{BlockSource, ErrorKind, ExtentKind, Extents, Limits};
use diskimg_raw::{FileSource, MappedFile, RawImage, SourceOptions};
use tempfile::TempDir;

const DIRECT: SourceOptions = SourceOptions { direct: true };

fn file_with(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Data in every third piece of 64 KiB, holes between, and a hole and an odd size at the end.
fn sparse_file() -> (TempDir, PathBuf, Vec<u8>) {
    const PIECE: usize = 64 << 10;
    let mut bytes = vec![0; 40 * PIECE + 777];
    let (dir, path) = file_with(&[]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for piece in (0..39).step_by(3) {
        let data = painted(piece as u64 + 1, PIECE);
        file.write_all_at(&data, (piece * PIECE) as u64).unwrap();
        bytes[piece * PIECE..][..PIECE].copy_from_slice(&data);
    }
    (dir, path, bytes)
}

fn map(path: &Path) -> MappedFile {
    // SAFETY: the file is the test's own, and the test does not change it while it is mapped.
    unsafe { MappedFile::map(File::open(path).unwrap()).unwrap() }
}

#[test]
fn files_of_every_size_pass_the_suite_in_every_way_of_reading() {
    for size in [0, 1, 511, 512, 4095, 4096, 4097, 70_000, (1 << 20) + 4097] {
        let bytes = painted(3, size);
        let (_dir, path) = file_with(&bytes);
        conformance::source(&FileSource::open(&path).unwrap(), &bytes);
        conformance::source(&FileSource::open_with(&path, &DIRECT).unwrap(), &bytes);
        conformance::source(&map(&path), &bytes);
    }
}

#[test]
fn sparse_files_pass_the_suite_in_every_way_of_reading() {
    let (_dir, path, bytes) = sparse_file();
    conformance::source(&FileSource::open(&path).unwrap(), &bytes);
    conformance::source(&FileSource::open_with(&path, &DIRECT).unwrap(), &bytes);
    conformance::source(&map(&path), &bytes);
    let raw = RawImage::new(Arc::new(FileSource::open(&path).unwrap()), &Limits::default()).unwrap();
    conformance::source(&raw, &bytes);
}

#[test]
fn direct_reads_longer_than_the_buffer_are_whole() {
    let bytes = painted(0, (5 << 20) + 123);
    let (_dir, path) = file_with(&bytes);
    let disk = FileSource::open_with(&path, &DIRECT).unwrap();
    for start in [0, 1, 4096, 4097, (1 << 20) - 1] {
        let mut buf = vec![0; bytes.len() - start];
        disk.read_at(start as u64, &mut buf).unwrap();
        assert!(buf == bytes[start..], "from {start}");
    }
}

#[test]
fn asking_for_direct_reads_is_never_an_error_where_files_cannot() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let (path, bytes) = (dir.path().join("disk"), painted(0, 10_000));
    fs::write(&path, &bytes).unwrap();
    conformance::source(&FileSource::open_with(&path, &DIRECT).unwrap(), &bytes);
}

#[test]
fn a_handle_opened_for_direct_reads_is_read_as_such() {
    let (_dir, path, bytes) = sparse_file();
    let by_us = FileSource::open_with(&path, &DIRECT).unwrap();
    let by_hand = FileSource::new(by_us.file().try_clone().unwrap()).unwrap();
    assert_eq!(by_hand.is_direct(), by_us.is_direct());
    conformance::source(&by_hand, &bytes);
}

#[test]
fn what_has_no_blocks_is_refused_and_a_pipe_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    // macOS has no `mknodat` in rustix; the other kinds are enough there.
    #[cfg(target_os = "linux")]
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _ = mode;
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut paths = vec![dir.path().to_path_buf(), PathBuf::from("/dev/null"), socket];
    if pipe.exists() {
        paths.push(pipe);
    }
    for path in paths {
        for options in [SourceOptions::default(), DIRECT] {
            let error = FileSource::open_with(&path, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}: {error}", path.display());
        }
    }
    let error = FileSource::open(dir.path().join("absent")).unwrap_err();
    assert_eq!(error.os_error(), Some(2), "{error}");
}

/// X02.
#[test]
fn x02_reading_past_the_end_of_a_file_that_has_shrunk_is_truncated_and_says_where() {
    let (_dir, path) = file_with(&painted(0, 100_000));
    for options in [SourceOptions::default(), DIRECT] {
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(&painted(0, 100_000), 0).unwrap();
        let disk = FileSource::open_with(&path, &options).unwrap();
        file.set_len(50_000).unwrap();
        let mut buf = vec![0; 20_000];
        disk.read_at(30_000, &mut buf).unwrap();
        assert_eq!(buf, painted(30_000, 20_000));
        let error = disk.read_at(40_000, &mut buf).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(50_000)), "{error}");
        let error = disk.read_at(80_000, &mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    }
}

/// X02: what is gone must not pass for a hole, neither asked anew nor remembered.
#[test]
fn x02_the_end_of_a_sparse_file_that_has_shrunk_is_no_hole() {
    let (_dir, path) = file_with(&[1; 65_536]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let disk = FileSource::open(&path).unwrap();
    let hole = disk.extent_at(65_536..disk.size()).unwrap();
    if hole.kind != ExtentKind::Zero {
        eprintln!("skipped: the file system does not tell of holes");
        return;
    }
    file.set_len(500_000).unwrap();
    let cut = disk.extent_at(65_536..disk.size()).unwrap();
    assert_eq!((cut.kind, cut.end()), (ExtentKind::Zero, 500_000));
    assert!(cut.location.host.is_none());
    assert_eq!(cut.reserved, Some(cut.offset));
    for at in [500_000, 700_000] {
        let error = disk.extent_at(at..disk.size()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(500_000)), "{error}");
    }
}

#[test]
fn a_hole_that_somebody_wrote_into_is_one_no_longer() {
    let (_dir, path) = file_with(&[]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let disk = FileSource::open(&path).unwrap();
    assert_eq!(disk.extent_at(0..1 << 20).unwrap().len, 1 << 20);
    file.write_all_at(&[1; 4096], 524_288).unwrap();
    let data: Vec<u64> = Extents::new(&disk, 0..disk.size())
        .map(Result::unwrap)
        .filter(|extent| extent.kind == ExtentKind::Data)
        .flat_map(|extent| extent.range())
        .collect();
    assert!((524_288..528_384).all(|at| data.contains(&at)), "the new bytes are data");
}

#[test]
fn a_walk_gives_each_run_once_and_where_it_lies() {
    let (_dir, path, bytes) = sparse_file();
    let disk = FileSource::open(&path).unwrap();
    let runs: Vec<_> = Extents::new(&disk, 0..disk.size()).map(Result::unwrap).collect();
    if runs.len() == 1 {
        eprintln!("skipped: the file system does not tell of holes");
        return;
    }
    // 13 runs of data, a hole behind each; file systems with large blocks may join some.
    assert!(runs.len() <= 26, "{} runs", runs.len());
    for run in &runs {
        let host = run.location.host;
        assert_eq!(host.is_some(), run.kind == ExtentKind::Data);
        assert!(host.is_none_or(|host| host.offset == run.offset && host.len == run.len));
    }
    assert!(disk.locate(5..10).host.is_some_and(|host| (host.offset, host.len) == (5, 5)));
    assert!(disk.locate(5..bytes.len() as u64 + 1).host.is_none());
    assert!(
        FileSource::open_with(&path, &DIRECT)
            .is_ok_and(|direct| { direct.is_direct() == direct.locate(5..10).host.is_none() })
    );
}
