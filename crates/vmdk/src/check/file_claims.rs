//! Lines of the descriptor that claim the same bytes of one file.

use std::ops::Range;

use diskimg_core::{CheckReport, HostOffset, Printable, range};

use crate::addr::span;
use crate::errors::corrupt;
use crate::extents::{DescriptorExtent, DescriptorExtents, ExtentContent};

/// The bytes of a file that a line claims.
struct FileClaim {
    /// The name without empty and `.` components.
    name: Vec<u8>,
    range: Range<HostOffset>,
    /// Byte offset of the line.
    at: u64,
}

/// Reports each line that claims bytes of a file which an earlier line claims too. Files are compared by name.
pub(super) fn check_overlaps(extents: &DescriptorExtents, report: &mut CheckReport) {
    let mut claims: Vec<FileClaim> = extents.iter().filter_map(file_claim).collect();
    claims.sort_unstable_by(|a, b| (&a.name, a.range.start, a.at).cmp(&(&b.name, b.range.start, b.at)));
    let mut previous: Option<FileClaim> = None;
    for claim in claims {
        let start = claim.range.start.0;
        match &mut previous {
            Some(last) if last.name == claim.name && range::overlaps(&claim.range, &last.range) => {
                let (first, second) = (last.at.min(claim.at), last.at.max(claim.at));
                let error = corrupt("extent")
                    .at(second)
                    .found(format_args!("{} from byte {start} on", Printable::new(&claim.name)))
                    .expected(format_args!("no overlap with the extent of the line at byte {first}"));
                report.corruption(Some(second), error.to_string());
                last.range.end = last.range.end.max(claim.range.end);
            }
            _ => previous = Some(claim),
        }
    }
}

fn file_claim(extent: &DescriptorExtent) -> Option<FileClaim> {
    let (name, at) = extent.line()?;
    let range = match extent.content() {
        ExtentContent::Zero => return None,
        ExtentContent::Flat { offset, .. } => span(*offset, extent.len()),
        ExtentContent::Sparse(_) => span(HostOffset(0), u64::MAX),
    };
    let components = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let name = components.collect::<Vec<_>>().join(&b'/');
    Some(FileClaim { name, range, at })
}
