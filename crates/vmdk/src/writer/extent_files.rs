//! Which files an image of several consists of.

use std::ops::Range;

use diskimg_core::{Remedy, Result};

use super::descriptor::{self, ExtentLine};
use super::error::invalid;
use super::layout::{Shape, check_grain_size};
use super::names::Names;
use super::options::{Subformat, WriterOptions};
use crate::descriptor::MAX_EXTENTS;
use crate::sparse_header::SECTOR;

/// Sectors of the disk in each sparse file but the last: VMware's number, 2047 MiB. The file is less than
/// 2 GiB with its tables too.
const SPARSE_SECTORS: u64 = 4_192_256;
/// Sectors in each flat file but the last: VMware's number, 256 KiB below 2 GiB. QEMU makes files of exactly
/// 2 GiB, one byte more than FAT16 and old systems can hold.
const FLAT_SECTORS: u64 = 4_193_792;

/// Which files there are to be beside the descriptor, and what each holds.
pub(super) struct Plan {
    names: Names,
    options: WriterOptions,
    /// Guest bytes in each file but the last.
    reach: u64,
}

impl Plan {
    /// The files of an image of this name.
    pub(super) fn new(options: &WriterOptions, image_name: &str) -> Result<Self> {
        check_grain_size(options.grain_size)?;
        let sectors = match options.subformat {
            Subformat::TwoGbMaxExtentSparse => SPARSE_SECTORS,
            Subformat::TwoGbMaxExtentFlat => FLAT_SECTORS,
            _ => u64::MAX / SECTOR,
        };
        let (names, options) = (Names::new(image_name)?, options.clone());
        Ok(Self { names, options, reach: sectors.saturating_mul(SECTOR) })
    }

    /// How many files there are: no more than this crate's reader takes.
    fn count(&self) -> Result<u64> {
        let size = self.options.virtual_size;
        let count = size.div_ceil(self.reach);
        if count <= MAX_EXTENTS as u64 {
            return Ok(count);
        }
        let most = self.reach.saturating_mul(MAX_EXTENTS as u64);
        let error = invalid("virtual_size").found(size).expected(format_args!("at most {most} bytes"));
        Err(error
            .because(format_args!("in {MAX_EXTENTS} files"))
            .with_remedy(Remedy::SetOption(&[("subformat", "one of a single file")])))
    }

    /// Guest bytes of the disk.
    pub(super) fn size(&self) -> u64 {
        self.options.virtual_size
    }

    /// Guest bytes in each file but the last.
    pub(super) fn reach(&self) -> u64 {
        self.reach
    }

    /// Guest range of file `index`.
    pub(super) fn range(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.reach);
        start..start.saturating_add(self.reach).min(self.options.virtual_size)
    }

    /// How the descriptor names file `index`.
    pub(super) fn line(&self, index: u64) -> ExtentLine {
        let range = self.range(index);
        let (kind, name) = match self.options.subformat {
            Subformat::TwoGbMaxExtentSparse => ("SPARSE", self.names.numbered('s', index)),
            Subformat::TwoGbMaxExtentFlat => ("FLAT", self.names.numbered('f', index)),
            Subformat::Vmfs => ("VMFS", self.names.flat()),
            _ => ("FLAT", self.names.flat()),
        };
        let sectors = range.end.saturating_sub(range.start).div_ceil(SECTOR);
        ExtentLine { access: "RW", sectors, kind, name }
    }

    /// The lines of all files.
    pub(super) fn lines(&self) -> Result<Vec<ExtentLine>> {
        Ok((0..self.count()?).map(|index| self.line(index)).collect())
    }

    /// The text of the descriptor with these lines.
    pub(super) fn descriptor(&self, lines: &[ExtentLine]) -> Result<String> {
        descriptor::render(&self.options, lines)
    }

    /// The shape of file `index`, where it is a sparse extent.
    pub(super) fn shape(&self, index: u64) -> Result<Option<Shape>> {
        if !self.is_sparse() {
            return Ok(None);
        }
        let range = self.range(index);
        Shape::new(range.end.saturating_sub(range.start), self.options.grain_size).map(Some)
    }

    /// Whether the files are sparse extents, and not flat ones.
    pub(super) fn is_sparse(&self) -> bool {
        self.options.subformat.has_grains()
    }

    /// Whether sparse extents are marked for grains of zeros.
    pub(super) fn zeroed_grain(&self) -> bool {
        self.options.zeroed_grain
    }
}
