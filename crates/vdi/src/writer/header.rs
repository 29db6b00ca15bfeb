//! The header of an image being written.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` (`VDIPREHEADER`, `VDIHEADER1PLUS`).

use diskimg_core::Result;
use uuid::Uuid;

use super::layout::Shape;
use super::options::{Allocation, WriterOptions};
use crate::errors::invalid;
use crate::fields::{SIGNATURE, SIGNATURE_AT};
use crate::header::{Kind, SECTOR};

/// The text for people. Readers do not look at it; it begins as everybody's does.
const TEXT: &[u8] = b"<<< diskimg VirtualBox Disk Image >>>\n";
/// Version 1.1, minor half first.
const VERSION: u32 = 0x0001_0001;
/// Bytes of a `VDIHEADER1PLUS`.
const HEADER_BYTES: u32 = 400;
/// Where the offsets of map and data are; before them, behind flags that are 0, is the comment.
const MAP_OFFSET_AT: usize = 340;

/// Who an image is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uuids {
    create: Uuid,
    modify: Uuid,
}

impl Uuids {
    /// Those of the options, or random ones.
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

/// The bytes of the header, from the first of the file on.
pub(super) fn encode(shape: &Shape, uuids: &Uuids, blocks_allocated: u32) -> Vec<u8> {
    let geometry = &shape.geometry;
    let kind = match shape.allocation {
        Allocation::Dynamic => Kind::Dynamic,
        Allocation::Fixed => Kind::Fixed,
    };
    let mut bytes = TEXT.to_vec();
    bytes.resize(SIGNATURE_AT, 0);
    bytes.extend(SIGNATURE);
    put(&mut bytes, &[VERSION, HEADER_BYTES, kind as u32, 0]);
    bytes.resize(MAP_OFFSET_AT, 0);
    // Two offsets, then a geometry that is not calculated, but for the size of a sector, and a dummy.
    put(&mut bytes, &[small(geometry.map.0), small(geometry.data.0), 0, 0, 0, SECTOR, 0]);
    bytes.extend(shape.size_in_header().to_le_bytes());
    put(&mut bytes, &[small(geometry.block_bytes()), 0, geometry.blocks, blocks_allocated]);
    for uuid in [uuids.create, uuids.modify, Uuid::nil(), Uuid::nil()] {
        bytes.extend(uuid.to_bytes_le());
    }
    put(&mut bytes, &[0, 0, 0, SECTOR]);
    bytes
}

fn put(bytes: &mut Vec<u8>, values: &[u32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Every value put here was checked to be small; none can come out cut.
fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
