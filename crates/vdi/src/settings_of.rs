//! The settings of an existing image.

use diskimg_core::{BlockSource, ImageInfo, Result, Setting};

use crate::errors::unsupported;
use crate::header::VdiKind;
use crate::open::read_header;

/// Returns the settings that create an image like this one: [`diskimg_core::Driver::settings_of`] of this format. The
/// image keeps its UUID, and gets a new one for its content.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Unsupported`] for a differencing or undo image; if the header is damaged.
pub(crate) fn settings_of(source: &dyn BlockSource, _: &ImageInfo) -> Result<Vec<Setting>> {
    let header = read_header(source)?;
    if !matches!(header.kind, VdiKind::Dynamic | VdiKind::Fixed) {
        return Err(unsupported("type").found(header.kind.name()).expected("dynamic or fixed"));
    }
    let mut all = vec![
        ("subformat", header.kind.name().to_owned()),
        ("block_size", header.geometry.block_bytes().to_string()),
    ];
    if !header.fields.uuids.create.is_nil() {
        all.push(("uuid", header.fields.uuids.create.to_string()));
    }
    Ok(all.into_iter().map(|(name, value)| Setting { name: name.to_owned(), value }).collect())
}
