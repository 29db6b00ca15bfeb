//! The description of an image as [`ImageInfo`].

use diskimg_core::{Detail, ImageInfo, Limits};

use crate::descriptor::{Descriptor, NO_PARENT};
use crate::errors::FORMAT;
use crate::extent_line::{Access, ExtentLine};
use crate::extents::DescriptorExtents;
use crate::file_head::{FileHead, FileKind};
use crate::findings::findings;
use crate::lineage::identity;
use crate::own_size::own_size;
use crate::part::part_finding;
use crate::references::{extent_references, parent_reference};
use crate::sesparse;
use crate::sparse_extent::SparseExtent;
use crate::sparse_header::COMPRESSED;

/// The facts on one extent.
#[derive(Clone, Copy)]
struct ExtentFacts {
    /// Bytes of the disk.
    size: u64,
    /// Bytes of a grain, if it is sparse.
    grain_bytes: Option<u64>,
    compressed: bool,
}

/// Describes an image from its head and, once they are open, its extents.
pub(crate) fn describe(head: &FileHead, limits: &Limits, extents: Option<&DescriptorExtents>) -> ImageInfo {
    let descriptor = head.valid_descriptor();
    let claimed = claimed_disk(head);
    let opened: Vec<ExtentFacts> = extents.map(extent_facts).unwrap_or_default();
    let mut info = ImageInfo::new(FORMAT, extents.map_or(claimed.size, DescriptorExtents::size));
    info.version = match &head.kind {
        FileKind::Hosted(header) => Some(header.version),
        FileKind::Cowd(header) => Some(header.version),
        FileKind::SeSparse(_) => Some(2),
        FileKind::Text => descriptor.map(|descriptor| descriptor.version),
    };
    let mut facts = std::iter::once(&claimed).chain(&opened);
    info.allocation_unit = facts.clone().find_map(|extent| extent.grain_bytes);
    info.compression = facts.any(|extent| extent.compressed).then_some("deflate");
    info.dirty = matches!(&head.kind, FileKind::Hosted(header) if header.unclean_shutdown);
    if let Some(descriptor) = descriptor {
        info.subformat = descriptor.create_type.as_ref().map(|value| text(value.bytes.trim_ascii()));
        info.identity = identity(descriptor);
        info.encryption = descriptor.is_encrypted().then_some("vmware");
        if head.has_other_files() {
            info.references = extent_references(descriptor);
        }
        info.references.extend(parent_reference(descriptor));
        let own = claimed.grain_bytes.map(|_| claimed);
        info.details = details(descriptor, own, &opened);
    }
    info.is_part = part_finding(head).is_some();
    info.findings = findings(head, &info, limits);
    info
}

/// The disk that the head of the file claims: its size, and its grains if they are in this file.
fn claimed_disk(head: &FileHead) -> ExtentFacts {
    let lines = head.valid_descriptor().map(|descriptor| descriptor.extents.as_slice()).unwrap_or_default();
    // A sum past 64 bits becomes `u64::MAX`, a size that no disk has.
    let sum = lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.bytes()));
    let sparse = |capacity: u64, grain: u64, compressed: bool| ExtentFacts {
        size: match lines {
            [line] if line.access == Access::NoAccess => line.bytes(),
            [line] => own_size(capacity, grain, line.bytes()),
            _ => capacity,
        },
        grain_bytes: Some(grain),
        compressed,
    };
    match &head.kind {
        FileKind::Hosted(header) if !header.is_descriptor_only() => {
            sparse(header.capacity(), header.grain_bytes(), header.has(COMPRESSED))
        }
        FileKind::Hosted(_) | FileKind::Text => {
            ExtentFacts { size: sum, grain_bytes: None, compressed: false }
        }
        FileKind::Cowd(header) => sparse(header.capacity, header.grain_bytes, false),
        FileKind::SeSparse(header) => sparse(header.capacity, sesparse::GRAIN_BYTES, false),
    }
}

fn extent_facts(extents: &DescriptorExtents) -> Vec<ExtentFacts> {
    let facts = extents.iter().map(|extent| ExtentFacts {
        size: extent.len(),
        grain_bytes: extent.sparse().map(|sparse| sparse.geometry().grain_bytes()),
        compressed: extent.sparse().is_some_and(SparseExtent::is_compressed),
    });
    facts.collect()
}

/// Returns the facts that `qemu-img info` prints as format specific, in its order.
///
/// `own` is the disk in the file of the descriptor itself. `opened` has the opened extents, in the order of the
/// descriptor.
fn details(
    descriptor: &Descriptor,
    own: Option<ExtentFacts>,
    opened: &[ExtentFacts],
) -> Vec<(String, Detail)> {
    let mut all: Vec<(&str, Detail)> = Vec::new();
    if let Some(cid) = descriptor.cid {
        all.push(("cid", Detail::Number(cid.into())));
    }
    all.push(("parent-cid", Detail::Number(descriptor.parent_cid.unwrap_or(NO_PARENT).into())));
    if let Some(create_type) = &descriptor.create_type {
        all.push(("create-type", Detail::Text(text(create_type.bytes.trim_ascii()))));
    }
    let lines = descriptor.extents.iter().zip(0_usize..);
    let extents = lines.map(|(line, index)| extent_detail(line, own, opened.get(index).copied()));
    all.push(("extents", Detail::List(extents.collect())));
    all.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect()
}

fn extent_detail(line: &ExtentLine, own: Option<ExtentFacts>, opened: Option<ExtentFacts>) -> Detail {
    let sparse = own.or(opened).filter(|facts| facts.grain_bytes.is_some());
    let size = opened.or(own).map_or(line.bytes(), |facts| facts.size);
    let mut rows: Vec<(&str, Detail)> = Vec::new();
    if sparse.is_some_and(|facts| facts.compressed) {
        rows.push(("compressed", Detail::Flag(true)));
    }
    rows.push(("virtual-size", Detail::Number(size)));
    // An embedded descriptor has the name that the file was created with, not its present one.
    let name = if own.is_some() { String::new() } else { text(line.name.as_deref().unwrap_or_default()) };
    rows.push(("filename", Detail::File(name)));
    if let Some(bytes) = sparse.and_then(|facts| facts.grain_bytes) {
        rows.push(("cluster-size", Detail::Number(bytes)));
    }
    // QEMU leaves it empty for an image in one file.
    let format = if own.is_some() { "" } else { line.kind.name() };
    rows.push(("format", Detail::Text(format.to_owned())));
    Detail::Table(rows.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect())
}

/// Text from the image, invalid UTF-8 replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
