//! The files that a descriptor names.

use diskimg_core::{Reference, ReferenceRole};

use crate::create_type::is_device;
use crate::descriptor::Descriptor;
use crate::errors::FORMAT;
use crate::extent_line::{ExtentLine, ExtentType};
use crate::lineage::parent;

/// The files of the extents, in the order of the descriptor.
pub(crate) fn extent_references(descriptor: &Descriptor) -> Vec<Reference> {
    let named = descriptor.extents.iter().filter_map(|line| line.name.as_ref().map(|name| (line, name)));
    named.map(|(line, name)| extent_reference(line, name)).collect()
}

/// The file `name` of an extent line.
pub(crate) fn extent_reference(line: &ExtentLine, name: &[u8]) -> Reference {
    let mut reference = Reference::new(ReferenceRole::Extent, name, FORMAT);
    reference.offset = Some(line.at);
    reference
}

/// The parent, its name empty if the descriptor does not give one.
pub(crate) fn parent_reference(descriptor: &Descriptor) -> Option<Reference> {
    let hint = descriptor.parent_file_name_hint.as_ref();
    let name = hint.map(|hint| hint.bytes.clone()).unwrap_or_default();
    let mut reference = Reference::new(ReferenceRole::Parent, name, FORMAT);
    reference.identity = parent(descriptor)?;
    reference.format = Some(FORMAT.name().to_owned());
    reference.offset = hint.map(|hint| hint.at);
    Some(reference)
}

/// Returns true if an extent is a device of the host, by its type or its name.
pub(crate) fn is_device_extent(line: &ExtentLine, name: &[u8]) -> bool {
    matches!(line.kind, ExtentType::VmfsRdm | ExtentType::VmfsRaw) || is_device(name)
}

/// Returns true if a name may lead out of the directory of its image: an absolute path, a drive, a URL, or a
/// step upwards.
pub(crate) fn leaves_directory(name: &[u8]) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    name.first().is_some_and(is_separator)
        || name.contains(&b':')
        || name.contains(&0)
        || name.split(is_separator).any(|step| step == b"..")
}
