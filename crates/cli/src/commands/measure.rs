//! `diskimg measure`: prints an upper limit of the size of a converted image.

use std::io::Write;
use std::path::Path;

use diskimg::core::{Detail, Measured};
use diskimg::{Disk, Image, Result, Setting, Target, driver};
use serde_json::{Map, Value};

use super::common::{CommonArgs, disk, opener, selector, warn};
use super::target::configure;
use crate::args::{MeasureArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::{print_json, stdout};
use crate::signals::Interrupt;

pub(super) fn run(args: &MeasureArgs, common: CommonArgs) -> Outcome {
    let mut target = Target::file("", driver(&args.target_format)?.format);
    target.compress = args.compress;
    target.whole_sectors = true;
    configure(&mut target, &args.options)?;
    let (measured, bitmaps) = match (&args.file, args.size) {
        (Some(file), _) => {
            let disk = open(args, file)?;
            warn(&disk.findings(), None, common);
            (target.measure_disk(&disk).about(file)?, bitmaps(&disk, &target)?)
        }
        (None, size) => (target.measure_empty(size.unwrap_or(0))?, None),
    };
    match common.output {
        Output::Json => print_json(&as_json(&measured, bitmaps))?,
        Output::Human => human(&measured, bitmaps)?,
    }
    Ok(0)
}

fn open(args: &MeasureArgs, file: &Path) -> Result<Disk, Failure> {
    let mut opener = opener(&args.read.open, Some((&args.read.follow, file)))?;
    opener.strict = args.strict.strict;
    opener.snapshot = args.snapshot.as_deref().map(selector);
    disk(&opener, file, &Interrupt::listen())
}

/// Returns the keys of `qemu-img measure`.
fn as_json(measured: &Measured, bitmaps: Option<u64>) -> Value {
    let mut object = Map::new();
    object.insert("required".into(), measured.required.into());
    object.insert("fully-allocated".into(), measured.fully_allocated.into());
    if let Some(bitmaps) = bitmaps {
        object.insert("bitmaps".into(), bitmaps.into());
    }
    Value::Object(object)
}

fn human(measured: &Measured, bitmaps: Option<u64>) -> std::io::Result<()> {
    let mut out = stdout();
    writeln!(out, "required size: {}", measured.required)?;
    writeln!(out, "fully allocated size: {}", measured.fully_allocated)?;
    if let Some(bitmaps) = bitmaps {
        writeln!(out, "bitmaps size: {bitmaps}")?;
    }
    out.flush()
}

/// Returns the size of the dirty bitmaps of a qcow2 image in a qcow2 target, if both formats support bitmaps.
/// `qemu-img` reports it too, although only `qemu-img convert --bitmaps` copies them.
///
/// Source: QEMU, `docs/interop/qcow2.txt`, "Bitmaps": a table of 8 bytes for each cluster of a bitmap, and 24
/// bytes and the name in the directory.
fn bitmaps(disk: &Disk, target: &Target) -> Result<Option<u64>> {
    let info = disk.info();
    let value = |name: &str| target.settings.iter().rfind(|setting| setting.name == name);
    let old = value("compat").is_some_and(|compat| matches!(compat.value.as_str(), "0.10" | "v2"));
    let listed = info.findings.iter().all(|finding| finding.check != "bitmaps");
    let both = [info.format, target.format].iter().all(|format| format.name() == "qcow2");
    if !both || old || info.version != Some(3) || !listed {
        return Ok(None);
    }
    let cluster = value("cluster_size").map_or(Ok(65_536), Setting::as_size)?.max(1);
    let whole = |bytes: u64| bytes.div_ceil(cluster).saturating_mul(cluster);
    let (mut bytes, mut directory) = (0_u64, 0_u64);
    for (name, granularity) in listed_bitmaps(&info.details) {
        let clusters = info.virtual_size.div_ceil(granularity.max(1)).div_ceil(8).div_ceil(cluster);
        let table = whole(clusters.saturating_mul(8));
        bytes = bytes.saturating_add(clusters.saturating_mul(cluster)).saturating_add(table);
        directory = directory.saturating_add((name.len() as u64).saturating_add(24).next_multiple_of(8));
    }
    Ok(Some(bytes.saturating_add(whole(directory))))
}

/// Returns the name and granularity of each valid bitmap. A bitmap marked in-use was not closed by its last
/// writer.
fn listed_bitmaps(details: &[(String, Detail)]) -> impl Iterator<Item = (&str, u64)> {
    let lists = details.iter().filter_map(|(name, detail)| match detail {
        Detail::List(list) if name == "bitmaps" => Some(list),
        _ => None,
    });
    lists.flatten().filter_map(|bitmap| {
        let Detail::Table(facts) = bitmap else { return None };
        let fact = |wanted: &str| facts.iter().find(|(name, _)| name == wanted).map(|(_, fact)| fact);
        let in_use = Detail::Text("in-use".to_owned());
        match (fact("name")?, fact("granularity")?, fact("flags")) {
            (_, _, Some(Detail::List(flags))) if flags.contains(&in_use) => None,
            (Detail::Text(name), Detail::Number(granularity), _) => Some((name.as_str(), *granularity)),
            _ => None,
        }
    })
}
