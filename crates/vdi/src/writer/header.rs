//! The header of an image being written.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` (`VDIPREHEADER`, `VDIHEADER1PLUS`).

use diskimg_core::Result;
use uuid::Uuid;

use super::layout::ImageLayout;
use super::options::{Allocation, WriterOptions};
use crate::errors::{internal, invalid};
use crate::header::{SECTOR, VdiKind};
use crate::header_fields::{SIGNATURE, SIGNATURE_AT};

/// The text for people. Readers ignore it; it begins as in images of other writers.
const TEXT: &[u8] = b"<<< diskimg VirtualBox Disk Image >>>\n";
/// Version 1.1, minor half first.
const VERSION: u32 = 0x0001_0001;
/// Bytes of a `VDIHEADER1PLUS`.
const HEADER_BYTES: u32 = 400;
/// The offset of the fields for map and data. The flags, which are 0, and the comment precede it.
const MAP_OFFSET_AT: usize = 340;

/// The UUIDs of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageUuids {
    create: Uuid,
    modify: Uuid,
}

impl ImageUuids {
    /// The UUIDs in the options; random ones if not given.
    pub(super) fn new(options: &WriterOptions) -> Result<Self> {
        let one = |name: &str, given: Option<[u8; 16]>| match given.map(Uuid::from_bytes) {
            None => Ok(Uuid::new_v4()),
            Some(uuid) if uuid.is_nil() => {
                Err(invalid(format!("option {name}")).found(uuid).expected("a UUID that is not nil"))
            }
            Some(uuid) => Ok(uuid),
        };
        Ok(Self {
            create: one("uuid", options.uuid)?,
            modify: one("uuid_modify", options.modification_uuid)?,
        })
    }
}

/// Encodes the header and everything before it.
pub(super) fn encode(layout: &ImageLayout, uuids: &ImageUuids, blocks_allocated: u32) -> Result<Vec<u8>> {
    let geometry = &layout.geometry;
    let kind = match layout.allocation {
        Allocation::Dynamic => VdiKind::Dynamic,
        Allocation::Fixed => VdiKind::Fixed,
    };
    let mut bytes = TEXT.to_vec();
    bytes.resize(SIGNATURE_AT, 0);
    bytes.extend(SIGNATURE);
    put(&mut bytes, &[VERSION, HEADER_BYTES, kind as u32, 0]);
    bytes.resize(MAP_OFFSET_AT, 0);
    // Two offsets, then cylinders, heads and sectors left at 0, the sector size, and an unused field.
    put(&mut bytes, &[narrow(geometry.map.0)?, narrow(geometry.data.0)?, 0, 0, 0, SECTOR, 0]);
    bytes.extend(layout.size_in_header.to_le_bytes());
    put(&mut bytes, &[narrow(geometry.block_bytes())?, 0, geometry.blocks, blocks_allocated]);
    for uuid in [uuids.create, uuids.modify, Uuid::nil(), Uuid::nil()] {
        bytes.extend(uuid.to_bytes_le());
    }
    put(&mut bytes, &[0, 0, 0, SECTOR]);
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, values: &[u32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Narrows a value to a field. [`ImageLayout::new`] checks that it fits.
fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| internal("header").found(value).expected("32 bits"))
}
