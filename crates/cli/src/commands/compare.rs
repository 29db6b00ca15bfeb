//! `diskimg compare`: do two images show a guest the same bytes?

use std::io::Write;
use std::path::Path;

use diskimg::{Disk, ErrorKind, Opener, Reference, ReferenceRole, compare};
use serde_json::json;

use super::{Common, opener};
use crate::args::{CompareArgs, OpenArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::{print_json, stdout};
use crate::progress::{Outputs, Shown, Style};
use crate::signals::Interrupt;

/// Exit codes of `qemu-img compare`.
const DIFFERENT: u8 = 1;
const CANNOT_OPEN: u8 = 2;
const CANNOT_READ: u8 = 4;

pub(super) fn run(args: &CompareArgs, common: Common) -> Outcome {
    // A failure of any kind must not read as "different".
    compared(args, common).map_err(|failure| failure.at_least(CANNOT_OPEN))
}

fn compared(args: &CompareArgs, common: Common) -> Outcome {
    let open = |file: &Path, open: &OpenArgs| -> Result<Disk, Failure> {
        let mut opener = opener(open, Some((&args.follow, file)))?;
        // One of the two may be the whole disk that the other is compared with.
        if !is_based(&opener, file) {
            opener.parents.clear();
        }
        opener.open(file).about(file)
    };
    let second = OpenArgs { format: args.second_format.clone(), ..args.open.clone() };
    let a = open(&args.first, &args.open)?;
    let b = open(&args.second, &second)?;
    if !args.follow.parent.is_empty() && a.layers().len().max(b.layers().len()) == 1 {
        let error = diskimg::Error::new(ErrorKind::InvalidInput).field("parent");
        return Err(error.because("neither image records a backing file or parent").into());
    }
    let interrupt = Interrupt::listen()?;
    let style = match args.show_progress {
        _ if common.quiet => Style::None,
        true => Style::Plain,
        false => Style::Auto,
    };
    let total = diskimg::BlockSource::size(&a).max(diskimg::BlockSource::size(&b));
    let outputs = Outputs { fd: None, stdout_is_data: common.output == Output::Json };
    let shown = Shown::new(style, total, interrupt.cancel.clone(), &outputs)?;
    let compared = compare(&a, &b, 0, &shown);
    shown.finish(compared.is_ok());
    if let Some(code) = interrupt.exit_code() {
        return Ok(code);
    }
    let compared = compared.map_err(|error| Failure::from(error).code(CANNOT_READ))?;
    let sizes_differ = compared.sizes.0 != compared.sizes.1;
    let same = compared.same_content() && !(args.strict && sizes_differ);
    if common.output == Output::Json {
        print_json(&json!({
            "identical": same,
            "first-difference": compared.first_difference,
            "virtual-sizes": [compared.sizes.0, compared.sizes.1],
        }))?;
    } else if !common.quiet {
        let mut out = stdout();
        match compared.first_difference {
            Some(offset) => writeln!(out, "Content mismatch at offset {offset}!")?,
            None if args.strict && sizes_differ => writeln!(out, "Strict mode: Image size mismatch!")?,
            None => {
                if sizes_differ {
                    writeln!(out, "Warning: Image size mismatch!")?;
                }
                writeln!(out, "Images are identical.")?;
            }
        }
        out.flush()?;
    }
    Ok(if same { 0 } else { DIFFERENT })
}

/// Whether an image says that what it does not hold is in another one.
fn is_based(opener: &Opener, file: &Path) -> bool {
    let below =
        |reference: &Reference| matches!(reference.role, ReferenceRole::Backing | ReferenceRole::Parent);
    opener.inspect(file).is_ok_and(|inspection| inspection.info.references.iter().any(below))
}
