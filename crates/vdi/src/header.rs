//! The header, checked: what an image says of its disk, and where its block map and blocks are.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` and `VDI.cpp` (`vdiValidateHeader`), which is all the
//! specification there is. Where that leaves something open, the bounds are ours and say so.

use diskimg_core::{Identity, Limits, Result};
use uuid::Uuid;

use crate::addr::{Geometry, HostOffset};
use crate::errors::{FORMAT, corrupt, limit, truncated, unsupported};
use crate::fields::{Fields, V1_HEADER_BYTES};

/// log2 of the smallest block, a sector. A bound of ours: VirtualBox takes any power of two.
pub(crate) const MIN_BLOCK_BITS: u32 = 9;
/// log2 of the largest block, 1 GiB. A bound of ours: VirtualBox takes any power of two.
pub(crate) const MAX_BLOCK_BITS: u32 = 30;
/// Bytes of a sector, the only size there is. Set by the format.
pub(crate) const SECTOR: u32 = 512;
/// New blocks are filled with zeros: the only flag there is.
pub(crate) const ZERO_EXPAND: u32 = 1;

/// What kind of image it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// Blocks are added as they are written.
    Dynamic = 1,
    /// All blocks are there, in the order of the disk.
    Fixed = 2,
    /// What was changed since its parent was frozen, to be merged or thrown away.
    Undo = 3,
    /// What was changed since its parent was frozen.
    Differencing = 4,
}

impl Kind {
    /// In one word, as the subformat.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Fixed => "fixed",
            Self::Undo => "undo",
            Self::Differencing => "differencing",
        }
    }
}

/// The header's fields, checked one by one and against each other. Nothing is checked against the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) fields: Fields,
    pub(crate) kind: Kind,
    pub(crate) geometry: Geometry,
}

impl Header {
    /// Reads and checks a header. `bytes` is the beginning of the file, 456 bytes of it if it has as many.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::UnknownFormat`] without the signature, [`diskimg_core::ErrorKind::Truncated`] when `bytes` ends before
    /// the header, and whatever kind the first field has that cannot be.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let fields = Fields::parse(bytes)?;
        let kind = fields.kind()?;
        fields.check_sector()?;
        let geometry = fields.geometry()?;
        fields.check_size(&geometry)?;
        Ok(Self { fields, kind, geometry })
    }

    /// Size of the disk in bytes, exactly as it stands there.
    pub(crate) fn size(&self) -> u64 {
        self.fields.size
    }

    /// Checks what has to be right before a guest byte is read, and not before the image is described.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Unsupported`] for unknown flags, [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limit.
    pub(crate) fn check_readable(&self, limits: &Limits) -> Result<()> {
        if let Some(flags) = self.unknown_flags() {
            return Err(unsupported("fFlags")
                .at(self.fields.places().flags)
                .found_hex(flags)
                .expected("no flags but 1 (zero expand)"));
        }
        limits
            .check_virtual_size(self.size())
            .map_err(|error| error.format(FORMAT).at(self.fields.places().size))
    }

    /// Flags that neither VirtualBox nor this crate knows.
    pub(crate) fn unknown_flags(&self) -> Option<u32> {
        let unknown = self.fields.flags & !ZERO_EXPAND;
        (unknown != 0).then_some(unknown)
    }

    /// Checks that the file has the whole block map.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] when the map runs past the end of the file.
    pub(crate) fn check_map_in_file(&self, file_size: u64) -> Result<()> {
        let end = self.geometry.map_end();
        if end.0 <= file_size {
            return Ok(());
        }
        Err(truncated("block map").at(self.geometry.map.0).because(format_args!(
            "{} entries end at byte {}, past the end of the file at byte {file_size}",
            self.geometry.blocks, end.0
        )))
    }

    /// Checks that the blocks begin behind the map.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] when they do not.
    pub(crate) fn check_data_behind_map(&self) -> Result<()> {
        let end = self.geometry.map_end();
        if self.geometry.data >= end {
            return Ok(());
        }
        Err(corrupt("offData")
            .at(self.fields.places().data_offset)
            .found(self.geometry.data.0)
            .expected(format_args!("at least {}, where the block map ends", end.0)))
    }

    /// What the image is known by.
    pub(crate) fn identity(&self) -> Identity {
        identity(self.fields.uuids.create, self.fields.uuids.modify)
    }

    /// What the parent was known by when this image was made; `None` for an image without parent.
    pub(crate) fn parent(&self) -> Option<Identity> {
        let parent = identity(self.fields.uuids.parent, self.fields.uuids.parent_modify);
        let differs = matches!(self.kind, Kind::Undo | Kind::Differencing);
        (differs || !parent.is_empty()).then_some(parent)
    }
}

fn identity(uuid: Uuid, modification: Uuid) -> Identity {
    let known = |uuid: Uuid| (!uuid.is_nil()).then(|| uuid.into_bytes());
    Identity { content_id: None, uuid: known(uuid), modification_uuid: known(modification) }
}

impl Fields {
    fn kind(&self) -> Result<Kind> {
        match self.kind {
            1 => Ok(Kind::Dynamic),
            2 => Ok(Kind::Fixed),
            3 => Ok(Kind::Undo),
            4 => Ok(Kind::Differencing),
            other => Err(unsupported("u32Type").at(self.places().kind).found(other).expected("1 to 4")),
        }
    }

    fn check_sector(&self) -> Result<()> {
        if self.sector == SECTOR {
            return Ok(());
        }
        Err(unsupported("cbSector").at(self.places().sector).found(self.sector).expected(SECTOR))
    }

    fn geometry(&self) -> Result<Geometry> {
        let (block, extra, places) = (self.block, self.extra, self.places());
        let block_bits = block.trailing_zeros();
        if !block.is_power_of_two() || !(MIN_BLOCK_BITS..=MAX_BLOCK_BITS).contains(&block_bits) {
            return Err(corrupt("cbBlock").at(places.block).found(block).expected(format_args!(
                "a power of two from {} to {}",
                1 << MIN_BLOCK_BITS,
                1 << MAX_BLOCK_BITS
            )));
        }
        if extra != 0 && (!extra.is_power_of_two() || extra > block) {
            return Err(corrupt("cbBlockExtra")
                .at(places.extra)
                .found(extra)
                .expected(format_args!("0 or a power of two up to the block size {block}")));
        }
        if self.major > 0 && self.header_bytes < V1_HEADER_BYTES {
            return Err(corrupt("cbHeader")
                .at(72)
                .found(self.header_bytes)
                .expected(format_args!("at least {V1_HEADER_BYTES}")));
        }
        let map = self.map_offset();
        if map < self.length() {
            return Err(corrupt("offBlocks")
                .at(places.map_offset)
                .found(map)
                .expected(format_args!("at least {}, where the header ends", self.length())));
        }
        Ok(Geometry {
            map: HostOffset(map),
            data: HostOffset(self.data_offset()),
            block_bits,
            extra: extra.into(),
            blocks: self.blocks,
        })
    }

    fn check_size(&self, geometry: &Geometry) -> Result<()> {
        if i64::try_from(self.size).is_err() {
            return Err(limit("cbDisk")
                .at(self.places().size)
                .found(self.size)
                .expected("less than 2^63 bytes"));
        }
        let needed = self.size.div_ceil(geometry.block_bytes());
        if u64::from(self.blocks) < needed {
            return Err(corrupt("cBlocks").at(self.places().blocks).found(self.blocks).expected(
                format_args!(
                    "at least {needed}, blocks of {} bytes for a disk of {} bytes",
                    geometry.block_bytes(),
                    self.size
                ),
            ));
        }
        Ok(())
    }
}
