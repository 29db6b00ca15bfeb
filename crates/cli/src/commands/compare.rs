//! `diskimg compare`: do two images show a guest the same bytes?

use std::io::Write;
use std::path::Path;

use diskimg::{Disk, compare, driver};
use serde_json::json;

use super::{Common, opener};
use crate::args::{CompareArgs, OpenArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::{print_json, stdout};
use crate::progress::{Shown, Style};
use crate::signals::Interrupt;

/// Exit codes of `qemu-img compare`.
const DIFFERENT: u8 = 1;
const CANNOT_OPEN: u8 = 2;
const CANNOT_READ: u8 = 4;

pub(super) fn run(args: &CompareArgs, common: Common) -> Outcome {
    let open = |file: &Path, open: &OpenArgs| -> Result<Disk, Failure> {
        opener(open, Some((&args.follow, file)))?.open(file).about(file)
    };
    let second = OpenArgs { format: args.second_format.clone(), ..args.open.clone() };
    if let Some(name) = &args.second_format {
        driver(name).map_err(|e| Failure::from(e).code(CANNOT_OPEN))?;
    }
    let a = open(&args.first, &args.open).map_err(|failure| failure.code(CANNOT_OPEN))?;
    let b = open(&args.second, &second).map_err(|failure| failure.code(CANNOT_OPEN))?;
    let interrupt = Interrupt::listen()?;
    let style = if args.show_progress { Style::Plain } else { Style::Auto };
    let total = diskimg::BlockSource::size(&a).max(diskimg::BlockSource::size(&b));
    let shown =
        Shown::new(if common.quiet { Style::None } else { style }, total, interrupt.cancel.clone(), None)?;
    let compared = compare(&a, &b, 0, &shown);
    shown.finish();
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
