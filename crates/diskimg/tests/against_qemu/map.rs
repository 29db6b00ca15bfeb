//! Extents compared with `qemu-img map`.

use std::path::Path;

use diskimg::{BlockSource, Disk, Extent, ExtentKind, Extents};
use serde_json::Value;

use crate::common::qemu;

/// A run as both tools report it, with host offsets of data only.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    start: u64,
    len: u64,
    kind: ExtentKind,
    depth: u32,
    host: Option<u64>,
}

/// Compares the extents of a disk with those of `qemu-img map`.
#[track_caller]
pub(crate) fn same_map(directory: &Path, name: &str, disk: &Disk) {
    let printed = qemu(directory, "qemu-img", &["map", "-f", "qcow2", "--output=json", name]);
    let theirs: Value = serde_json::from_str(&printed).unwrap();
    let theirs = merged(theirs.as_array().unwrap().iter().map(their_run).filter(|run| run.len > 0));
    let ours = merged(Extents::new(disk, 0..disk.size()).flat_map(|extent| our_runs(disk, &extent.unwrap())));
    let differs = ours.iter().zip(&theirs).find(|(a, b)| a != b);
    assert_eq!(differs, None, "{name}: ours and qemu-img's");
    assert_eq!(ours.len(), theirs.len(), "{name}");
}

/// Merges adjacent runs, because QEMU splits them at the end of a request. The depth of unallocated runs is not
/// compared: QEMU reports the last layer it read.
fn merged(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for mut run in runs {
        if run.kind == ExtentKind::Unallocated {
            run.depth = 0;
        }
        match all.last_mut() {
            Some(last)
                if (last.kind, last.depth) == (run.kind, run.depth)
                    && last.host.map(|host| host + last.len) == run.host =>
            {
                last.len += run.len;
            }
            _ => all.push(run),
        }
    }
    all
}

/// Splits an extent at the end of its layer.
///
/// After the end of a shorter layer, our extents are zeros of that layer. QEMU reports absent bytes.
fn our_runs(disk: &Disk, extent: &Extent<'_>) -> Vec<Run> {
    let held = disk.layers()[extent.depth as usize].size().clamp(extent.offset, extent.end());
    let host = extent.location.host.map(|host| host.offset);
    let run = |start, end, kind| Run { start, len: end - start, kind, depth: extent.depth, host };
    let mut runs =
        vec![run(extent.offset, held, extent.kind), run(held, extent.end(), ExtentKind::Unallocated)];
    runs.retain(|run| run.len > 0);
    runs
}

fn their_run(row: &Value) -> Run {
    let is = |name: &str| row[name].as_bool().unwrap();
    let kind = match (is("present"), is("compressed"), is("data"), is("zero")) {
        (true, true, ..) => ExtentKind::Encoded,
        // QEMU searches preallocated clusters for holes. They are data here.
        (true, _, true, _) => ExtentKind::Data,
        (true, _, false, true) => ExtentKind::Zero,
        (false, ..) => ExtentKind::Unallocated,
        other => panic!("{other:?}: {row}"),
    };
    Run {
        start: row["start"].as_u64().unwrap(),
        len: row["length"].as_u64().unwrap(),
        kind,
        depth: u32::try_from(row["depth"].as_u64().unwrap()).unwrap(),
        host: row["offset"].as_u64().filter(|_| kind == ExtentKind::Data),
    }
}
