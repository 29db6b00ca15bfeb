//! Extents compared with `qemu-img map`.

use diskimg_core::{BlockSource, ExtentKind, Extents};

/// A run in the terms that both sides report. Only data has a host offset.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    start: u64,
    len: u64,
    kind: ExtentKind,
    host: Option<u64>,
}

/// Checks that the extents of `disk` are those that `qemu-img map --output=json` printed.
#[track_caller]
pub(crate) fn compare(disk: &dyn BlockSource, printed: &str) {
    let ours = Extents::new(disk, 0..disk.size()).map(|extent| {
        let extent = extent.unwrap();
        let host = extent.location.host.map(|host| host.offset);
        Run { start: extent.offset, len: extent.len, kind: extent.kind, host }
    });
    let theirs =
        printed.lines().filter(|line| line.contains("\"start\"")).map(parse).filter(|run| run.len > 0);
    let (ours, theirs) = (merged(ours), merged(theirs));
    let differs = ours.iter().zip(&theirs).find(|(a, b)| a != b);
    assert_eq!(differs, None, "the first difference from qemu-img");
    assert_eq!(ours.len(), theirs.len());
}

/// Joins adjacent runs, because QEMU splits runs where its requests end.
fn merged(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for run in runs {
        match all.last_mut() {
            Some(last) if last.kind == run.kind && last.host.map(|host| host + last.len) == run.host => {
                last.len += run.len;
            }
            _ => all.push(run),
        }
    }
    all
}

fn parse(line: &str) -> Run {
    let number = |name: &str| field(line, name).and_then(|value| value.parse::<u64>().ok());
    let set = |name: &str| field(line, name) == Some("true");
    let kind = match (set("present"), set("compressed"), set("data"), set("zero")) {
        (true, true, ..) => ExtentKind::Encoded,
        // QEMU reports holes in preallocated data clusters; they are data here.
        (true, _, true, _) => ExtentKind::Data,
        (true, _, false, true) => ExtentKind::Zero,
        (false, ..) => ExtentKind::Unallocated,
        other => panic!("{other:?}: {line}"),
    };
    let host = number("offset").filter(|_| kind == ExtentKind::Data);
    Run { start: number("start").unwrap(), len: number("length").unwrap(), kind, host }
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\": "))?;
    rest.split([',', '}', ' ']).next()
}
