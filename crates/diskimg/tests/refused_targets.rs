//! Targets that no conversion can write: sizes that no file has, and descriptors that are not open for writing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, File};
use std::path::Path;

use diskimg::{ErrorKind, Fault, Format, MemorySink, Result, Setting, Target, driver};

fn format(name: &str) -> Format {
    driver(name).unwrap().format
}

#[test]
fn size_that_no_target_can_have_is_refused_with_the_largest() {
    let largest = [
        ("raw", "", "9223372036854775807"),
        ("qcow2", "", "2305843009213693952"),
        ("qcow2", "extended_l2=on", "1152921504606846976"),
        ("vdi", "", "562949819203584"),
        ("vdi", "block_size=64M", "36028788429029376"),
        ("vmdk", "subformat=monolithicSparse", "1125899906842624"),
        ("vmdk", "subformat=streamOptimized", "1125899906842624"),
        ("vmdk", "subformat=monolithicFlat", "9223372036854775296"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, settings, largest) in largest {
        for size in [1 << 63, (1 << 63) + 1, u64::MAX - 511, u64::MAX] {
            let file = || Target::file(dir.path().join("disk.vmdk"), format(name));
            let open = || Target::open_file(tempfile::tempfile().unwrap(), format(name));
            let sink = || Target::sink(Box::new(MemorySink::new(1 << 20)), format(name));
            let places = [file(), open(), sink(), Target::stream(std::io::sink(), format(name))];
            for (place, mut target) in places.into_iter().enumerate() {
                target.settings = Setting::parse_list(settings).unwrap();
                // The other files of a flat image have no place beside a sink; most images have none in a stream.
                let is_flat = settings.ends_with("Flat");
                let is_streamed = name == "raw" || settings.ends_with("Optimized");
                if (is_flat && place > 0) || (place == 3 && !is_streamed) {
                    continue;
                }
                for error in [target.check(Some(size)).err(), target.create(Some(size)).err()] {
                    let error = error.unwrap();
                    let text = error.to_string();
                    assert_eq!(
                        (error.kind(), error.fault()),
                        (ErrorKind::InvalidInput, Fault::Caller),
                        "{text}"
                    );
                    let expected = format!("is {size}, expected at most {largest} bytes");
                    assert!(text.starts_with(name) && text.contains(&expected), "{settings} {place}: {text}");
                }
            }
        }
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn raw_target_of_the_largest_size_is_refused_by_the_file_system_alone() {
    let dir = tempfile::tempdir().unwrap();
    for rounds_up in [false, true] {
        let mut target = Target::file(dir.path().join("disk"), format("raw"));
        target.whole_sectors = rounds_up;
        // Some file systems have files of this length.
        if let Err(error) = target.create(Some(i64::MAX.unsigned_abs())).map(drop) {
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(27)), "{error}");
        }
    }
}

/// Converts nothing into an open file that has these old bytes, and returns the error.
fn into(file: File, name: &str, in_place: bool) -> Result<()> {
    let mut target = Target::open_file(file, format(name));
    target.in_place = in_place;
    target.create(Some(1 << 20))?.finish()
}

#[test]
#[cfg(unix)]
fn descriptor_that_is_not_open_for_a_target_is_refused_by_name_and_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let (read, write) = (File::options().read(true).clone(), File::options().write(true).clone());
    let append = File::options().read(true).append(true).clone();
    let empty_image = |name: &str| -> Vec<u8> {
        let made = dir.path().join("made");
        Target::file(&made, format(name)).create(Some(1 << 20)).unwrap().finish().unwrap();
        let bytes = fs::read(&made).unwrap();
        fs::remove_file(made).unwrap();
        bytes
    };
    let refused = |options: &fs::OpenOptions, bytes: &[u8], name: &str, in_place: bool, found: &str| {
        fs::write(&path, bytes).unwrap();
        let error = into(options.open(&path).unwrap(), name, in_place).unwrap_err();
        let text = error.to_string();
        assert_eq!((error.kind(), error.fault()), (ErrorKind::InvalidInput, Fault::Caller), "{text}");
        assert!(
            text.contains(&format!("file is {found}, expected a file that ")),
            "{name} {in_place}: {text}"
        );
        let number = if found == "open for appending" { None } else { Some(9) };
        assert_eq!(error.os_error(), number, "{text}");
        assert!(fs::read(&path).unwrap() == bytes, "{name} {in_place} {found}");
    };
    for (name, in_place) in [("raw", false), ("raw", true), ("qcow2", false), ("vdi", true), ("qcow2", true)]
    {
        let bytes = if in_place { empty_image(name) } else { vec![7; 1 << 20] };
        refused(&read, &bytes, name, in_place, "open for reading only");
        refused(&append, &bytes, name, in_place, "open for appending");
        refused(&write, &bytes, name, in_place, "open for writing only");
    }
    // Nothing of an empty file must be read.
    for name in ["raw", "qcow2", "vdi"] {
        fs::write(&path, b"").unwrap();
        into(write.open(&path).unwrap(), name, false).unwrap();
        assert!(diskimg_opens(&path, name), "{name}");
    }
}

fn diskimg_opens(path: &Path, name: &str) -> bool {
    use diskimg::BlockSource;
    let mut opener = diskimg::Opener::new();
    opener.format = Some(format(name));
    opener.open(path).is_ok_and(|disk| disk.size() == 1 << 20)
}

#[test]
#[cfg(unix)]
fn source_that_is_open_for_writing_only_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = diskimg::FileSource::new(File::options().write(true).open(file.path()).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "raw: file is open for writing only, expected a file that is open for reading"
    );
    assert_eq!(error.os_error(), Some(9));
}
