//! `diskimg probe`: prints the format, compression and virtual size of a file or stream on one line.

use std::io::Write;

use diskimg::{ErrorKind, Wrapper, json};

use super::common::{CommonArgs, inspect_path, opener, warn_of_part};
use crate::args::{DescribeArgs, Output};
use crate::failure::Outcome;
use crate::output::{print_json, shown, stdout};

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
            let plus = |name: Option<&'static str>| name.map_or(String::new(), |name| format!("+{name}"));
            let archive = inspection.archive.as_ref();
            let inner = plus(archive.and_then(|archive| archive.wrapper).map(Wrapper::name));
            let tar = plus(archive.map(|archive| archive.archive.name()));
            let outer = plus(inspection.wrapper.map(Wrapper::name));
            let disc = if info.is_optical_disc { " cdrom" } else { "" };
            let part = if info.is_part { " part" } else { "" };
            let member = archive.map_or(String::new(), |archive| format!(" member {}", shown(&archive.name)));
            warn_of_part(info, common);
            let mut out = stdout();
            writeln!(out, "{}{inner}{tar}{outer} {}{disc}{part}{member}", info.format, info.virtual_size)?;
            out.flush()?;
        }
    }
    Ok(0)
}
