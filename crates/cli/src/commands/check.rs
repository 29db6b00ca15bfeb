//! `diskimg check`: checks the structure of an image.

use std::io::Write;

use diskimg::core::{CheckReport, ProblemKind};
use diskimg::{Checked, Printable, json};
use serde_json::{Map, Value, json};

use super::common::{CommonArgs, opener, shown, stream, warn};
use crate::args::{CheckArgs, Output};
use crate::failure::{About, Outcome};
use crate::output::{print_json, stdout};
use crate::progress::{ProgressDisplay, ProgressMode, ProgressOutputs};
use crate::signals::Interrupt;
use crate::stream_source::is_stream;

/// Exit codes of `qemu-img check`.
const CORRUPT: u8 = 2;
const LEAKS: u8 = 3;
const NOT_SUPPORTED: u8 = 63;

pub(super) fn run(args: &CheckArgs, common: CommonArgs) -> Outcome {
    let mut opener = opener(&args.read.open, Some((&args.read.follow, &args.file)))?;
    opener.strict = args.strict.strict;
    let interrupt = Interrupt::listen();
    let mode = if common.quiet { ProgressMode::None } else { ProgressMode::Auto };
    let outputs = ProgressOutputs { fd: None, stdout_is_data: true };
    let display = ProgressDisplay::new(mode, &interrupt, &outputs)?;
    let checked = match is_stream(&args.file) {
        true => stream(&opener, &args.file, &interrupt.cancel)?.check(&display),
        false => opener.check_with(&args.file, &display),
    };
    display.finish(checked.is_ok());
    if let Some(code) = interrupt.exit_code().filter(|_| checked.is_err()) {
        return Ok(code);
    }
    let has_none = matches!(&checked, Err(error) if error.field_name() == Some("check"));
    let code = if has_none { NOT_SUPPORTED } else { 1 };
    let checked = checked.about(shown(&args.file)).map_err(|failure| failure.code(code))?;
    warn(&checked.findings, None, common);
    match common.output {
        Output::Json => print_json(&as_json(&checked, &args.file.to_string_lossy()))?,
        Output::Human => human(&checked.report, common)?,
    }
    Ok(match checked.report {
        CheckReport { corruptions: 1.., .. } => CORRUPT,
        CheckReport { leaks: 1.., .. } => LEAKS,
        CheckReport { .. } => 0,
    })
}

/// Returns the keys of `qemu-img check`, which omits those that are 0, and the problems under our own key.
fn as_json(checked: &Checked, file: &str) -> Value {
    let report = &checked.report;
    let mut object = Map::new();
    object.insert("filename".into(), file.into());
    object.insert("format".into(), checked.format.name().into());
    object.insert("check-errors".into(), 0.into());
    let numbers = [
        ("image-end-offset", report.image_end.unwrap_or(0)),
        ("total-clusters", report.total_units.unwrap_or(0)),
        ("allocated-clusters", report.allocated_units.unwrap_or(0)),
        ("fragmented-clusters", report.fragmented_units),
        ("compressed-clusters", report.compressed_units),
        ("corruptions", report.corruptions),
        ("leaks", report.leaks),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        object.insert(name.into(), number.into());
    }
    let problems: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| json!({"kind": kind(problem.kind), "message": problem.message, "offset": problem.offset}))
        .collect();
    let findings: Vec<Value> = checked.findings.iter().map(json::finding).collect();
    object.insert("diskimg".into(), json!({ "problems": problems, "findings": findings }));
    Value::Object(object)
}

fn kind(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Corruption => "corruption",
        ProblemKind::Leak => "leak",
    }
}

fn human(report: &CheckReport, common: CommonArgs) -> std::io::Result<()> {
    let mut out = stdout();
    for problem in &report.problems {
        let place = problem.offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
        writeln!(out, "{}{place}: {}", kind(problem.kind), Printable::new(problem.message.as_bytes()))?;
    }
    let omitted =
        (report.corruptions.saturating_add(report.leaks)).saturating_sub(report.problems.len() as u64);
    if omitted > 0 && report.problems.len() >= 1000 {
        writeln!(out, "... and more")?;
    }
    if common.quiet {
        return out.flush();
    }
    if report.is_clean() {
        writeln!(out, "No errors were found on the image.")?;
    } else {
        writeln!(out, "{} corruptions, {} leaked units", report.corruptions, report.leaks)?;
    }
    if let (Some(total), Some(allocated)) = (report.total_units, report.allocated_units) {
        let percent = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 * 100.0 / of as f64 };
        writeln!(
            out,
            "{allocated}/{total} = {:.2}% allocated, {:.2}% fragmented, {:.2}% compressed clusters",
            percent(allocated, total),
            percent(report.fragmented_units, allocated),
            percent(report.compressed_units, allocated),
        )?;
    }
    if let Some(end) = report.image_end {
        writeln!(out, "Image end offset: {end}")?;
    }
    out.flush()
}
