//! QEMU's locks on the files of disks and targets. Another open file of this process is as good as another process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diskimg::raw::{ImageLock, ImageUse};
use diskimg::{
    BlockSource, ConvertOptions, Disk, ErrorKind, FileSource, Input, Locking, Memory, Opener, ParentFile,
    Progress, Remedy, Setting, Target, WithinDirectory, convert, driver,
};

const SIZE: u64 = 1 << 20;

fn created(path: &Path, format: &str, settings: &str) {
    let mut target = Target::file(path, driver(format).unwrap().format);
    target.settings = Setting::parse_list(settings).unwrap();
    target.create(Some(SIZE)).unwrap().finish().unwrap();
}

fn opener(path: &Path) -> Opener {
    let mut opener = Opener::new();
    opener.resolver = Arc::new(WithinDirectory::of_image(path).unwrap());
    opener
}

/// Takes the lock of a writer, as another process would.
fn write_lock(path: &Path) -> ImageLock {
    ImageLock::take(&File::open(path).unwrap(), ImageUse::Write, path.display()).unwrap()
}

fn is_free(path: &Path, usage: ImageUse) -> bool {
    usage.ask(&File::open(path).unwrap(), path.display()).is_ok()
}

#[test]
fn disk_holds_the_locks_of_a_reader_on_all_its_files_while_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let [base, top, flat] = ["base.qcow2", "top.qcow2", "flat.vmdk"].map(|name| dir.path().join(name));
    created(&base, "qcow2", "");
    created(&top, "qcow2", "backing_file=base.qcow2,backing_fmt=qcow2");
    created(&flat, "vmdk", "subformat=monolithicFlat");
    let extent = dir.path().join("flat-flat.vmdk");
    for (image, files) in [(&top, [&top, &base]), (&flat, [&flat, &extent])] {
        let disk = opener(image).open(image).unwrap();
        let clone = disk.clone();
        drop(disk);
        for file in files {
            assert!(is_free(file, ImageUse::Read) && !is_free(file, ImageUse::Write), "{file:?}");
        }
        drop(clone);
        assert!(files.iter().all(|file| is_free(file, ImageUse::Write)), "{image:?}");
    }
}

#[test]
fn stream_of_a_compressed_file_holds_the_lock_of_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&[7; 1 << 20]).unwrap();
    fs::write(&path, encoder.finish().unwrap()).unwrap();
    let mut opener = Opener::new();
    opener.allow_raw = true;
    let input = opener.input(&path).unwrap();
    assert!(matches!(input, Input::Stream(_)));
    assert!(!is_free(&path, ImageUse::Write));
    let disk = input.into_disk(&()).unwrap();
    assert!(is_free(&path, ImageUse::Write), "the disk is in a temporary file");
    drop(disk);
    let _theirs = write_lock(&path);
    assert_eq!(opener.input(&path).err().unwrap().kind(), ErrorKind::InUse);
}

#[test]
fn image_that_is_written_is_refused_reported_or_read_as_the_caller_decides() {
    let dir = tempfile::tempdir().unwrap();
    let [base, top] = ["base.qcow2", "top.qcow2"].map(|name| dir.path().join(name));
    created(&base, "qcow2", "");
    created(&top, "qcow2", "backing_file=base.qcow2,backing_fmt=qcow2");
    for (locked, name) in [(&top, top.to_str().unwrap()), (&base, "base.qcow2")] {
        let _theirs = write_lock(locked);
        let mut opener = opener(&top);
        let error = opener.open(&top).err().unwrap();
        assert_eq!((error.kind(), error.remedy()), (ErrorKind::InUse, Some(Remedy::ShareImage)), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(opener.check(locked).unwrap_err().kind(), ErrorKind::InUse);
        assert!(opener.inspect(locked).unwrap().in_use.is_some());

        opener.locking = Locking::Report;
        let disk: Disk = opener.open(&top).unwrap();
        assert_eq!(disk.in_use().len(), 1);
        assert!(disk.in_use()[0].contains(name), "{:?}", disk.in_use());
        assert!(opener.inspect(locked).unwrap().in_use.is_some());

        opener.locking = Locking::Off;
        assert!(opener.open(&top).unwrap().in_use().is_empty());
        assert!(opener.inspect(locked).unwrap().in_use.is_none());
        opener.check(locked).unwrap();
    }
}

#[test]
fn parent_that_was_opened_by_its_path_is_locked_and_a_source_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let [base, top] = ["base.qcow2", "top.qcow2"].map(|name| dir.path().join(name));
    created(&base, "qcow2", "");
    created(&top, "qcow2", "backing_file=base.qcow2,backing_fmt=qcow2");
    let _theirs = write_lock(&base);
    let mut opener = Opener::new();
    opener.parents = vec![ParentFile::open(&base).unwrap()];
    assert_eq!(opener.open(&top).err().unwrap().kind(), ErrorKind::InUse);
    opener.parents = vec![ParentFile::new(Arc::new(FileSource::open(&base).unwrap()))];
    opener.open(&top).unwrap();
}

