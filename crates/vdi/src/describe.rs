//! Describes an image as an [`ImageInfo`].

use diskimg_core::{Detail, Finding, ImageInfo, Limits, Reference, ReferenceRole, Severity};
use uuid::Uuid;

use crate::errors::FORMAT;
use crate::header::{Header, SECTOR};

/// The usual block size, and the only one that QEMU supports.
const USUAL_BLOCK: u64 = 1 << 20;

/// Describes an image by its header.
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

/// The parent of a differencing or undo image. It has no name, only UUIDs.
fn parent(header: &Header) -> Option<Reference> {
    let mut parent = Reference::new(ReferenceRole::Parent, Vec::new(), FORMAT);
    parent.identity = header.parent()?;
    parent.format = Some(FORMAT.name().to_owned());
    parent.offset = Some(header.fields.offsets().parent);
    Some(parent)
}

fn findings(header: &Header, limits: &Limits, file_size: u64) -> Vec<Finding> {
    let (fields, offsets) = (&header.fields, header.fields.offsets());
    let (blocks, allocated, size) = (fields.blocks, fields.blocks_allocated, header.size());
    let (block, extra) = (header.geometry.block_bytes(), header.geometry.extra);
    let mut findings = Vec::new();
    let mut report = |severity, check, message: String, at| {
        findings.push(Finding::new(severity, check, message).at(at));
    };
    if header.parent().is_some() {
        let uuid = fields.uuids.parent;
        let message = format!("the image stores only the blocks that differ from its parent, image {uuid}");
        report(Severity::Unsafe, "parent", message, offsets.parent);
    }
    if let Some(flags) = header.unknown_flags() {
        let message = format!("the image has unknown flags: {flags:#x}");
        report(Severity::Unsafe, "unknown_features", message, offsets.flags);
    }
    if let Err(error) = limits.check_virtual_size(size) {
        report(Severity::Unsafe, "virtual_size", error.to_string(), offsets.size);
    }
    if let Err(error) = header.check_map_in_file(file_size) {
        report(Severity::Warning, "truncated", error.to_string(), header.geometry.map.0);
    } else if let Err(error) = header.check_data_past_map() {
        report(Severity::Warning, "corrupt", error.to_string(), offsets.data_offset);
    } else if let Some(end) = missing_end(header, file_size) {
        let message = format!(
            "the header counts {allocated} allocated blocks, which end at byte {end}, past the end of the file at \
             byte {file_size}"
        );
        report(Severity::Warning, "truncated", message, offsets.blocks_allocated);
    }
    if allocated > blocks {
        let message = format!("the header counts {allocated} allocated blocks of {blocks}");
        report(Severity::Warning, "blocks_allocated", message, offsets.blocks_allocated);
    }
    if extra != 0 {
        let message =
            format!("each block starts with {extra} extra bytes, which QEMU ignores: it reads wrong bytes");
        report(Severity::Warning, "block_extra", message, offsets.extra);
    }
    if block != USUAL_BLOCK {
        let message = format!("blocks have {block} bytes; QEMU supports only blocks of 1 MiB");
        report(Severity::Note, "block_size", message, offsets.block);
    }
    if size % u64::from(SECTOR) != 0 {
        let message =
            format!("the size of {size} bytes is not a multiple of 512: QEMU rounds it up, VirtualBox down");
        report(Severity::Note, "size_odd", message, offsets.size);
    }
    findings
}

/// Returns the end of the allocated blocks that the header counts, if the file ends before their last byte within the
/// disk.
fn missing_end(header: &Header, file_size: u64) -> Option<u64> {
    let geometry = &header.geometry;
    let counted = header.fields.blocks_allocated.min(header.fields.blocks);
    let end = geometry.data.plus(u64::from(counted).saturating_mul(geometry.stride())).0;
    let mapped = geometry.guest_start(header.fields.blocks.into()).0;
    let unseen = mapped.saturating_sub(header.size()).min(geometry.block_bytes());
    (counted > 0 && end.saturating_sub(unseen) > file_size).then_some(end)
}

/// The facts specific to this format. `qemu-img info` reports none of them.
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
