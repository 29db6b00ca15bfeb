//! `diskimg map`: shows which ranges of a disk contain data, and where it is stored.

use std::collections::BTreeMap;
use std::io::Write;

use diskimg::core::{Detail, ImageInfo, range};
use diskimg::json::full_name;
use diskimg::{BlockSource, Disk, Error, Extent, ExtentKind, Extents, Image, Locking, ReferenceRole};
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
    let interrupt = Interrupt::listen();
    let disk = disk(&opener, &args.file, &interrupt)?;
    warn_in_use(disk.in_use(), common);
    warn_of_part(disk.info(), common);
    let start = args.start_offset.min(disk.size());
    let rest = range::len(&(start..disk.size()));
    let end = start.saturating_add(args.max_length.unwrap_or(rest).min(rest));
    interrupt.counts.begin(range::len(&(start..end)));
    let extents = Extents::new(&disk, start..end).map_while(|extent| {
        interrupt.poll();
        interrupt.counts.advance(extent.as_ref().map_or(0, |extent| extent.len));
        (!interrupt.cancel.is_triggered()).then_some(extent)
    });
    match (args.totals, common.output) {
        (true, _) => totals(extents, common.output)?,
        (false, Output::Json) => rows_json(extents, &disk)?,
        (false, Output::Human) => rows_human(extents, args, &disk)?,
    }
    Ok(interrupt.exit_code().unwrap_or(0))
}

/// Prints the rows of `qemu-img map --output=json` one by one, because a disk may have millions.
fn rows_json<'a>(
    extents: impl Iterator<Item = Result<Extent<'a>, Error>>,
    disk: &Disk,
) -> Result<(), Failure> {
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
fn rows_human<'a>(
    extents: impl Iterator<Item = Result<Extent<'a>, Error>>,
    args: &MapArgs,
    disk: &Disk,
) -> Result<(), Failure> {
    let mut out = stdout();
    let names = file_names(args, disk);
    let mut rows = MapRows::new(disk);
    writeln!(out, "{:<16}{:<16}{:<16}File", "Offset", "Length", "Mapped to")?;
    for extent in extents {
        rows.each(&extent?, |row| {
            if row.data && !row.zero {
                let place = row.offset.map_or("encoded".to_owned(), hex);
                let file = usize::try_from(row.depth).ok().and_then(|depth| names.get(depth));
                let file = file.map_or("", |file| file.name_at(row.start));
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

/// The names of the files with the data of one layer.
struct LayerNames {
    /// The name of the layer's own file, or of its data file.
    own: String,
    /// The end of each extent in the disk, and the name of its file.
    extents: Vec<(u64, String)>,
}

impl LayerNames {
    /// The name of the file with the data at an offset of the disk.
    fn name_at(&self, offset: u64) -> &str {
        let index = self.extents.partition_point(|(end, _)| *end <= offset);
        self.extents.get(index).map_or(&self.own, |(_, name)| name)
    }
}

/// Returns the names of the files with the data of each layer, from top to bottom, relative to the directory that
/// the name of the image is relative to.
fn file_names(args: &MapArgs, disk: &Disk) -> Vec<LayerNames> {
    let mut image = args.file.display().to_string();
    let mut names: Vec<LayerNames> = Vec::new();
    for layer in disk.layers() {
        let data_file =
            layer.info().references.iter().find(|reference| reference.role == ReferenceRole::DataFile);
        let own = match data_file {
            Some(file) => shown(&full_name(&image, &file.name_lossy())),
            None => shown(&image),
        };
        let extents = extent_ends(layer.info()).map(|(end, name)| (end, shown(&full_name(&image, &name))));
        names.push(LayerNames { own, extents: extents.collect() });
        image = disk.layer_name(names.len()).map(str::to_owned).unwrap_or_default();
    }
    names
}

/// Returns the end of each extent in the disk and its file name, if the extents are other files.
fn extent_ends(info: &ImageInfo) -> impl Iterator<Item = (u64, String)> + '_ {
    let others = info.references.iter().any(|reference| reference.role == ReferenceRole::Extent);
    let list = info.details.iter().find_map(|(_, detail)| match detail {
        Detail::List(list) if others => Some(list.as_slice()),
        _ => None,
    });
    let mut end = 0_u64;
    list.unwrap_or_default().iter().filter_map(move |extent| {
        let Detail::Table(rows) = extent else { return None };
        let size = rows.iter().find_map(|(_, value)| match value {
            Detail::Number(number) => Some(*number),
            _ => None,
        });
        let name = rows.iter().find_map(|(_, value)| match value {
            Detail::File(name) => Some(name.clone()),
            _ => None,
        });
        end = end.saturating_add(size?);
        Some((end, name?))
    })
}

fn totals<'a>(
    extents: impl Iterator<Item = Result<Extent<'a>, Error>>,
    output: Output,
) -> Result<(), Failure> {
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