#[test]
fn sources_and_open_files_of_the_caller_are_not_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    created(&path, "qcow2", "");
    let theirs = write_lock(&path);
    let source: Arc<dyn BlockSource> = Arc::new(FileSource::open(&path).unwrap());
    let disk = Opener::new().open_source(Arc::clone(&source)).unwrap();
    Opener::new().check_source(source).unwrap();
    drop(theirs);
    assert!(is_free(&path, ImageUse::Write));
    drop(disk);

    let theirs = write_lock(&path);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut target = Target::open_file(file, driver("qcow2").unwrap().format);
    target.in_place = true;
    let sink = target.create(Some(SIZE)).unwrap();
    drop(theirs);
    assert!(is_free(&path, ImageUse::Write));
    sink.finish().unwrap();
}

/// Sees whether a file is locked during a conversion.
struct Watch<'a>(&'a Path, AtomicBool);

impl Progress for Watch<'_> {
    fn begin(&self, _: Option<u64>) {
        self.1.store(!is_free(self.0, ImageUse::Read), Ordering::Relaxed);
    }
    fn advance(&self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn every_file_written_in_place_is_locked_while_it_is_written() {
    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(vec![7; 1 << 20]));
    let mut reader = Opener::new();
    reader.allow_raw = true;
    for (format, settings, file) in [
        ("raw", "", "disk"),
        ("qcow2", "", "disk"),
        ("vdi", "", "disk"),
        ("vmdk", "", "disk"),
        ("vmdk", "subformat=monolithicFlat", "disk"),
        ("vmdk", "subformat=monolithicFlat", "disk-flat.vmdk"),
        ("vmdk", "subformat=twoGbMaxExtentSparse", "disk-s001.vmdk"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join("disk"), dir.path().join(file));
        created(&path, format, settings);
        let mut target = Target::file(&path, driver(format).unwrap().format);
        target.in_place = true;
        let theirs = write_lock(&file);
        let before = fs::read(&path).unwrap();
        let disk = reader.open_source(Arc::clone(&source)).unwrap();
        let error = disk.convert_to(&target, &ConvertOptions::default(), &()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse, "{format} {settings} {file:?}: {error}");
        assert!(error.to_string().contains("Failed to get \"write\" lock"), "{error}");
        assert!(fs::read(&path).unwrap() == before, "{format} {settings} {file:?}");
        drop(theirs);

        let watch = Watch(&file, AtomicBool::new(false));
        disk.convert_to(&target, &ConvertOptions::default(), &watch).unwrap();
        assert!(watch.1.into_inner(), "{format} {settings} {file:?}");
        assert!(is_free(&file, ImageUse::Write), "{format} {settings} {file:?}");
    }
}

#[test]
fn target_without_locks_is_written_although_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    created(&path, "raw", "");
    let theirs = write_lock(&path);
    for (in_place, overwrite) in [(true, false), (false, true)] {
        let mut target = Target::file(&path, driver("raw").unwrap().format);
        (target.in_place, target.overwrite) = (in_place, overwrite);
        assert_eq!(target.check(Some(SIZE)).unwrap_err().kind(), ErrorKind::InUse);
        assert_eq!(target.create(Some(SIZE)).err().unwrap().kind(), ErrorKind::InUse);
        target.lock = false;
        target.check(Some(SIZE)).unwrap();
        let source = Memory::new(vec![9; 1 << 20]);
        convert(&source, target.create(Some(SIZE)).unwrap(), &ConvertOptions::default(), &()).unwrap();
        assert!(fs::read(&path).unwrap() == vec![9; 1 << 20]);
    }
    drop(theirs);
}
