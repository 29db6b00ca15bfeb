//! `diskimg compare`: compares the content of two disks and, in strict mode, how it is stored.

use std::io::Write;
use std::path::Path;

use diskimg::{
    CompareOptions, Comparison, Difference, Disk, Error, ErrorKind, ExtentKind, Inspection, Opener, Progress,
    Status, compare,
};
use serde_json::{Value, json};

use super::common::{CommonArgs, disk, opener, warn};
use crate::args::{CompareArgs, FollowArgs, OpenArgs, Output};
use crate::failure::{Failure, Outcome};
use crate::output::{is_dash, print_json, stdout};
use crate::progress::{ProgressDisplay, ProgressMode, ProgressOutputs};
use crate::signals::Interrupt;

/// Exit codes of `qemu-img compare`.
const DIFFERENT: u8 = 1;
const CANNOT_OPEN: u8 = 2;
const CANNOT_READ: u8 = 4;

pub(super) fn run(args: &CompareArgs, common: CommonArgs) -> Outcome {
    // No failure may have the exit code for different content.
    compared(args, common).map_err(|failure| failure.at_least(CANNOT_OPEN))
}

fn compared(args: &CompareArgs, common: CommonArgs) -> Outcome {
    let interrupt = Interrupt::listen();
    if is_dash(&args.first) && is_dash(&args.second) {
        let error = Error::new(ErrorKind::InvalidInput).field("second image");
        return Err(error.because("both images are standard input, which can be read only once").into());
    }
    let open = |file: &Path, open: &OpenArgs, follow: &FollowArgs| -> Result<Disk, Failure> {
        let mut opener = opener(open, Some((follow, file)))?;
        // For the questions below.
        opener.heads_only = true;
        // Only one of the two images may need the parents.
        let is_given = !opener.parents.is_empty() || !opener.parent_formats.is_empty();
        if is_given && !is_based(&opener, file) {
            opener.parents.clear();
            opener.parent_formats.clear();
        }
        // Only one of the two images may be an archive.
        if opener.member.is_some() && is_no_archive(&opener, file) {
            opener.member = None;
        }
        opener.strict = args.strict;
        let disk = disk(&opener, file, &interrupt)?;
        warn(&disk.findings(), Some(file), common);
        Ok(disk)
    };
    let second = OpenArgs { format: args.second_format.clone(), ..args.read.open.clone() };
    let first_follow = &args.read.follow;
    let mut second_follow = first_follow.clone();
    if !args.second_parent.is_empty() {
        second_follow.parent.clone_from(&args.second_parent);
    }
    let a = open(&args.first, &args.read.open, first_follow)?;
    let b = open(&args.second, &second, &second_follow)?;
    if args.read.open.member.is_some() && a.archive().or(b.archive()).is_none() {
        let error = Error::new(ErrorKind::InvalidInput).field("member");
        return Err(error.because("neither image is in an archive").into());
    }
    let is_given = !second_follow.parent.is_empty() || !second_follow.parent_format.is_empty();
    if is_given && a.layers().len().max(b.layers().len()) == 1 {
        let error = Error::new(ErrorKind::InvalidInput).field("parent");
        return Err(error.because("neither image records a backing file or parent").into());
    }
    let style = match args.show_progress {
        _ if common.quiet => ProgressMode::None,
        true => ProgressMode::Plain,
        false => ProgressMode::Auto,
    };
    let total = diskimg::BlockSource::size(&a).max(diskimg::BlockSource::size(&b));
    let outputs = ProgressOutputs { fd: None, stdout_is_data: common.output == Output::Json };
    let shown = ProgressDisplay::new(style, &interrupt, &outputs)?;
    shown.begin(Some(total));
    let mut options = CompareOptions::default();
    options.strict = args.strict;
    let compared = compare(&a, &b, &options, &shown);
    shown.finish(compared.is_ok());
    if let Some(code) = interrupt.exit_code() {
        return Ok(code);
    }
    let compared = compared.map_err(|error| Failure::from(error).code(CANNOT_READ))?;
    if common.output == Output::Json {
        print_json(&as_json(&compared))?;
    } else if !common.quiet {
        let mut out = stdout();
        match compared.difference {
            Some(Difference::Size) => writeln!(out, "Strict mode: Image size mismatch!")?,
            Some(Difference::Status { offset, .. }) => {
                writeln!(out, "Strict mode: Offset {offset} block status mismatch!")?;
            }
            Some(Difference::Content { offset }) => writeln!(out, "Content mismatch at offset {offset}!")?,
            None => {
                if !compared.identical() {
                    writeln!(out, "Warning: Image size mismatch!")?;
                }
                writeln!(out, "Images are identical.")?;
            }
        }
        out.flush()?;
    }
    Ok(if compared.same() { 0 } else { DIFFERENT })
}

/// Returns true if a file is no archive, so that no member can be read from it. Standard input is read only once.
fn is_no_archive(opener: &Opener, file: &Path) -> bool {
    let is_about_member =
        |error: &Error| error.kind() == ErrorKind::InvalidInput && error.field_name() == Some("member");
    !is_dash(file) && opener.inspect(file).is_err_and(|error| is_about_member(&error))
}

fn as_json(compared: &Comparison) -> Value {
    let (difference, statuses) = match compared.difference {
        None => (None, None),
        Some(Difference::Size) => (Some("size"), None),
        Some(Difference::Content { .. }) => (Some("content"), None),
        Some(Difference::Status { statuses, .. }) => {
            (Some("status"), Some([status(statuses.0), status(statuses.1)]))
        }
    };
    let mut object = json!({
        "identical": compared.same(),
        "difference": difference,
        "first-difference": compared.first_difference(),
        "virtual-sizes": [compared.sizes.0, compared.sizes.1],
    });
    if let (Some(statuses), Some(object)) = (statuses, object.as_object_mut()) {
        object.insert("statuses".into(), json!(statuses));
    }
    object
}

/// Returns a status with the keys of `map`.
fn status(status: Status) -> Value {
    json!({
        "present": status.kind != ExtentKind::Unallocated,
        "zero": status.kind.reads_as_zeros(),
        "data": !status.kind.reads_as_zeros(),
        "compressed": status.kind == ExtentKind::Encoded,
        "reserved": status.reserved,
    })
}

/// Returns true if an image has a backing file or a parent.
fn is_based(opener: &Opener, file: &Path) -> bool {
    let below =
        |inspection: Inspection| inspection.info.references.iter().any(|reference| reference.role.is_below());
    opener.inspect(file).is_ok_and(below)
}
