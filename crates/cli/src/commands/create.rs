//! `diskimg create`: an empty image, perhaps based on another.

use std::path::{Path, PathBuf};

use diskimg::json::full_name;
use diskimg::{Driver, Error, ErrorKind, FileSource, Limits, Remedy, Result, Setting, Target, driver};

use super::target::{about, at, configure, exists, is_file, is_same_file};
use super::{first_bytes, looks_like};
use crate::args::CreateArgs;
use crate::failure::{About, Failure, Outcome};

/// The settings that name a base, by `qemu-img`'s names.
const BASE: &str = "backing_file";
const BASE_FORMAT: &str = "backing_fmt";

pub(super) fn run(args: &CreateArgs) -> Outcome {
    let driver = driver(&args.format)?;
    let there = args.file.symlink_metadata().is_ok();
    let mut target = at(&args.file, driver.format)?;
    if is_file(&target) && there && !args.force {
        return Err(exists(&args.file).into());
    }
    target.overwrite = args.force;
    configure(&mut target, &args.options)?;
    let below = base_size(args, driver, &mut target)?;
    let size = args.size.or(below).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput).because("the size of the disk is needed where it has no base")
    })?;
    target.create(Some(size)).and_then(diskimg::BlockSink::finish).about(&args.file)?;
    Ok(0)
}

/// The size of the base, if there is one and it may be opened. Its name and format become settings of the target.
fn base_size(args: &CreateArgs, driver: &Driver, target: &mut Target) -> Result<Option<u64>, Failure> {
    for (name, given) in [(BASE, &args.backing), (BASE_FORMAT, &args.backing_format)] {
        if let Some(value) = given {
            target.settings.push(Setting { name: name.to_owned(), value: value.clone() });
        }
    }
    let last = |name: &str| target.settings.iter().rposition(|setting| setting.name == name);
    let (Some(base), format) = (last(BASE), last(BASE_FORMAT)) else { return no_base(args) };
    if driver.settings.iter().all(|setting| setting.name != BASE) {
        let error = Error::new(ErrorKind::Unsupported).format(driver.format);
        return Err(error.because("cannot be written as based on another image").into());
    }
    let Some(format) = format.and_then(|at| target.settings.get_mut(at)) else {
        return Err(Error::new(ErrorKind::InvalidInput)
            .because("a base is named without its format, which nobody may guess later")
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

fn no_base(args: &CreateArgs) -> Result<Option<u64>, Failure> {
    if args.backing_format.is_some() {
        let error = Error::new(ErrorKind::InvalidInput);
        return Err(error.because("the format of a base is named, and no base").into());
    }
    Ok(None)
}

/// The size of the disk in the file `base`, as named in the image `file`: opened because the command line names it,
/// and taken as it is. Nothing that it names itself is opened.
fn size_of(base: &str, driver: &Driver, file: &Path) -> Result<u64, Failure> {
    let scheme = base.split('/').next().unwrap_or_default();
    if scheme.contains(':') {
        return Err(Error::new(ErrorKind::InvalidInput)
            .field("base")
            .found_name(base.as_bytes())
            .expected("a file: QEMU takes what stands before a colon for a protocol")
            .with_remedy(Remedy::PrefixCurrentDirectory)
            .into());
    }
    let path = PathBuf::from(full_name(&file.to_string_lossy(), base));
    if is_same_file(&path, file) {
        let error = about(Error::new(ErrorKind::InvalidInput), file);
        return Err(error.because("it would be based on itself").into());
    }
    let source = FileSource::open(&path).about(&path)?;
    let info = (driver.inspect)(&source, &Limits::default()).about(&path)?;
    if driver.format.name() == "raw"
        && let Some(image) = looks_like(&first_bytes(&source).about(&path)?)
    {
        eprintln!("diskimg: warning: {} looks like {image}, and a guest will see it as raw", path.display());
    }
    Ok(info.virtual_size)
}
