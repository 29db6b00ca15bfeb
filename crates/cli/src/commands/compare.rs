//! `diskimg compare`: do two images show a guest the same bytes?

use std::io::Write;
use std::path::Path;

use diskimg::{Disk, compare};
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
        opener(open, Some((&args.follow, file)))?.open(file).about(file)
    };
    let second = OpenArgs { format: args.second_format.clone(), ..args.open.clone() };
    let a = open(&args.first, &args.open)?;
    let b = open(&args.second, &second)?;
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
