//! The cases of `tests/errno.tsv`: the table, the conditions and the calls.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg::{
    BlockSource, ConvertOptions, Disk, Error, Memory, Opener, ParentFile, Result, Spool, Target,
    WithinDirectory, driver,
};
use rustix::io::Errno;

/// The size of the image in bytes.
pub(crate) const SIZE: usize = 1 << 20;

/// A row of the table.
pub(crate) struct Case {
    pub(crate) call: String,
    pub(crate) condition: String,
    errno: Errno,
    fault: String,
}

impl Case {
    /// The rows with one of these conditions.
    pub(crate) fn with(conditions: &[&str]) -> Vec<Self> {
        let table = fs::read_to_string(table()).unwrap();
        let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
        let rows = rows.map(|row| <[&str; 4]>::try_from(row.split('\t').collect::<Vec<_>>()).unwrap());
        let rows = rows.filter(|[_, condition, ..]| conditions.contains(condition));
        let cases: Vec<Self> = rows
            .map(|[call, condition, errno, fault]| Self {
                call: call.to_owned(),
                condition: condition.to_owned(),
                errno: number(errno),
                fault: fault.to_owned(),
            })
            .collect();
        assert!(!cases.is_empty());
        cases
    }

    /// Returns what differs from the table if the call gave this result.
    pub(crate) fn difference(&self, result: Result<()>) -> Option<String> {
        let error = match result {
            Ok(()) => return Some(format!("{} {}: no error", self.call, self.condition)),
            Err(error) => error,
        };
        let found = (error.os_error(), error.fault().name());
        let expected = (Some(self.errno.raw_os_error()), self.fault.as_str());
        (found != expected)
            .then(|| format!("{} {}: {found:?}, expected {expected:?}: {error}", self.call, self.condition))
    }
}

fn table() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/errno.tsv")
}

fn number(name: &str) -> Errno {
    match name {
        "EACCES" => Errno::ACCESS,
        "EBADF" => Errno::BADF,
        "EEXIST" => Errno::EXIST,
        "EFBIG" => Errno::FBIG,
        "EISDIR" => Errno::ISDIR,
        "ELOOP" => Errno::LOOP,
        "EMFILE" => Errno::MFILE,
        "ENAMETOOLONG" => Errno::NAMETOOLONG,
        "ENOENT" => Errno::NOENT,
        "ENOSPC" => Errno::NOSPC,
        "ENOTDIR" => Errno::NOTDIR,
        "EROFS" => Errno::ROFS,
        other => panic!("{other}"),
    }
}

/// True if the call reads the path, false if it creates or opens a file there to write it.
fn reads(call: &str) -> bool {
    ["open", "inspect", "check", "parent"].contains(&call)
}

/// True if the path is that of a directory.
fn takes_directory(call: &str) -> bool {
    ["search", "spool"].contains(&call)
}

/// Prepares a condition in `dir` and returns the path for the call.
pub(crate) fn prepare(dir: &Path, call: &str, condition: &str) -> PathBuf {
    let file = dir.join("file");
    fs::write(&file, if call == "descriptor" { Vec::new() } else { image() }).unwrap();
    match condition {
        "absent" if reads(call) || takes_directory(call) || call == "in-place" => dir.join("absent"),
        "absent" => dir.join("absent/disk"),
        "under-file" => file.join("disk"),
        "directory" => dir.to_owned(),
        "file" | "for-reading" => file,
        "loop" => {
            let _ = symlink("two", dir.join("one"));
            let _ = symlink("one", dir.join("two"));
            dir.join("one/disk")
        }
        "long" => dir.join("x".repeat(300)),
        _ if reads(call) || call == "in-place" || call == "descriptor" => file,
        _ if takes_directory(call) => {
            fs::create_dir(dir.join("inner")).unwrap();
            dir.join("inner")
        }
        _ => dir.join("disk"),
    }
}

/// The bytes of the image.
pub(crate) fn image() -> Vec<u8> {
    (1..=251_u8).cycle().take(SIZE).collect()
}

fn opener() -> Opener {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    opener
}

fn opened() -> Disk {
    opener().open_source(Arc::new(Memory::new(image()))).unwrap()
}

/// Makes the call with this path.
pub(crate) fn call(name: &str, path: &Path) -> Result<()> {
    let raw = driver("raw")?.format;
    let mut target = Target::file(path, raw);
    let to = |target: &Target| opened().convert_to(target, &ConvertOptions::default(), &()).map(drop);
    match name {
        "open" => opener().open(path).map(drop),
        "inspect" => opener().inspect(path).map(drop),
        "check" => opener().check(path).map(drop),
        "parent" => ParentFile::open(path).map(drop),
        "search" => WithinDirectory::new(path).map(drop),
        "convert" => to(&target),
        "replace" => {
            target.overwrite = true;
            to(&target)
        }
        "in-place" => {
            target.in_place = true;
            to(&target)
        }
        "create" => {
            let sink = target.create(Some(SIZE as u64))?;
            sink.write_at(0, &image())?;
            sink.finish()
        }
        "stream" => {
            let stream = opener().stream(Cursor::new(image()))?;
            stream.convert_to(&target, &ConvertOptions::default(), &()).map(drop)
        }
        "spool" => {
            let mut opener = opener();
            opener.spool = Spool::Temporary { directory: Some(path.to_owned()), limit: u64::MAX };
            let disk = opener.open_source(Arc::new(Memory::new(compressed())))?;
            assert_eq!(disk.size(), SIZE as u64);
            Ok(())
        }
        "descriptor" => to(&Target::open_file(File::open(path).map_err(Error::from)?, raw)),
        other => panic!("{other}"),
    }
}

/// Makes the call `descriptor` with a file that is open for reading and writing.
pub(crate) fn call_descriptor(path: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let target = Target::open_file(file, driver("raw")?.format);
    opened().convert_to(&target, &ConvertOptions::default(), &()).map(drop)
}

fn compressed() -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&image()).unwrap();
    gzip.finish().unwrap()
}
