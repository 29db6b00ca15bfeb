//! The validated header.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` and `VDI.cpp` (`vdiValidateHeader`). There is no other
//! specification; limits that it does not set are marked as ours.

use diskimg_core::{Identity, Limits, Result, ensure};
use uuid::Uuid;

use crate::addr::{Geometry, GuestOffset, HostOffset};
use crate::errors::{FORMAT, corrupt, limit, truncated, unsupported};
use crate::header_fields::{HeaderFields, V1_HEADER_BYTES};

/// log2 of the smallest block, a sector. Our limit: VirtualBox accepts any power of two.
pub(crate) const MIN_BLOCK_BITS: u32 = 9;
/// log2 of the largest block, 1 GiB. Our limit: VirtualBox accepts any power of two.
pub(crate) const MAX_BLOCK_BITS: u32 = 30;
/// The only valid sector size in bytes. Set by the format.
pub(crate) const SECTOR: u32 = 512;
/// The known flags: value, name, and true if blocks of a parent may be visible. None changes how a block is stored.
///
/// Source: VirtualBox, `include/VBox/vd.h` (`VD_VDI_IMAGE_FLAGS_MASK`: all but the first) and `VDI.cpp`
/// (`vdiInitHeader`, which writes 1 for `VD_VDI_IMAGE_FLAGS_ZERO_EXPAND`). VirtualBox refuses other flags; QEMU ignores
/// the field.
pub(crate) const FLAGS: [(u32, &str, bool); 4] = [
    (0x1, "zero expand", false),
    (0x100, "zero expand", false),
    (0x1_0000, "fixed", false),
    (0x2_0000, "differencing", true),
];

/// The type of an image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum VdiKind {
    /// Blocks are allocated when they are written.
    Dynamic = 1,
    /// All blocks are allocated, in guest order.
    Fixed = 2,
    /// Blocks that differ from the parent, to be merged or discarded.
    Undo = 3,
    /// Blocks that differ from the parent.
    Differencing = 4,
}

impl VdiKind {
    /// The name as a subformat.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Fixed => "fixed",
            Self::Undo => "undo",
            Self::Differencing => "differencing",
        }
    }
}

/// A header whose fields are valid and agree with each other. They are not checked against the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) fields: HeaderFields,
    pub(crate) kind: VdiKind,
    pub(crate) geometry: Geometry,
}

impl Header {
    /// Parses and validates a header. `bytes` is the beginning of the file: at least 456 bytes, or all of it.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::UnknownFormat`] without the signature, [`diskimg_core::ErrorKind::Truncated`] if
    /// `bytes` ends before the header, and the error of the first invalid field.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let fields = HeaderFields::parse(bytes)?;
        let kind = fields.kind()?;
        fields.check_sector()?;
        let geometry = fields.geometry()?;
        fields.check_size(&geometry)?;
        Ok(Self { fields, kind, geometry })
    }

    /// The virtual size in bytes, not rounded.
    pub(crate) fn size(&self) -> u64 {
        self.fields.size
    }

    /// The start of a guest block, or the end of the disk if the block is past it.
    pub(crate) fn clipped_start(&self, block: u32) -> GuestOffset {
        self.geometry.guest_start(block.into()).min(GuestOffset(self.size()))
    }

    /// Checks what is required for reading, but not for describing the image.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Unsupported`] for unknown flags, [`diskimg_core::ErrorKind::Corrupt`] for flags that
    /// contradict the type, [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limit.
    pub(crate) fn check_readable(&self, limits: &Limits) -> Result<()> {
        if let Some(flags) = self.unknown_flags() {
            return Err(unsupported("fFlags")
                .at(self.fields.offsets().flags)
                .found_hex(flags)
                .expected(format_args!("no flags but {}", flags_in_words())));
        }
        self.check_parent_flag()?;
        limits
            .check_virtual_size(self.size())
            .map_err(|error| error.format(FORMAT).at(self.fields.offsets().size))
    }

    /// Flags unknown to VirtualBox and this crate; `None` if there are none.
    pub(crate) fn unknown_flags(&self) -> Option<u32> {
        let known = FLAGS.iter().fold(0, |known, (flag, ..)| known | flag);
        let unknown = self.fields.flags & !known;
        (unknown != 0).then_some(unknown)
    }

    /// Checks that an image without a parent has no flag of one with a parent.
    fn check_parent_flag(&self) -> Result<()> {
        let mut flags =
            FLAGS.iter().filter(|(flag, _, of_parent)| *of_parent && self.fields.flags & flag != 0);
        match (flags.next(), self.parent()) {
            (Some((flag, name, _)), None) => Err(corrupt("fFlags")
                .at(self.fields.offsets().flags)
                .found(format_args!("{flag:#x} ({name})"))
                .expected(format_args!("no such flag in an image of type {}", self.kind.name()))),
            _ => Ok(()),
        }
    }

    /// Checks that the file contains the whole block map.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] if it does not.
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

    /// Checks that the blocks start past the map.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if they do not.
    pub(crate) fn check_data_past_map(&self) -> Result<()> {
        let end = self.geometry.map_end();
        ensure(self.geometry.data >= end, || {
            corrupt("offData")
                .at(self.fields.offsets().data_offset)
                .found(self.geometry.data.0)
                .expected(format_args!("at least {}, the end of the block map", end.0))
        })
    }

    /// The identity of the image.
    pub(crate) fn identity(&self) -> Identity {
        identity(self.fields.uuids.create, self.fields.uuids.modify)
    }

    /// The identity of the parent when this image was created; `None` without a parent.
    pub(crate) fn parent(&self) -> Option<Identity> {
        let parent = identity(self.fields.uuids.parent, self.fields.uuids.parent_modify);
        let differs = matches!(self.kind, VdiKind::Undo | VdiKind::Differencing);
        (differs || !parent.is_empty()).then_some(parent)
    }
}

