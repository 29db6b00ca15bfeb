//! The facts that `qemu-img info` prints as format specific.

use diskimg_core::Detail;

use crate::descriptor::{Descriptor, NO_PARENT};
use crate::extent_line::ExtentLine;

/// The facts on one extent.
#[derive(Clone, Copy)]
pub(crate) struct ExtentFacts {
    /// Bytes of the disk.
    pub(crate) size: u64,
    /// Bytes of a grain, if it is sparse.
    pub(crate) grain_bytes: Option<u64>,
    pub(crate) compressed: bool,
}

/// Returns the facts in the order of `qemu-img info`.
///
/// `own` is the disk in the file of the descriptor itself. `opened` has the opened extents, in the order of the
/// descriptor.
pub(crate) fn details(
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
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
