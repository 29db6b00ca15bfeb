//! What an image says about itself, as [`ImageInfo`].

use diskimg_core::{Detail, Finding, ImageInfo, Limits, Reference, ReferenceRole, Severity};
use uuid::Uuid;

use crate::errors::FORMAT;
use crate::header::{Header, SECTOR};

/// The block size of nearly every image, and the only one that QEMU reads.
const USUAL_BLOCK: u64 = 1 << 20;

/// Describes an image whose header was read.
pub(crate) fn describe(header: &Header, limits: &Limits, file_size: u64) -> ImageInfo {
    let mut info = ImageInfo::new(FORMAT, header.size());
    info.subformat = Some(header.kind.name().to_owned());
    info.version = Some(header.fields.major.into());
    info.allocation_unit = Some(header.geometry.block_bytes());
    info.references = parent(header).into_iter().collect();
    info.identity = header.identity();
    info.details = details(header);
    info.findings = findings(header, limits, file_size);
    info
}

/// The parent of a differencing or undo image, which is known by its UUIDs alone.
fn parent(header: &Header) -> Option<Reference> {
    Some(Reference {
        role: ReferenceRole::Parent,
        name: Vec::new(),
        identity: header.parent()?,
        format: Some(FORMAT.name().to_owned()),
        found_in: FORMAT,
        offset: Some(header.fields.places().parent),
    })
}

fn findings(header: &Header, limits: &Limits, file_size: u64) -> Vec<Finding> {
    let (fields, places) = (&header.fields, header.fields.places());
    let mut findings = Vec::new();
    let mut tell = |severity, check, message: String, at| {
        findings.push(Finding::new(severity, check, message).at(at));
    };
    if header.parent().is_some() {
        let uuid = fields.uuids.parent;
        let message = format!("the image holds only what differs from its parent, the image {uuid}");
        tell(Severity::Unsafe, "parent", message, places.parent);
    }
    if let Some(flags) = header.unknown_flags() {
        let message = format!("the image has flags that are not known here: {flags:#x}");
        tell(Severity::Unsafe, "unknown_features", message, places.flags);
    }
    if let Err(error) = limits.check_virtual_size(header.size()) {
        tell(Severity::Unsafe, "virtual_size", error.to_string(), places.size);
    }
    if let Err(error) = header.check_map_in_file(file_size) {
        tell(Severity::Warning, "truncated", error.to_string(), header.geometry.map.0);
    } else if let Err(error) = header.check_data_behind_map() {
        tell(Severity::Warning, "corrupt", error.to_string(), places.data_offset);
    } else if let Some(end) = missing_end(header, file_size) {
        let message = format!(
            "{} blocks are said to be allocated and end at byte {end}, past the end of the file at byte \
             {file_size}",
            fields.blocks_allocated
        );
        tell(Severity::Warning, "truncated", message, places.blocks_allocated);
    }
    if fields.blocks_allocated > fields.blocks {
        let message =
            format!("{} of {} blocks are said to be allocated", fields.blocks_allocated, fields.blocks);
        tell(Severity::Warning, "blocks_allocated", message, places.blocks_allocated);
    }
    if header.geometry.extra != 0 {
        let message = format!(
            "{} extra bytes lie in front of each block; QEMU ignores them and reads wrong bytes",
            header.geometry.extra
        );
        tell(Severity::Warning, "block_extra", message, places.extra);
    }
    if header.geometry.block_bytes() != USUAL_BLOCK {
        let message =
            format!("blocks have {} bytes; QEMU reads only blocks of 1 MiB", header.geometry.block_bytes());
        tell(Severity::Note, "block_size", message, places.block);
    }
    if !header.size().is_multiple_of(SECTOR.into()) {
        let message = format!(
            "the size of {} bytes is no multiple of 512: QEMU rounds it up, VirtualBox down",
            header.size()
        );
        tell(Severity::Note, "size_odd", message, places.size);
    }
    findings
}

/// Where the blocks end that the header counts, if the file ends before the last byte that a guest could see
/// of them.
fn missing_end(header: &Header, file_size: u64) -> Option<u64> {
    let geometry = &header.geometry;
    let counted = header.fields.blocks_allocated.min(header.fields.blocks);
    let end = geometry.data.plus(u64::from(counted).saturating_mul(geometry.stride())).0;
    let mapped = geometry.guest_start(header.fields.blocks.into()).0;
    let unseen = mapped.saturating_sub(header.size()).min(geometry.block_bytes());
    (counted > 0 && end.saturating_sub(unseen) > file_size).then_some(end)
}

/// The facts that only this format has. `qemu-img info` tells none of them.
fn details(header: &Header) -> Vec<(String, Detail)> {
    let fields = &header.fields;
    let text = |text: String| Detail::Text(text);
    let mut all = vec![
        ("version", text(format!("{}.{}", fields.major, fields.minor))),
        ("blocks", Detail::Number(fields.blocks.into())),
        ("allocated-blocks", Detail::Number(fields.blocks_allocated.into())),
    ];
    if header.geometry.extra != 0 {
        all.push(("block-extra", Detail::Number(header.geometry.extra)));
    }
    let uuids = [
        ("uuid", fields.uuids.create),
        ("modification-uuid", fields.uuids.modify),
        ("parent-uuid", fields.uuids.parent),
        ("parent-modification-uuid", fields.uuids.parent_modify),
    ];
    let known = uuids.iter().filter(|(_, uuid): &&(_, Uuid)| !uuid.is_nil());
    all.extend(known.map(|(name, uuid)| (*name, text(uuid.to_string()))));
    if !fields.comment.is_empty() {
        all.push(("comment", text(String::from_utf8_lossy(&fields.comment).into_owned())));
    }
    all.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect()
}
