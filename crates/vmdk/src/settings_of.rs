//! The settings of an existing image.

use diskimg_core::{BlockSource, ImageInfo, Limits, Result, Setting};

use crate::descriptor::Descriptor;
use crate::errors::{corrupt, unsupported};
use crate::extent_line::keyword;
use crate::file_head::{FileHead, FileKind};
use crate::sparse_header::ZEROED_GRAIN;

/// Entries of the disk database that are settings.
const ENTRIES: [(&str, &str); 3] = [
    ("ddb.adaptertype", "adapter_type"),
    ("ddb.virtualhwversion", "hwversion"),
    ("ddb.toolsversion", "toolsversion"),
];

/// Returns the settings that create an image like this one: [`diskimg_core::Driver::settings_of`] of this format.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Unsupported`] for an extent without a descriptor, and for a `createType` that this crate
/// does not write; if the header or the descriptor is damaged.
pub(crate) fn settings_of(source: &dyn BlockSource, info: &ImageInfo) -> Result<Vec<Setting>> {
    let head = FileHead::read(source, &Limits::default())?.require_descriptor()?;
    let descriptor = head.valid_descriptor().ok_or_else(|| {
        unsupported("descriptor").found("none").expected("an image, not one extent of an image")
    })?;
    let mut all = vec![("subformat", subformat(descriptor)?)];
    if let Some(grain) = info.allocation_unit {
        all.push(("grain_size", grain.to_string()));
    }
    if let FileKind::Hosted(header) = &head.kind {
        if header.has(ZEROED_GRAIN) {
            all.push(("zeroed_grain", "on".to_owned()));
        }
    }
    for (entry, setting) in ENTRIES {
        if let Some(value) = descriptor.ddb(entry) {
            all.push((setting, String::from_utf8_lossy(&value.bytes).into_owned()));
        }
    }
    Ok(all.into_iter().map(|(name, value)| Setting { name: name.to_owned(), value }).collect())
}

/// The `createType` in the spelling of the setting `subformat`.
fn subformat(descriptor: &Descriptor) -> Result<String> {
    let value = descriptor.create_type.as_ref().ok_or_else(|| corrupt("createType").found("none"))?;
    let word = value.bytes.trim_ascii();
    let known = crate::Subformat::ALL.map(|known| (known.name(), known.name()));
    keyword(word, &known).map(str::to_owned).ok_or_else(|| {
        unsupported("createType").at(value.at).found_name(word).expected("a type that can be written")
    })
}
