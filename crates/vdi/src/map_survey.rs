//! Comparing the block map with the length of the file.

use diskimg_core::{BlockSource, Finding, ImageInfo, Limits, Result, chunks, range};

use crate::addr::ENTRY_BYTES;
use crate::block_map::{MapEntry, PAGE_ENTRIES};
use crate::errors::truncated;
use crate::header::Header;
use crate::open::read_header;

/// Returns a finding for the first block of the disk that is not in the file: [`diskimg_core::Driver::survey`] of this
/// format. Reads at most [`Limits::metadata_cache`] bytes of the block map.
pub(crate) fn survey(source: &dyn BlockSource, info: &ImageInfo, limits: &Limits) -> Vec<Finding> {
    // The description has compared the header with the length of the file.
    let is_reported = info.findings.iter().any(|finding| matches!(finding.check, "truncated" | "corrupt"));
    let Some(header) = read_header(source).ok().filter(|_| !is_reported) else { return Vec::new() };
    let blocks = header.size().div_ceil(header.geometry.block_bytes());
    let most = (limits.metadata_cache / ENTRY_BYTES).max(1);
    match first_missing(source, &header, blocks.min(most)) {
        Ok(Some(finding)) => vec![finding],
        Ok(None) if blocks > most => {
            let message =
                format!("only {most} entries of the block map were compared with the length of the file");
            vec![Finding::note("tables_not_compared", message)]
        }
        Ok(None) => Vec::new(),
        Err(error) => vec![Finding::warning("truncated", error.to_string()).at(header.geometry.map.0)],
    }
}

/// Returns a finding for the first of `blocks` guest blocks whose entry is invalid, or that the file does not contain.
fn first_missing(source: &dyn BlockSource, header: &Header, blocks: u64) -> Result<Option<Finding>> {
    let geometry = &header.geometry;
    let file_size = source.size();
    let mut first = 0;
    while first < blocks {
        let end = blocks.min(first.saturating_add(PAGE_ENTRIES));
        let place = geometry.entry_at(first).0..geometry.entry_at(end).0;
        let mut bytes = vec![0; range::buffer_len(&place)];
        source.read_at(place.start, &mut bytes)?;
        for (block, entry) in (first..).zip(chunks(&bytes)) {
            let MapEntry::Block(index) = MapEntry::decode(u32::from_le_bytes(*entry)) else { continue };
            let at = geometry.entry_at(block).0;
            if index >= geometry.blocks {
                let message = format!("block {block} is stored in file block {index} of {}", geometry.blocks);
                return Ok(Some(Finding::warning("corrupt", message).at(at)));
            }
            let guest = geometry.guest_start(block);
            let seen = range::len(&(guest.0..header.size())).min(geometry.block_bytes());
            let host = geometry.host(index);
            if host.plus(seen).0 > file_size {
                let because = format!("the file ends at byte {file_size}");
                let error = truncated("block").at(host.0).guest(guest.0).because(because);
                return Ok(Some(Finding::warning("truncated", error.to_string()).at(at)));
            }
        }
        first = end;
    }
    Ok(None)
}