fn identity(uuid: Uuid, modification: Uuid) -> Identity {
    let known = |uuid: Uuid| (!uuid.is_nil()).then(|| uuid.into_bytes());
    Identity { content_id: None, uuid: known(uuid), modification_uuid: known(modification) }
}

impl HeaderFields {
    fn kind(&self) -> Result<VdiKind> {
        let kinds = [VdiKind::Dynamic, VdiKind::Fixed, VdiKind::Undo, VdiKind::Differencing];
        kinds
            .into_iter()
            .find(|kind| *kind as u32 == self.kind)
            .ok_or_else(|| unsupported("u32Type").at(self.offsets().kind).found(self.kind).expected("1 to 4"))
    }

    fn check_sector(&self) -> Result<()> {
        ensure(self.sector == SECTOR, || {
            unsupported("cbSector").at(self.offsets().sector).found(self.sector).expected(SECTOR)
        })
    }

    fn geometry(&self) -> Result<Geometry> {
        let (block, extra, offsets) = (self.block, self.extra, self.offsets());
        let block_bits = block.trailing_zeros();
        if !block.is_power_of_two() || !(MIN_BLOCK_BITS..=MAX_BLOCK_BITS).contains(&block_bits) {
            return Err(corrupt("cbBlock").at(offsets.block).found(block).expected(format_args!(
                "a power of two from {} to {}",
                1 << MIN_BLOCK_BITS,
                1 << MAX_BLOCK_BITS
            )));
        }
        if extra != 0 && (!extra.is_power_of_two() || extra > block) {
            let expected = format!("0 or a power of two up to the block size {block}");
            return Err(corrupt("cbBlockExtra").at(offsets.extra).found(extra).expected(expected));
        }
        if self.major > 0 && self.header_bytes < V1_HEADER_BYTES {
            let expected = format!("at least {V1_HEADER_BYTES}");
            return Err(corrupt("cbHeader").at(72).found(self.header_bytes).expected(expected));
        }
        let map = self.map_offset();
        if map < self.length() {
            let expected = format!("at least {}, the end of the header", self.length());
            return Err(corrupt("offBlocks").at(offsets.map_offset).found(map).expected(expected));
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
        ensure(i64::try_from(self.size).is_ok(), || {
            limit("cbDisk").at(self.offsets().size).found(self.size).expected("less than 2^63 bytes")
        })?;
        let needed = self.size.div_ceil(geometry.block_bytes());
        ensure(u64::from(self.blocks) >= needed, || {
            corrupt("cBlocks").at(self.offsets().blocks).found(self.blocks).expected(format_args!(
                "at least {needed}, blocks of {} bytes for a disk of {} bytes",
                geometry.block_bytes(),
                self.size
            ))
        })?;
        Ok(())
    }
}

fn flags_in_words() -> String {
    let words: Vec<String> = FLAGS.iter().map(|(flag, name, _)| format!("{flag:#x} ({name})")).collect();
    words.join(", ")
}
