//! The files of an image that consists of several.

use std::ops::Range;

use diskimg_core::{GuestOffset, Remedy, Result};

use super::descriptor::{self, ExtentEntry};
use super::extent_layout::{LARGEST_DISK, check_grain_size, checked_geometry};
use super::file_names::FileNames;
use super::options::{Subformat, WriterOptions};
use crate::addr::{SECTOR, sectors};
use crate::descriptor::MAX_EXTENTS;
use crate::errors::invalid_option;
use crate::geometry::Geometry;

/// Sectors of the disk in each sparse file but the last: VMware's number, 2047 MiB. With its tables the file is smaller
/// than 2 GiB.
const SPARSE_SECTORS: u64 = 4_192_256;
/// Sectors in each flat file but the last: VMware's number, 2 GiB less 256 KiB. QEMU makes files of exactly 2 GiB, one
/// byte more than FAT16 and old systems support.
const FLAT_SECTORS: u64 = 4_193_792;

/// The bytes of the disk in each file but the last.
const fn file_span(subformat: Subformat) -> u64 {
    sectors(match subformat {
        Subformat::TwoGbMaxExtentSparse => SPARSE_SECTORS,
        Subformat::TwoGbMaxExtentFlat => FLAT_SECTORS,
        _ => i64::MAX as u64 / SECTOR,
    })
}

/// The size in bytes of the largest disk.
pub(super) const fn largest_disk(subformat: Subformat) -> u64 {
    match subformat {
        Subformat::MonolithicSparse | Subformat::StreamOptimized => LARGEST_DISK,
        Subformat::MonolithicFlat | Subformat::Vmfs => file_span(subformat),
        Subformat::TwoGbMaxExtentSparse | Subformat::TwoGbMaxExtentFlat => {
            file_span(subformat).saturating_mul(MAX_EXTENTS as u64)
        }
    }
}

/// The files of an image apart from its descriptor, and their contents.
pub(super) struct ExtentFiles {
    names: FileNames,
    options: WriterOptions,
    /// Guest bytes in each file but the last.
    file_span: u64,
}

impl ExtentFiles {
    /// The files of an image with this file name.
    pub(super) fn new(options: &WriterOptions, image_name: &str) -> Result<Self> {
        check_grain_size(options.grain_size)?;
        let (names, options) = (FileNames::new(image_name)?, options.clone());
        Ok(Self { names, file_span: file_span(options.subformat), options })
    }

    /// The number of files, at most the limit of this crate's reader.
    fn count(&self) -> Result<u64> {
        let size = self.options.virtual_size;
        let count = size.div_ceil(self.file_span);
        if count <= MAX_EXTENTS as u64 {
            return Ok(count);
        }
        let most = self.file_span.saturating_mul(MAX_EXTENTS as u64);
        let error = invalid_option("virtual_size").found(size).expected(format_args!("at most {most} bytes"));
        let error = error.because(format_args!("in {MAX_EXTENTS} files"));
        Err(match size <= LARGEST_DISK {
            true => error.with_remedy(Remedy::SetOption(&[("subformat", "one of a single file")])),
            false => error,
        })
    }

    /// The size of the disk in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.options.virtual_size
    }

    /// The indices of the files that a guest range touches.
    pub(super) fn touched(&self, guest: &Range<GuestOffset>) -> Range<u64> {
        guest.start.0 / self.file_span..guest.end.0.div_ceil(self.file_span)
    }

    /// The guest range in file `index`.
    pub(super) fn guest_range(&self, index: u64) -> Range<GuestOffset> {
        let start = GuestOffset(index.saturating_mul(self.file_span));
        start..start.plus(self.file_span).min(GuestOffset(self.options.virtual_size))
    }

    fn guest_bytes(&self, index: u64) -> u64 {
        let range = self.guest_range(index);
        range.end.since(range.start)
    }

    /// The entry of file `index` in the descriptor.
    pub(super) fn entry(&self, index: u64) -> ExtentEntry {
        let (kind, name) = match self.options.subformat {
            Subformat::TwoGbMaxExtentSparse => ("SPARSE", self.names.numbered('s', index)),
            Subformat::TwoGbMaxExtentFlat => ("FLAT", self.names.numbered('f', index)),
            Subformat::Vmfs => ("VMFS", self.names.flat()),
            _ => ("FLAT", self.names.flat()),
        };
        ExtentEntry { access: "RW", sectors: self.guest_bytes(index).div_ceil(SECTOR), kind, name }
    }

    /// The entries of all files.
    pub(super) fn entries(&self) -> Result<Vec<ExtentEntry>> {
        Ok((0..self.count()?).map(|index| self.entry(index)).collect())
    }

    /// The text of the descriptor with these entries.
    pub(super) fn descriptor(&self, entries: &[ExtentEntry]) -> Result<String> {
        descriptor::render(&self.options, entries)
    }

    /// The layout of file `index`; `None` if it is flat.
    pub(super) fn sparse_layout(&self, index: u64) -> Result<Option<Geometry>> {
        if !self.are_sparse() {
            return Ok(None);
        }
        checked_geometry(self.guest_bytes(index), self.options.grain_size).map(Some)
    }

    /// True if the files are sparse extents, false if they are flat.
    pub(super) fn are_sparse(&self) -> bool {
        self.options.subformat.has_grains()
    }

    /// True if sparse extents allow entries for grains of zeros.
    pub(super) fn zeroed_grain(&self) -> bool {
        self.options.zeroed_grain
    }
}
