//! Where `diskimg convert` writes, and as what.

use std::fs::File;
use std::path::Path;

use diskimg::{Error, ErrorKind, Preallocation, Result, Setting, Target, driver};

use crate::args::{Cache, ConvertArgs};
use crate::output::is_dash;

/// The target that the arguments describe. What makes it impossible is told here, before a source is read that
/// may come only once.
pub(super) fn target(args: &ConvertArgs) -> Result<Target> {
    let format = driver(&args.target_format)?.format;
    let mut target = if is_dash(&args.target) {
        Target::stream(std::io::stdout(), format)
    } else if takes_bytes_in_order(&args.target) {
        let file = File::options().write(true).open(&args.target);
        Target::stream(file.map_err(|error| about(Error::from(error), args))?, format)
    } else {
        check_file(args)?;
        Target::file(&args.target, format)
    };
    target.compress = args.compress;
    target.level = args.level;
    for list in &args.options {
        target.settings.extend(Setting::parse_list(list)?);
    }
    if format.name() == "raw" {
        target.preallocation = match take_preallocation(&mut target.settings)? {
            // As qemu-img has it: no holes.
            Preallocation::Off if args.sparse == Some(0) => Preallocation::Falloc,
            asked => asked,
        };
    }
    target.overwrite = args.force;
    target.in_place = args.no_create;
    target.is_zero = args.target_is_zero;
    target.direct = args.cache == Cache::None;
    target.durable = args.cache != Cache::Unsafe;
    if args.target_is_zero && !args.no_create {
        return Err(
            Error::new(ErrorKind::InvalidInput).because("--target-is-zero needs -n, as with qemu-img")
        );
    }
    target.check(None)?;
    Ok(target)
}

/// Whether the target's bytes are standard output, which then has no room for anything else.
pub(super) fn is_stdout(args: &ConvertArgs) -> bool {
    is_dash(&args.target)
}

fn about(error: Error, args: &ConvertArgs) -> Error {
    error.field(format!("target '{}'", args.target.display()))
}

fn check_file(args: &ConvertArgs) -> Result<()> {
    let Ok(there) = args.target.symlink_metadata() else { return Ok(()) };
    if args.no_create || is_device(&args.target) {
        let stdin = Path::new("/dev/stdin");
        let source = if is_dash(&args.source) { stdin } else { &args.source };
        return match is_same_file(source, &args.target) {
            true => Err(about(Error::new(ErrorKind::InvalidInput), args)
                .because("it is the source: written in place it would destroy what is being read")),
            false => Ok(()),
        };
    }
    if there.is_file() && !args.force {
        return Err(about(Error::new(ErrorKind::InvalidInput), args)
            .because("it exists already")
            .hint("allow overwriting, or choose another name"));
    }
    Ok(())
}

#[cfg(unix)]
fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

#[cfg(not(unix))]
fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b
}

/// Whether `path` is a block device, which is always written in place.
#[cfg(unix)]
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|there| there.file_type().is_block_device())
}

#[cfg(not(unix))]
fn is_device(_: &Path) -> bool {
    false
}

/// Whether `path` is a named pipe, or a device such as `/dev/null`.
#[cfg(unix)]
fn takes_bytes_in_order(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|there| there.file_type().is_fifo() || there.file_type().is_char_device())
}

#[cfg(not(unix))]
fn takes_bytes_in_order(_: &Path) -> bool {
    false
}

fn take_preallocation(settings: &mut Vec<Setting>) -> Result<Preallocation> {
    let Some(index) = settings.iter().position(|setting| setting.name == "preallocation") else {
        return Ok(Preallocation::Off);
    };
    let setting = settings.remove(index);
    match setting.value.as_str() {
        "off" => Ok(Preallocation::Off),
        "falloc" => Ok(Preallocation::Falloc),
        "full" => Ok(Preallocation::Full),
        // The words that importers look for in qemu-img's message.
        _ => Err(setting.invalid("off, falloc or full").because("Unsupported preallocation mode")),
    }
}
