//! The target of a command.

use std::fs::File;
use std::path::Path;

use diskimg::{Error, ErrorKind, FileSource, Format, Remedy, Result, Target, driver, looks_like_image};

use super::common::CommonArgs;
use super::settings;
use crate::args::{Cache, ConvertArgs};
use crate::output::is_dash;
use crate::stream_source::is_stream;
use crate::visible::visible_path;

/// The unit of the length of a raw file, in bytes.
const SECTOR: u64 = 512;

/// Returns the target that the arguments describe. Checks the target of a stream before it is opened, because
/// a stream can be read only once. The conversion checks the others.
pub(super) fn target(args: &ConvertArgs) -> Result<Target> {
    let format = driver(&args.target_format)?.format;
    let mut target = at(&args.target, format)?;
    target.overwrite = args.force;
    target.in_place = args.no_create;
    let replaces = is_file(&target) && !target.writes_in_place();
    if replaces && !args.force && args.target.symlink_metadata().is_ok_and(|there| there.is_file()) {
        return Err(exists(&args.target));
    }
    target.whole_sectors = true;
    target.compress = args.compress;
    target.level = args.level;
    configure(&mut target, &args.options)?;
    // With -n, an option is refused.
    let size = if args.no_create { None } else { settings::take_size(&mut target.settings, None)? };
    if let Some(size) = size {
        eprintln!(
            "diskimg: note: -o size={size} has no effect: the target has the size of the disk, as with qemu-img"
        );
    }
    target.store_zeros = args.sparse == Some(0);
    target.is_zero = args.target_is_zero;
    target.direct = args.cache.is_direct();
    target.write_through = args.cache.writes_through();
    target.durable = args.cache != Cache::Unsafe;
    if args.target_is_zero && !args.no_create {
        return Err(
            Error::new(ErrorKind::InvalidInput).because("--target-is-zero requires -n, as in qemu-img")
        );
    }
    if is_stream(&args.source) {
        target.check(None)?;
    }
    Ok(target)
}

/// Returns a target of this format: a stream if `path` is one, otherwise a file or block device.
pub(super) fn at(path: &Path, format: Format) -> Result<Target> {
    check_protocol(path)?;
    if is_stdout(path) {
        return Ok(Target::stream(std::io::stdout(), format));
    }
    if takes_bytes_in_order(path) {
        let file = File::options().write(true).open(path);
        return Ok(Target::stream(file.map_err(|error| about(Error::from(error), path))?, format));
    }
    Ok(Target::file(path, format))
}

/// The protocols of `qemu-img` that a user may mean in the name of a target. A file is written only under other names.
const PROTOCOLS: [&str; 16] = [
    "ftp",
    "ftps",
    "host_device",
    "http",
    "https",
    "iscsi",
    "iser",
    "json",
    "nbd",
    "nbds",
    "nfs",
    "nvme",
    "rbd",
    "ssh",
    "vvfat",
    "zeroinit",
];

/// Refuses a name that begins with a protocol, such as `nbd:host:10809`, or `nbd+unix:`.
fn check_protocol(path: &Path) -> Result<()> {
    let Some((protocol, _)) = path.to_str().and_then(|name| name.split_once(':')) else { return Ok(()) };
    if !PROTOCOLS.contains(&protocol.split('+').next().unwrap_or_default()) {
        return Ok(());
    }
    let error = about(Error::new(ErrorKind::Unsupported), path);
    Err(error
        .because(format_args!("the protocol {protocol} is not supported"))
        .with_remedy(Remedy::PrefixCurrentDirectory))
}

/// Applies the options of `-o`.
pub(super) fn configure(target: &mut Target, lists: &[String]) -> Result<()> {
    target.configure(settings::parse(lists)?)
}

/// Returns true if the target is a file or block device, not a stream.
pub(super) fn is_file(target: &Target) -> bool {
    target.path().is_some()
}

/// Returns the error for an existing file that must not be replaced.
pub(super) fn exists(path: &Path) -> Error {
    about(Error::new(ErrorKind::InvalidInput), path).because("the file exists").with_remedy(Remedy::Force)
}

/// Returns true if the target is standard output, by any of its names.
pub(super) fn is_stdout(target: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    is_dash(target) || names.iter().any(|name| target == Path::new(name))
}

/// Prints a note if a new raw file is longer than its disk of `size` bytes, because it has whole sectors.
pub(super) fn note_whole_sectors(target: &Target, size: u64, common: CommonArgs) {
    let is_exact = size % SECTOR == 0 || target.format.name() != "raw" || target.writes_in_place();
    let Some(path) = target.path().filter(|_| !is_exact && !common.quiet) else { return };
    let length = size.next_multiple_of(SECTOR);
    eprintln!(
        "diskimg: note: {} has {length} bytes: the disk of {size} bytes is rounded up to whole sectors",
        visible_path(path)
    );
}

/// The format of the image in a file that a raw disk will overwrite. Devices are not searched: they often hold an old
/// image.
pub(super) fn overwritten_image(target: &Target) -> Option<&'static str> {
    let is_file = |path: &&Path| path.metadata().is_ok_and(|there| there.is_file());
    let path = target.path().filter(is_file)?;
    if target.overwrite || target.format.name() != "raw" || !target.writes_in_place() {
        return None;
    }
    let file = FileSource::open(path).ok()?;
    looks_like_image(&file).ok()?
}

/// Prints a warning about an image that was overwritten.
pub(super) fn warn_of_overwritten(image: Option<&str>, path: &Path, common: CommonArgs) {
    if let Some(image) = image.filter(|_| !common.quiet) {
        let path = visible_path(path);
        eprintln!("diskimg: warning: {path} held an image ({image}), which the raw disk has overwritten");
    }
}

/// Names the target at `path` in an error.
pub(super) fn about(error: Error, path: &Path) -> Error {
    error.file(format!("target '{}'", path.display()))
}

#[cfg(unix)]
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

#[cfg(not(unix))]
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b
}

/// Returns true if `path` is a named pipe, a character device such as `/dev/null`, or an open descriptor by its number.
#[cfg(unix)]
fn takes_bytes_in_order(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = path.metadata().map(|there| there.file_type());
    let is_descriptor = path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd");
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device() || (is_descriptor && kind.is_file()))
}

#[cfg(not(unix))]
fn takes_bytes_in_order(_: &Path) -> bool {
    false
}
