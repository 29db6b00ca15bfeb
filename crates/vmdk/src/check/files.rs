//! Extents on each other: lines of the descriptor that claim the same bytes of one file.

use std::ops::Range;

use diskimg_core::{CheckReport, Printable};

use crate::errors::corrupt;
use crate::extents::{Content, Part};

/// What a line claims of a file.
struct Claim {
    /// The name without steps that lead nowhere.
    name: Vec<u8>,
    range: Range<u64>,
    /// Byte offset of the line.
    at: u64,
}

/// Tells of each line that claims bytes of a file which one before it claims too. Files are told apart by
/// their names.
pub(super) fn overlaps(parts: &[Part], report: &mut CheckReport) {
    let mut claims: Vec<Claim> = parts.iter().filter_map(claim).collect();
    claims.sort_unstable_by(|a, b| (&a.name, a.range.start, a.at).cmp(&(&b.name, b.range.start, b.at)));
    let mut before: Option<Claim> = None;
    for claim in claims {
        match &mut before {
            Some(last) if last.name == claim.name && claim.range.start < last.range.end => {
                let (first, second) = (last.at.min(claim.at), last.at.max(claim.at));
                let error = corrupt("extent")
                    .at(second)
                    .found(format_args!("{} from byte {} on", Printable::new(&claim.name), claim.range.start))
                    .expected(format_args!("no overlap with the extent of the line at byte {first}"));
                report.corruption(Some(second), error.to_string());
                last.range.end = last.range.end.max(claim.range.end);
            }
            _ => before = Some(claim),
        }
    }
}

fn claim(part: &Part) -> Option<Claim> {
    let (name, at) = part.line.as_ref()?;
    let range = match &part.content {
        Content::Zero => return None,
        Content::Flat { offset, .. } => *offset..offset.saturating_add(part.len),
        Content::Sparse(_) => 0..u64::MAX,
    };
    let steps = name.split(|byte| *byte == b'/').filter(|step| !matches!(*step, b"" | b"."));
    let name = steps.collect::<Vec<_>>().join(&b'/');
    Some(Claim { name, range, at: *at })
}
