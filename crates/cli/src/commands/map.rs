//! `diskimg map`: shows which ranges of a disk contain data, and where it is stored.

use std::collections::BTreeMap;
use std::io::Write;

use diskimg::core::range;
use diskimg::json::full_name;
use diskimg::{BlockSource, Disk, ExtentKind, Extents, Image, Locking, Reference, ReferenceRole};
use serde_json::json;

use super::common::{CommonArgs, disk, opener, warn_in_use, warn_of_part};
use super::rows::{MapRow, MapRows};
use crate::args::{MapArgs, Output};
use crate::failure::{Failure, Outcome};
use crate::output::{print_json, shown, stdout};
use crate::signals::Interrupt;

pub(super) fn run(args: &MapArgs, common: CommonArgs) -> Outcome {
    let mut opener = opener(&args.read.open, Some((&args.read.follow, &args.file)))?;
    opener.allow_part = true;
    if opener.locking == Locking::Refuse {
        opener.locking = Locking::Report;
    }
    let disk = disk(&opener, &args.file, &Interrupt::listen())?;
    warn_in_use(disk.in_use(), common);
    warn_of_part(disk.info(), common);
    let start = args.start_offset.min(disk.size());
    let rest = range::len(&(start..disk.size()));
    let end = start.saturating_add(args.max_length.unwrap_or(rest).min(rest));
    let extents = Extents::new(&disk, start..end);
    match (args.totals, common.output) {
        (true, _) => totals(extents, common.output)?,
        (false, Output::Json) => rows_json(extents, &disk)?,
        (false, Output::Human) => rows_human(extents, args, &disk)?,
    }
    Ok(0)
}

/// Prints the rows of `qemu-img map --output=json` one by one, because a disk may have millions.
fn rows_json(extents: Extents<'_>, disk: &Disk) -> Result<(), Failure> {
    let mut out = stdout();
    let mut rows = MapRows::new(disk);
    let mut lead = "[";
    for extent in extents {
        rows.each(&extent?, |row| {
            write!(out, "{lead}{}", json_row(&row))?;
            lead = ",\n";
            Ok(())
        })?;
    }
    if lead == "[" {
        write!(out, "[")?;
    }
    writeln!(out, "]")?;
    out.flush()?;
    Ok(())
}

fn json_row(row: &MapRow) -> String {
    let offset = row.offset.map_or(String::new(), |offset| format!(", \"offset\": {offset}"));
    format!(
        "{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {}, \
         \"compressed\": {}{offset}}}",
        row.start, row.length, row.depth, row.present, row.zero, row.data, row.compressed,
    )
}

/// Prints the four columns of `qemu-img map`, for data only. Data that is not stored verbatim has no offset
/// and is shown as "encoded".
fn rows_human(extents: Extents<'_>, args: &MapArgs, disk: &Disk) -> Result<(), Failure> {
    let mut out = stdout();
    let names = file_names(args, disk);
    let mut rows = MapRows::new(disk);
    writeln!(out, "{:<16}{:<16}{:<16}File", "Offset", "Length", "Mapped to")?;
    for extent in extents {
        rows.each(&extent?, |row| {
            if row.data && !row.zero {
                let place = row.offset.map_or("encoded".to_owned(), hex);
                let file = usize::try_from(row.depth).ok().and_then(|depth| names.get(depth));
                let file = file.map_or("", String::as_str);
                writeln!(out, "{:<16}{:<16}{place:<16}{file}", hex(row.start), hex(row.length))?;
            }
            Ok(())
        })?;
    }
    out.flush()?;
    Ok(())
}

/// Formats a number like `%#x` in C: zero has no prefix.
fn hex(number: u64) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

/// Returns the name of the file with the data of each layer, from top to bottom, relative to the directory
/// that the name of the image is relative to.
fn file_names(args: &MapArgs, disk: &Disk) -> Vec<String> {
    let mut image = args.file.display().to_string();
    let mut names = Vec::new();
    for layer in disk.layers() {
        let named = |role| layer.info().references.iter().find(|reference| reference.role == role);
        let seen = |reference: &Reference| full_name(&image, &reference.name_lossy());
        let file = named(ReferenceRole::DataFile).map(seen);
        let below = disk.layer_name(names.len().saturating_add(1)).map(str::to_owned);
        names.push(match file {
            Some(file) => shown(&file),
            None if names.is_empty() => image.clone(),
            None => shown(&image),
        });
        image = below.unwrap_or_default();
    }
    names
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
