//! Construction of a disk from its extents, and the checks of each extent's header against its file.

use std::sync::Arc;

use diskimg_core::{
    BlockSource, Budget, Finding, GuestOffset, HostOffset, Limits, MetadataCache, OpenOptions, Result,
};

use crate::addr::{SECTOR, sector_offset, span};
use crate::cowd::{self, CowdHeader};
use crate::entry_format::EntryFormat;
use crate::errors::{corrupt, truncated};
use crate::extent_line::ExtentLine;
use crate::extents::{DescriptorExtents, ExtentContent};
use crate::file_head::read_structure;
use crate::findings::size_mismatch;
use crate::footer;
use crate::geometry::Geometry;
use crate::grain_directories;
use crate::grain_tables::{GrainDirectories, GrainTables, TableLayout};
use crate::metadata_areas::{MetadataAreas, check_in_file};
use crate::own_size::own_size;
use crate::sesparse::{self, SeSparseHeader};
use crate::sparse_extent::SparseExtent;
use crate::sparse_header::{COMPRESSED, SparseHeader};
use crate::table_file::{PageCache, TableFile};

/// A disk under construction. Extents are appended in the order of the descriptor.
pub(crate) struct DiskBuilder {
    extents: DescriptorExtents,
    findings: Vec<Finding>,
    pages: PageCache,
    ranges_budget: Arc<Budget>,
}

/// The file of a sparse extent, and the line that names it.
pub(crate) struct ExtentFile<'a> {
    pub(crate) source: Arc<dyn BlockSource>,
    /// `None` for a file that is opened without its descriptor.
    pub(crate) line: Option<&'a ExtentLine>,
    /// True for the last extent of the disk.
    pub(crate) last: bool,
    /// True in an image of several files, where errors give the file name.
    pub(crate) named: bool,
}

impl DiskBuilder {
    pub(crate) fn new(options: &OpenOptions<'_>) -> Self {
        let limits = &options.limits;
        Self {
            extents: DescriptorExtents::default(),
            findings: Vec::new(),
            pages: Arc::new(MetadataCache::in_group(limits.metadata_cache, &options.caches)),
            ranges_budget: Arc::new(limits.table_budget("ranges of grain tables")),
        }
    }

    /// The virtual size of the extents so far.
    pub(crate) fn size(&self) -> u64 {
        self.extents.size()
    }

    /// Returns the extents, and the findings on their files.
    pub(crate) fn finish(self) -> (DescriptorExtents, Vec<Finding>) {
        (self.extents, self.findings)
    }

    /// Appends an extent that reads as zeros.
    pub(crate) fn push_zeros(&mut self, len: u64) {
        self.extents.push(len, ExtentContent::Zero, None);
    }

    /// Appends a flat extent.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] if the file is smaller than its line states.
    pub(crate) fn push_flat(&mut self, line: &ExtentLine, source: Arc<dyn BlockSource>) -> Result<()> {
        let offset = line.file_offset();
        let size = source.size();
        if offset.0.checked_add(line.bytes()).is_none_or(|end| end > size) {
            let found = format!("a file of {size} bytes");
            let expected = format!("{} bytes from byte {} on", line.bytes(), offset.0);
            return Err(truncated("extent").at(line.at).found(found).expected(expected));
        }
        self.extents.push(line.bytes(), ExtentContent::Flat { source, offset }, Some(line));
        Ok(())
    }

    /// Appends a hosted sparse extent.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Truncated`] if footer or directories
    /// are damaged.
    pub(crate) fn push_hosted(&mut self, file: &ExtentFile<'_>, header: &SparseHeader) -> Result<()> {
        let Some(capacity) = self.agreed_size(header.capacity(), header.grain_bytes(), file)? else {
            return Ok(());
        };
        let source = file.source.as_ref();
        let (header, at) = match header.has_footer() {
            true => {
                let (footer, finding) = footer::find(source, header)?;
                self.findings.extend(finding);
                (footer.header, footer.at)
            }
            false => (header.clone(), HostOffset(0)),
        };
        let (directories, finding) = grain_directories::select(&header, at, source.size())?;
        self.findings.extend(grain_directories::damaged_entries(source, &header, directories)?);
        self.findings.extend(finding);
        let format = EntryFormat::Hosted { compressed: header.has(COMPRESSED) };
        let geometry = Geometry::new(header.grain_bytes(), header.entries_per_table.into(), capacity);
        let areas = grain_directories::areas(&header, directories);
        let overhead = sector_offset(header.overhead_sectors);
        self.push_sparse(file, TableLayout { format, geometry, directories, areas }, overhead);
        Ok(())
    }

