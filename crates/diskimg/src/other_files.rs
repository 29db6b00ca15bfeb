//! The other files that an image consists of.

use diskimg_core::{Detail, ImageInfo, ReferenceRole};

/// A file with a part of the disk, which the image names: an extent of a VMDK.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OtherFile {
    /// The name in the image, with invalid UTF-8 replaced; not yet escaped for a terminal.
    pub name: String,
    /// Length of the file in bytes. Before [`open_other_files`](crate::Inspection::open_other_files) it is what the image states, or `None`.
    pub file_size: Option<u64>,
    /// Bytes allocated for the file on its file system; `None` where it is unknown, or the file was not opened.
    pub allocated_size: Option<u64>,
}

/// The other files of an image, in its order. Nothing is opened.
pub(crate) fn other_files(info: &ImageInfo) -> Vec<OtherFile> {
    let extents = info.references.iter().filter(|reference| reference.role == ReferenceRole::Extent);
    let files = extents.map(|reference| {
        let name = reference.name_lossy().into_owned();
        let file_size = flat_size(info, &name);
        OtherFile { name, file_size, allocated_size: None }
    });
    files.collect()
}

/// The length of a file of guest bytes, as the image states it.
fn flat_size(info: &ImageInfo, name: &str) -> Option<u64> {
    let (_, Detail::List(extents)) = info.details.iter().find(|(name, _)| name == "extents")? else {
        return None;
    };
    extents.iter().find_map(|extent| {
        let Detail::Table(rows) = extent else { return None };
        let value = |key: &str| rows.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        match (value("filename")?, value("format")?, value("virtual-size")?) {
            (Detail::File(file), Detail::Text(format), Detail::Number(bytes))
                if file == name && matches!(format.as_str(), "FLAT" | "VMFS") =>
            {
                Some(*bytes)
            }
            _ => None,
        }
    })
}
