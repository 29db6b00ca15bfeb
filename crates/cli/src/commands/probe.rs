//! `diskimg probe`: prints the format, compression and virtual size of a file or stream on one line.

use std::io::Write;

use diskimg::{ErrorKind, json};

use super::common::{CommonArgs, inspect_path, opener, warn_of_part};
use crate::args::{DescribeArgs, Output};
use crate::failure::Outcome;
use crate::output::{print_json, stdout};

/// The exit code for an unknown format.
const UNKNOWN: u8 = 2;

pub(super) fn run(args: &DescribeArgs, common: CommonArgs) -> Outcome {
    let opener = opener(&args.open, None)?;
    let inspection = match inspect_path(&opener, &args.file, common) {
        Ok(inspection) => inspection,
        Err(failure) if failure.kind() == ErrorKind::UnknownFormat => return Err(failure.code(UNKNOWN)),
        Err(failure) => return Err(failure),
    };
    let info = &inspection.info;
    match common.output {
        Output::Json => print_json(&json::info(&inspection, &args.file.to_string_lossy()))?,
        Output::Human => {
            let wrapper = inspection.wrapper.map_or(String::new(), |wrapper| format!("+{}", wrapper.name()));
            let disc = if info.is_optical_disc { " cdrom" } else { "" };
            let part = if info.is_part { " part" } else { "" };
            warn_of_part(info, common);
            let mut out = stdout();
            writeln!(out, "{}{wrapper} {}{disc}{part}", info.format, info.virtual_size)?;
            out.flush()?;
        }
    }
    Ok(0)
}
