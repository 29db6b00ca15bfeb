//! Block devices. Needs root and a free loop device.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use diskimg_core::conformance::{self, painted};
use diskimg_core::{BlockSink, BlockSource, ErrorKind};
use diskimg_raw::{FileSink, FileSource, Preallocation, SinkOptions, SourceOptions, StoredZeros};
use tempfile::TempDir;

const SIZE: u64 = 3 << 20;

struct LoopDevice {
    device: PathBuf,
    _dir: TempDir,
}

impl LoopDevice {
    /// Creates a loop device over a file. `None`, even in CI, if that is not possible: most containers forbid it.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk");
        File::create(&file).unwrap().set_len(SIZE).unwrap();
        let made = Command::new("losetup").args(["--find", "--show"]).arg(&file).output();
        match made {
            Ok(output) if output.status.success() => {
                let device = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
                Some(Self { device, _dir: dir })
            }
            _ => {
                eprintln!("skipped: no loop device can be set up here");
                None
            }
        }
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.device).unwrap()
    }

    /// Runs the suite of sinks over the device, which is full of old bytes each time.
    fn passes_with_old_bytes(&self, options: SinkOptions) {
        conformance::sink(
            SIZE,
            4096,
            &|_| {
                self.open().write_all_at(&vec![0xEE; usize::try_from(SIZE).unwrap()], 0).unwrap();
                Box::new(FileSink::new(self.open(), options).unwrap())
            },
            &|| Box::new(read(&self.device)),
        );
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}

fn read(path: &Path) -> FileSource {
    FileSource::open(path).unwrap()
}

#[test]
fn device_passes_the_suite_as_a_source() {
    let Some(device) = LoopDevice::new() else { return };
    let bytes = painted(5, usize::try_from(SIZE).unwrap());
    device.open().write_all_at(&bytes, 0).unwrap();
    conformance::source(&read(&device.device), &bytes);
    let direct = FileSource::open_with(&device.device, &SourceOptions { direct: true }).unwrap();
    conformance::source(&direct, &bytes);
}

#[test]
fn device_with_old_bytes_passes_the_suite_as_a_sink() {
    let Some(device) = LoopDevice::new() else { return };
    for zeros in [StoredZeros::Deallocated, StoredZeros::Allocated, StoredZeros::Written] {
        for direct in [false, true] {
            for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
                let size = Some(SIZE);
                let options = SinkOptions { size, zeros, direct, preallocation, ..SinkOptions::default() };
                device.passes_with_old_bytes(options);
            }
        }
    }
}

#[test]
fn device_keeps_its_bytes_after_the_end_of_the_disk() {
    let Some(device) = LoopDevice::new() else { return };
    let sizes = [(Some(1 << 20), false), (Some((1 << 20) + 100), true), (None, false), (None, true)];
    for (ends_last, (size, direct)) in
        [false, true].into_iter().flat_map(|last| sizes.map(|size| (last, size)))
    {
        device.open().write_all_at(&vec![0xEE; usize::try_from(SIZE).unwrap()], 0).unwrap();
        let end = size.unwrap_or(1 << 20);
        let options = SinkOptions { size, direct, ends_last, ..SinkOptions::default() };
        let sink = FileSink::new(device.open(), options).unwrap();
        sink.write_at(5000, &[7; 10_000]).unwrap();
        sink.zero(end - 1..end).unwrap();
        let past = sink.write_at(size.unwrap_or(SIZE), &[1]).unwrap_err();
        assert_eq!(past.kind(), ErrorKind::OutOfBounds);
        Box::new(sink).finish().unwrap();
        let mut expected = vec![0xEE; usize::try_from(SIZE).unwrap()];
        expected[..usize::try_from(end).unwrap()].fill(0);
        expected[5000..15_000].fill(7);
        let mut got = vec![0; expected.len()];
        read(&device.device).read_at(0, &mut got).unwrap();
        assert_eq!(got.iter().zip(&expected).position(|(a, b)| a != b), None, "{size:?} {direct}");
    }
}

#[test]
fn device_smaller_than_the_disk_is_refused() {
    let Some(device) = LoopDevice::new() else { return };
    let options = SinkOptions { size: Some(SIZE + 1), ..SinkOptions::default() };
    assert_eq!(FileSink::new(device.open(), options).unwrap_err().kind(), ErrorKind::OutOfBounds);
}

#[test]
fn unfinished_device_has_zeros_at_both_ends() {
    let Some(device) = LoopDevice::new() else { return };
    let (whole, head) = (usize::try_from(SIZE).unwrap(), 1 << 20);
    for (size, direct) in [(Some(SIZE), false), (Some(2 << 20), true), (None, false)] {
        device.open().write_all_at(&vec![0xEE; whole], 0).unwrap();
        let options = SinkOptions { size, direct, ends_last: true, ..SinkOptions::default() };
        let sink = FileSink::new(device.open(), options).unwrap();
        sink.write_at(0, &painted(3, 2 << 20)).unwrap();
        let mut left = vec![1; whole];
        read(&device.device).read_at(0, &mut left).unwrap();
        assert!(left[..head] == vec![0; head], "{size:?} {direct}");
        assert!(left[whole - (64 << 10)..] == vec![0; 64 << 10], "{size:?} {direct}");
        assert!(left[head..2 << 20] == painted(3, 2 << 20)[head..], "{size:?} {direct}");
        Box::new(sink).finish().unwrap();
        read(&device.device).read_at(0, &mut left).unwrap();
        assert!(left[..2 << 20] == painted(3, 2 << 20), "{size:?} {direct}");
        let rest = if size == Some(SIZE) { 0 } else { 0xEE };
        assert!(left[2 << 20..].iter().all(|byte| *byte == rest), "{size:?} {direct}");
    }
}

#[test]
fn device_that_writes_the_ends_last_passes_the_suite() {
    let Some(device) = LoopDevice::new() else { return };
    let zeros = [StoredZeros::Deallocated, StoredZeros::Allocated, StoredZeros::Written];
    for (zeros, direct) in zeros.into_iter().flat_map(|zeros| [(zeros, false), (zeros, true)]) {
        let options =
            SinkOptions { size: Some(SIZE), zeros, direct, ends_last: true, ..SinkOptions::default() };
        device.passes_with_old_bytes(options);
    }
}
