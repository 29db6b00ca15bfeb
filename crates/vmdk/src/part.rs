//! Recognition of a file that is one part or one layer of a larger disk, by its own structure.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File" and "Hosted Sparse Extent Header": an extent of
//! an image of several files has no descriptor of its own. QEMU reserves room for one in each extent and leaves it
//! blank. The sparse extents of ESX and ESXi never have one.

use diskimg_core::Finding;

use crate::create_type::is_split;
use crate::descriptor::Descriptor;
use crate::extent_line::ExtentType;
use crate::file_head::{FileHead, FileKind};

/// The name of findings about a part.
const CHECK: &str = "part";
/// The offset of `descriptorOffset` in the header of a hosted sparse extent.
const DESCRIPTOR_OFFSET: u64 = 28;

/// The finding on a file that is part of a larger disk; `None` for a whole disk, and for a file whose structure does
/// not show it.
pub(crate) fn part_finding(head: &FileHead) -> Option<Finding> {
    let part = |because: &str| Finding::warning(CHECK, format!("part of a larger disk: {because}"));
    match (&head.kind, &head.descriptor) {
        (FileKind::Cowd(_), _) => {
            Some(part("a sparse extent of ESX, whose descriptor is another file").at(0))
        }
        (FileKind::SeSparse(_), _) => {
            Some(part("a sparse extent of ESXi, whose descriptor is another file").at(0))
        }
        (FileKind::Hosted(_), Ok(None)) => {
            let because = "the header names no descriptor, which is another file";
            Some(part(because).at(DESCRIPTOR_OFFSET))
        }
        (FileKind::Hosted(header), Ok(Some(descriptor))) if !header.is_descriptor_only() => {
            let at = head.descriptor_at.0;
            embedded_part(descriptor, at).map(|(because, at)| part(&because).at(at))
        }
        _ => None,
    }
}

/// Returns the reason why the file with this descriptor, embedded at byte `at`, is part of a larger disk, and the byte
/// offset that shows it. `None` for a whole disk.
pub(crate) fn embedded_part(descriptor: &Descriptor, at: u64) -> Option<(String, u64)> {
    if descriptor.is_blank() && !descriptor.is_encrypted() {
        return Some(("its descriptor is blank; another file has it".to_owned(), at));
    }
    if let Some(value) = descriptor.create_type.as_ref().filter(|value| is_split(value)) {
        let name = String::from_utf8_lossy(value.bytes.trim_ascii()).into_owned();
        return Some((format!("its createType is {}", name.escape_debug()), value.at));
    }
    several_extents(descriptor).map(|(count, at)| (format!("its descriptor names {count} extents"), at))
}

/// The number of sparse extents that a descriptor names, and the byte offset of the second, if it names several and
/// nothing else.
pub(crate) fn several_extents(descriptor: &Descriptor) -> Option<(usize, u64)> {
    let lines = descriptor.extents.as_slice();
    let second = lines.get(1).filter(|_| lines.iter().all(|line| line.kind == ExtentType::Sparse))?;
    Some((lines.len(), second.at))
}
