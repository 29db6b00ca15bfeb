//! Host files as sources: the suite, holes, and unusable files.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg_core::conformance::{self, painted};
use diskimg_core::{BlockSource, ErrorKind, Extent, ExtentKind, Extents, Limits};
use diskimg_raw::{FileSource, MappedFile, RawImage, SourceOptions};
use tempfile::TempDir;

const DIRECT: SourceOptions = SourceOptions { direct: true };

fn file_with(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Creates a file with data in every third piece of 64 KiB, holes between them, and a hole and an odd size at the end.
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
    // SAFETY: the file belongs to the test, which does not change it while it is mapped.
    unsafe { MappedFile::map(File::open(path).unwrap()).unwrap() }
}

#[test]
fn files_of_every_size_pass_the_suite_with_every_source() {
    for size in [0, 1, 511, 512, 4095, 4096, 4097, 70_000, (1 << 20) + 4097] {
        let bytes = painted(3, size);
        let (_dir, path) = file_with(&bytes);
        conformance::source(&FileSource::open(&path).unwrap(), &bytes);
        conformance::source(&FileSource::open_with(&path, &DIRECT).unwrap(), &bytes);
        conformance::source(&map(&path), &bytes);
    }
}

#[test]
fn sparse_files_pass_the_suite_with_every_source() {
    let (_dir, path, bytes) = sparse_file();
    conformance::source(&FileSource::open(&path).unwrap(), &bytes);
    conformance::source(&FileSource::open_with(&path, &DIRECT).unwrap(), &bytes);
    conformance::source(&map(&path), &bytes);
    let raw = RawImage::new(Arc::new(FileSource::open(&path).unwrap()), &Limits::default()).unwrap();
    conformance::source(&raw, &bytes);
}

#[test]
fn direct_reads_longer_than_the_buffer_are_complete() {
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
fn direct_reads_fall_back_without_support_of_the_file_system() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let (path, bytes) = (dir.path().join("disk"), painted(0, 10_000));
    fs::write(&path, &bytes).unwrap();
    conformance::source(&FileSource::open_with(&path, &DIRECT).unwrap(), &bytes);
}

#[test]
fn handle_opened_for_direct_reads_uses_direct_reads() {
    let (_dir, path, bytes) = sparse_file();
    let by_us = FileSource::open_with(&path, &DIRECT).unwrap();
    let by_hand = FileSource::new(by_us.file().try_clone().unwrap()).unwrap();
    assert_eq!(by_hand.is_direct(), by_us.is_direct());
    conformance::source(&by_hand, &bytes);
}

#[test]
fn directories_pipes_and_sockets_are_refused_immediately() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    // rustix has no `mknodat` on macOS; the other kinds suffice there.
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

#[test]
fn read_past_the_end_of_a_shrunk_file_is_truncated_with_its_offset() {
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

// Truncated bytes must not be reported as a hole, whether cached or not.
#[test]
fn end_of_a_shrunk_sparse_file_is_not_a_hole() {
    let (_dir, path) = file_with(&[1; 65_536]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let disk = FileSource::open(&path).unwrap();
    let hole = disk.extent_at(65_536..disk.size()).unwrap();
    if hole.kind != ExtentKind::Zero {
        eprintln!("skipped: the file system does not report holes");
        return;
    }
    file.set_len(500_000).unwrap();
    for at in [65_536, 500_000, 700_000] {
        let error = disk.extent_at(at..disk.size()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(500_000)), "{error}");
    }
}

#[test]
fn hole_that_was_written_to_is_data() {
    let (_dir, path) = file_with(&[]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let disk = FileSource::open(&path).unwrap();
    assert_eq!(disk.extent_at(0..1 << 20).unwrap().len, 1 << 20);
    file.write_all_at(&[1; 4096], 524_288).unwrap();
    let runs: Vec<_> = Extents::new(&disk, 0..disk.size()).collect::<Result<_, _>>().unwrap();
    let data: Vec<u64> =
        runs.iter().filter(|run| run.kind == ExtentKind::Data).flat_map(Extent::range).collect();
    assert!((524_288..528_384).all(|at| data.contains(&at)), "the new bytes are data");
}

#[test]
fn extents_return_each_run_once_with_its_location() {
    let (_dir, path, bytes) = sparse_file();
    let disk = FileSource::open(&path).unwrap();
    let runs: Vec<_> = Extents::new(&disk, 0..disk.size()).collect::<Result<_, _>>().unwrap();
    if runs.len() == 1 {
        eprintln!("skipped: the file system does not report holes");
        return;
    }
    // 13 runs of data, each followed by a hole. File systems with large blocks may merge some.
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
