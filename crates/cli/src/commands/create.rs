//! `diskimg create`: creates an empty image, optionally with a backing file.

use std::path::{Path, PathBuf};

use diskimg::json::full_name;
use diskimg::{
    Driver, Error, ErrorKind, FileSource, Limits, Reference, Remedy, Result, Setting, Target, driver,
    looks_like_image,
};

use super::common::CommonArgs;
use super::settings::take_size;
use super::target::{about, at, configure, exists, is_file, is_same_file, note_whole_sectors};
use crate::args::CreateArgs;
use crate::failure::{About, Failure, Outcome};
use crate::signals::Interrupt;
use crate::visible::visible_path;

/// The options that name a backing file, as in `qemu-img`.
const BACKING_FILE: &str = "backing_file";
const BACKING_FORMAT: &str = "backing_fmt";

pub(super) fn run(args: &CreateArgs, common: CommonArgs) -> Outcome {
    let driver = driver(&args.format)?;
    let there = args.file.symlink_metadata().is_ok();
    let mut target = at(&args.file, driver.format)?;
    // An image may be created on a block device that holds none, as `convert` does. A raw disk would erase the device.
    let is_free = target.writes_in_place() && driver.format.name() != "raw";
    if is_file(&target) && there && !args.force && !is_free {
        return Err(exists(&args.file).into());
    }
    target.overwrite = args.force;
    target.whole_sectors = true;
    configure(&mut target, &args.options)?;
    let given = take_size(&mut target.settings, args.size)?;
    let below = backing_size(args, driver, &mut target)?;
    let size = given.or(below).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput)
            .because("the size of the disk is required unless a backing file is opened")
    })?;
    let interrupt = Interrupt::listen();
    interrupt.removes(target.unfinished());
    let created = target.create(Some(size)).and_then(diskimg::BlockSink::finish).about(&args.file);
    let code = interrupt.outcome(created)?;
    if code != 0 {
        return Ok(code);
    }
    note_whole_sectors(&target, size, common);
    Ok(0)
}

/// Returns the size of the backing file, unless there is none or it must not be opened. Its name and format
/// become settings of the target.
fn backing_size(args: &CreateArgs, driver: &Driver, target: &mut Target) -> Result<Option<u64>, Failure> {
    for (name, given) in [(BACKING_FILE, &args.backing), (BACKING_FORMAT, &args.backing_format)] {
        if let Some(value) = given {
            target.settings.push(Setting { name: name.to_owned(), value: value.clone() });
        }
    }
    let last = |name: &str| target.settings.iter().rposition(|setting| setting.name == name);
    let (Some(base), format) = (last(BACKING_FILE), last(BACKING_FORMAT)) else { return no_backing(args) };
    if driver.settings.iter().all(|setting| setting.name != BACKING_FILE) {
        let error = Error::new(ErrorKind::Unsupported).format(driver.format);
        return Err(error.because("an image of this format cannot be created with a backing file").into());
    }
    let Some(format) = format.and_then(|at| target.settings.get_mut(at)) else {
        return Err(Error::new(ErrorKind::InvalidInput)
            .because("the backing file is given without its format, and formats of backing files are never guessed")
            .with_remedy(Remedy::NameBackingFormat)
            .into());
    };
    if args.unchecked {
        return Ok(None);
    }
    let below = diskimg::driver(&format.value)?;
    below.format.name().clone_into(&mut format.value);
    let base = target.settings.get(base).map(|setting| setting.value.clone()).unwrap_or_default();
    size_of(&base, below, &args.file).map(Some)
}

fn no_backing(args: &CreateArgs) -> Result<Option<u64>, Failure> {
    if args.backing_format.is_some() {
        let error = Error::new(ErrorKind::InvalidInput);
        return Err(error.because("the format of a backing file is given, but no backing file").into());
    }
    Ok(None)
}

/// Returns the virtual size of the backing file `name` of the image `file`. The user named it, so it is opened
/// without restrictions, but no file that it refers to.
fn size_of(name: &str, driver: &Driver, file: &Path) -> Result<u64, Failure> {
    let scheme = name.split('/').next().unwrap_or_default();
    if scheme.contains(':') {
        return Err(Error::new(ErrorKind::InvalidInput)
            .field("backing file")
            .found_name(name.as_bytes())
            .expected("a file name: QEMU reads the text before a colon as a protocol")
            .with_remedy(Remedy::PrefixCurrentDirectory)
            .into());
    }
    let path = PathBuf::from(full_name(&file.to_string_lossy(), name));
    if is_same_file(&path, file) {
        let error = about(Error::new(ErrorKind::InvalidInput), file);
        return Err(error.because("the image would be its own backing file").into());
    }
    let source = FileSource::open(&path).about(&path)?;
    let info = (driver.inspect)(&source, &Limits::default()).about(&path)?;
    let names_file = |reference: &Reference| {
        let name = full_name(&path.to_string_lossy(), &reference.name_lossy());
        is_same_file(Path::new(&name), file)
    };
    if info.references.iter().any(names_file) {
        let error = about(Error::new(ErrorKind::InvalidInput), file);
        return Err(error.because("the backing file refers to it").into());
    }
    if driver.format.name() == "raw" {
        if let Some(image) = looks_like_image(&source).about(&path)? {
            let path = visible_path(&path);
            eprintln!("diskimg: warning: {path} looks like {image}, but its format is given as raw");
        }
    }
    Ok(info.virtual_size)
}
