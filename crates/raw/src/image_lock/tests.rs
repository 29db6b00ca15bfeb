use std::fs::File;

use super::*;

const USES: [ImageUse; 3] = [ImageUse::Describe, ImageUse::Read, ImageUse::Write];

/// A file that is opened twice.
fn twice() -> io::Result<(tempfile::TempDir, File, File)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("disk");
    std::fs::write(&path, b"")?;
    let (one, other) = (File::open(&path)?, File::open(&path)?);
    Ok((dir, one, other))
}

#[test]
fn only_writers_exclude_others() {
    for held in USES {
        for wanted in USES {
            let (_dir, one, other) = twice().unwrap();
            let _held = ImageLock::take(&one, held, "x").unwrap();
            let is_free = held != ImageUse::Write && wanted != ImageUse::Write;
            assert_eq!(wanted.ask(&other, "x").is_ok(), is_free, "{held:?} {wanted:?}");
            assert_eq!(ImageLock::take(&other, wanted, "x").is_ok(), is_free, "{held:?} {wanted:?}");
        }
    }
}

#[test]
fn refusal_has_the_words_of_qemu() {
    let (_dir, one, other) = twice().unwrap();
    let lock = ImageLock::take(&one, ImageUse::Write, "disk").unwrap();
    let error = ImageLock::take(&other, ImageUse::Read, "a b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failed to get shared \"write\" lock. Is another process using the image [a b]?"
    );
    assert_eq!((error.kind(), error.remedy()), (ErrorKind::InUse, Some(Remedy::ShareImage)));
    let error = ImageLock::take(&other, ImageUse::Write, "disk").unwrap_err();
    assert_eq!(error.to_string(), "Failed to get \"write\" lock. Is another process using the image [disk]?");
    assert_eq!((error.kind(), error.remedy()), (ErrorKind::InUse, None));
    drop(lock);
    ImageLock::take(&other, ImageUse::Write, "disk").unwrap();
}

#[test]
fn lock_ends_with_its_value_and_not_with_the_file() {
    let (_dir, one, other) = twice().unwrap();
    let lock = ImageLock::take(&one, ImageUse::Write, "x").unwrap();
    let duplicate = one.try_clone().unwrap();
    drop(one);
    assert!(ImageUse::Read.ask(&other, "x").is_err());
    drop(lock);
    ImageUse::Read.ask(&other, "x").unwrap();
    drop(duplicate);
}

#[test]
fn refused_lock_leaves_no_lock() {
    let (_dir, one, other) = twice().unwrap();
    let held = ImageLock::take(&one, ImageUse::Read, "x").unwrap();
    ImageLock::take(&other, ImageUse::Write, "x").unwrap_err();
    drop(held);
    ImageLock::take(&one, ImageUse::Read, "x").unwrap();
}

#[test]
fn open_file_does_not_exclude_itself() {
    let (_dir, one, _) = twice().unwrap();
    let _held = ImageLock::take(&one, ImageUse::Write, "x").unwrap();
    ImageUse::Write.ask(&one, "x").unwrap();
}

#[test]
fn file_that_cannot_be_locked_is_free() {
    use std::os::unix::fs::OpenOptionsExt;
    let (dir, one, _) = twice().unwrap();
    let _held = ImageLock::take(&one, ImageUse::Write, "x").unwrap();
    // The system refuses all locks on such a handle.
    let path_only = File::options().read(true).custom_flags(nix::libc::O_PATH).open(dir.path().join("disk"));
    let path_only = path_only.unwrap();
    assert!(platform::lock(&path_only, 100).is_err());
    for usage in USES {
        usage.ask(&path_only, "x").unwrap();
        ImageLock::take(&path_only, usage, "x").unwrap();
    }
}