    /// Appends a sparse extent of ESX.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Truncated`] if the file ends before its directory.
    pub(crate) fn push_cowd(&mut self, file: &ExtentFile<'_>, header: &CowdHeader) -> Result<()> {
        let Some(capacity) = self.agreed_size(header.capacity, header.grain_bytes, file)? else {
            return Ok(());
        };
        let geometry = Geometry::new(header.grain_bytes, cowd::ENTRIES_PER_TABLE, capacity);
        let directory = span(header.directory, geometry.tables().saturating_mul(4));
        check_in_file("gdOffset", 20, &directory, file.source.size())?;
        let directories = GrainDirectories { primary: header.directory, redundant: None };
        let first = span(HostOffset(0), cowd::HEADER_BYTES);
        let areas = MetadataAreas::new(vec![("header", first), ("grain directory", directory)]);
        let format = EntryFormat::Cowd;
        self.push_sparse(file, TableLayout { format, geometry, directories, areas }, HostOffset(0));
        Ok(())
    }

    /// Appends a space-efficient sparse extent of ESXi.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Unsupported`] if its journal must be replayed,
    /// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Truncated`] if volatile header or
    /// directory are damaged.
    pub(crate) fn push_sesparse(
        &mut self,
        file: &ExtentFile<'_>,
        header: &SeSparseHeader,
        limits: &Limits,
    ) -> Result<()> {
        let volatile = header.volatile_header;
        let bytes = read_structure(file.source.as_ref(), "volatile header", volatile, SECTOR, limits)?;
        sesparse::check_volatile(&bytes, volatile)?;
        let grain = sesparse::GRAIN_BYTES;
        let Some(capacity) = self.agreed_size(header.capacity, grain, file)? else { return Ok(()) };
        let directory = header.directory.clone();
        check_in_file("grain directory offset", 128, &directory, file.source.size())?;
        let format = EntryFormat::SeSparse(header.areas);
        let geometry = Geometry::new(grain, sesparse::ENTRIES_PER_TABLE, capacity);
        let directories = GrainDirectories { primary: directory.start, redundant: None };
        let areas = MetadataAreas::new(vec![
            ("header", span(HostOffset(0), SECTOR)),
            ("volatile header", span(volatile, SECTOR)),
            ("grain directory", directory),
        ]);
        self.push_sparse(file, TableLayout { format, geometry, directories, areas }, HostOffset(0));
        Ok(())
    }

    fn push_sparse(&mut self, file: &ExtentFile<'_>, layout: TableLayout, overhead: HostOffset) {
        let number = self.extents.len() as u64;
        let (source, pages) = (Arc::clone(&file.source), Arc::clone(&self.pages));
        let entries = TableFile::new(source, pages, number, layout.format);
        let capacity = layout.geometry.capacity();
        let tables = GrainTables::new(entries, layout, GuestOffset(self.size()));
        let extent = SparseExtent::new(tables, overhead, Arc::clone(&self.ranges_budget));
        let line = file.line.filter(|_| file.named);
        self.extents.push(capacity, ExtentContent::Sparse(Box::new(extent)), line);
    }

    /// Returns the size of a sparse extent. In an image of several files it is the capacity in its header, as in
    /// QEMU, or the size in its line if that is smaller; in one file it is [`own_size`]. `None` if the size is 0: such
    /// an extent is not part of the disk.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if the capacity is smaller and another extent follows: all of its
    /// bytes would move.
    fn agreed_size(&mut self, capacity: u64, grain: u64, file: &ExtentFile<'_>) -> Result<Option<u64>> {
        let size = match file.line {
            None => capacity,
            // The description of the head has the finding on a difference.
            Some(line) if !file.named => own_size(capacity, grain, line.bytes()),
            Some(line) => {
                if capacity < line.bytes() && !file.last {
                    let expected = format!("{} bytes, as in the descriptor", line.bytes());
                    return Err(corrupt("capacity").found(capacity).expected(expected));
                }
                if capacity != line.bytes() {
                    self.findings.push(size_mismatch(capacity, line));
                }
                capacity.min(line.bytes())
            }
        };
        Ok((size > 0).then_some(size))
    }
}
