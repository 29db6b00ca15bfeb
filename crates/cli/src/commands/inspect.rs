//! `diskimg inspect`: lists the findings about an untrusted image.

use std::io::Write;

use diskimg::Severity;
use diskimg::json::{self, severity};
use serde_json::json;

use super::common::{CommonArgs, inspect_whole, opener};
use crate::args::{DescribeArgs, Output};
use crate::failure::Outcome;
use crate::output::{print_json, shown, stdout};
use crate::progress::{ProgressDisplay, ProgressMode, ProgressOutputs};
use crate::signals::Interrupt;
use crate::visible::visible;

/// The exit code for findings of severity warning or higher.
const FINDINGS: u8 = 2;

pub(super) fn run(args: &DescribeArgs, common: CommonArgs) -> Outcome {
    let interrupt = Interrupt::listen();
    let mode = if common.quiet { ProgressMode::None } else { ProgressMode::Auto };
    let display =
        ProgressDisplay::new(mode, &interrupt, &ProgressOutputs { fd: None, stdout_is_data: true })?;
    let inspected = inspect_whole(&opener(&args.open, None)?, &args.file, common, (&interrupt, &display));
    display.finish(inspected.is_ok());
    if let Some(code) = interrupt.exit_code().filter(|_| inspected.is_err()) {
        return Ok(code);
    }
    let inspection = inspected?;
    let findings = &inspection.info.findings;
    let safe = findings.iter().all(|finding| finding.severity < Severity::Warning);
    match common.output {
        Output::Json => print_json(&json!({
            "filename": args.file.to_string_lossy(),
            "format": inspection.info.format.name(),
            "virtual-size": inspection.info.virtual_size,
            "archive": inspection.archive.as_ref().map(|archive| archive.archive.name()),
            "member": inspection.archive.as_ref().map(|archive| &archive.name),
            "safe": safe,
            "findings": findings.iter().map(json::finding).collect::<Vec<_>>(),
        }))?,
        Output::Human => {
            let mut out = stdout();
            for finding in findings {
                let place = finding.offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
                writeln!(
                    out,
                    "{} {}{place}: {}",
                    severity(finding.severity),
                    finding.check,
                    visible(&finding.message)
                )?;
            }
            if safe && !common.quiet {
                let member = inspection.archive.as_ref();
                let member =
                    member.map_or(String::new(), |member| format!(", member {}", shown(&member.name)));
                writeln!(
                    out,
                    "safe: {}, {} bytes{member}",
                    inspection.info.format, inspection.info.virtual_size
                )?;
            }
            out.flush()?;
        }
    }
    Ok(if safe { 0 } else { FINDINGS })
}
