//! `diskimg map`: which parts of a disk hold data, and where they lie.

use std::collections::BTreeMap;
use std::io::Write;

use diskimg::{BlockSource, Disk, Error, ErrorKind, Extent, ExtentKind, Extents};
use serde_json::json;

use super::{Common, opener};
use crate::args::{MapArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::{is_dash, print_json, stdout};

pub(super) fn run(args: &MapArgs, common: Common) -> Outcome {
    if is_dash(&args.file) {
        return Err(Error::new(ErrorKind::NeedsSeek)
            .because("a map needs a file that can be read at random")
            .into());
    }
    let disk = opener(&args.open, Some((&args.follow, &args.file)))?.open(&args.file).about(&args.file)?;
    let start = args.start_offset.min(disk.size());
    let rest = disk.size().saturating_sub(start);
    let end = start.saturating_add(args.max_length.unwrap_or(rest).min(rest));
    let extents = Extents::new(&disk, start..end);
    match (args.totals, common.output) {
        (true, _) => totals(extents, common.output)?,
        (false, Output::Json) => rows_json(extents)?,
        (false, Output::Human) => rows_human(extents, args, &disk)?,
    }
    Ok(0)
}

/// The rows of `qemu-img map --output=json`, one at a time: a disk may have millions.
fn rows_json(extents: Extents<'_>) -> Result<(), Failure> {
    let mut out = stdout();
    let mut lead = "[";
    for extent in extents {
        let extent = extent?;
        write!(out, "{lead}{}", row(&extent))?;
        lead = ",\n";
    }
    if lead == "[" {
        write!(out, "[")?;
    }
    writeln!(out, "]")?;
    out.flush()?;
    Ok(())
}

fn row(extent: &Extent<'_>) -> String {
    let offset = extent.location.host.map_or(String::new(), |host| format!(", \"offset\": {}", host.offset));
    let stored = matches!(extent.kind, ExtentKind::Data | ExtentKind::Encoded);
    format!(
        "{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {stored}, \
         \"compressed\": {}{offset}}}",
        extent.offset,
        extent.len,
        extent.depth,
        extent.kind != ExtentKind::Unallocated,
        !stored,
        extent.kind == ExtentKind::Encoded,
    )
}

/// The four columns of `qemu-img map`; what is not stored verbatim has no place and says so.
fn rows_human(extents: Extents<'_>, args: &MapArgs, disk: &Disk) -> Result<(), Failure> {
    let mut out = stdout();
    writeln!(out, "{:<16}{:<16}{:<16}File", "Offset", "Length", "Mapped to")?;
    for extent in extents {
        let extent = extent?;
        if extent.kind.reads_as_zeros() {
            continue;
        }
        let place = match extent.location.host {
            Some(host) => format!("{:#x}", host.offset),
            None => "encoded".to_owned(),
        };
        let file =
            if extent.depth == 0 { args.file.display().to_string() } else { layer_name(disk, extent.depth) };
        writeln!(
            out,
            "{:<16}{:<16}{place:<16}{file}",
            format!("{:#x}", extent.offset),
            format!("{:#x}", extent.len)
        )?;
    }
    out.flush()?;
    Ok(())
}

/// The name by which the layer above refers to a layer.
fn layer_name(disk: &Disk, depth: u32) -> String {
    let above = usize::try_from(depth).ok().and_then(|depth| disk.layers().get(depth.checked_sub(1)?));
    let backing = above.and_then(|image| crate::json::backing(image.info()));
    backing.map_or(String::new(), |reference| diskimg::Printable::new(&reference.name).to_string())
}

fn totals(extents: Extents<'_>, output: Output) -> Result<(), Failure> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for extent in extents {
        let extent = extent?;
        let sum = sums.entry(name(extent.kind)).or_default();
        *sum = (sum.0.saturating_add(extent.len), sum.1.saturating_add(1));
    }
    if output == Output::Json {
        let value: serde_json::Map<String, serde_json::Value> = sums
            .iter()
            .map(|(kind, (bytes, extents))| ((*kind).to_owned(), json!({"bytes": bytes, "extents": extents})))
            .collect();
        return print_json(&value.into());
    }
    let mut out = stdout();
    for (kind, (bytes, extents)) in sums {
        writeln!(out, "{kind:<12} {bytes:>20} bytes in {extents} extents")?;
    }
    out.flush()?;
    Ok(())
}

const fn name(kind: ExtentKind) -> &'static str {
    match kind {
        ExtentKind::Data => "data",
        ExtentKind::Encoded => "compressed",
        ExtentKind::Zero => "zero",
        ExtentKind::Unallocated => "unallocated",
    }
}
