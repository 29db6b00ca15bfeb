//! What a disk is put together from: stretches of zeros, flat files and sparse extents, side by side.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use diskimg_core::{BlockSource, Budget, Error, Finding, Limits, MetadataCache, Printable, Result};

use crate::cowd::{self, CowdHeader};
use crate::describe::size_mismatch;
use crate::directories::{self, Directories, in_file, span};
use crate::errors::{FORMAT, corrupt, truncated};
use crate::extent_line::ExtentLine;
use crate::footer;
use crate::lookup::{Entries, Reserved, SparseExtent};
use crate::parsed;
use crate::sesparse::{self, SeSparseHeader};
use crate::sparse_header::{COMPRESSED, SECTOR, SparseHeader};
use crate::tables::{Pages, Tables};

/// Guest bytes that one file holds, or none.
pub(crate) struct Part {
    /// Guest offset of the first byte.
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) content: Content,
    /// The file's name in the descriptor, and the byte its line is at, where the image has several.
    pub(crate) line: Option<(Vec<u8>, u64)>,
}

/// What a [`Part`] holds.
pub(crate) enum Content {
    Zero,
    /// Guest bytes as they are, the first one at this offset of the file.
    Flat {
        source: Arc<dyn BlockSource>,
        offset: u64,
    },
    Sparse(Box<SparseExtent>),
}

impl Part {
    /// Guest offset of the first byte behind the part.
    pub(crate) const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// A guest range of the part as a range of its flat file.
    pub(crate) fn in_flat_file(&self, range: &Range<u64>) -> Range<u64> {
        let offset = match &self.content {
            Content::Flat { offset, .. } => *offset,
            Content::Zero | Content::Sparse(_) => 0,
        };
        let place = |guest: u64| guest.saturating_sub(self.start).saturating_add(offset);
        place(range.start)..place(range.end)
    }

    /// The same error, naming the file that it was met in.
    pub(crate) fn named(&self, error: Error) -> Error {
        match &self.line {
            Some((name, _)) => named(error, name),
            None => error,
        }
    }
}

/// The same error, naming the file that it was met in.
pub(crate) fn named(error: Error, name: &[u8]) -> Error {
    match error.field_name().map(|field| format!("{field} of {}", Printable::new(name))) {
        Some(field) => error.field(field),
        None => error.field(format!("extent {}", Printable::new(name))),
    }
}

/// A disk in the making.
pub(crate) struct Parts {
    pub(crate) all: Vec<Part>,
    /// Bytes of all parts so far.
    pub(crate) size: u64,
    /// What a careful importer should know of the files.
    pub(crate) findings: Vec<Finding>,
    pages: Pages,
    /// What may be kept of the places of tables.
    places: Arc<Budget>,
}

/// The file of a sparse extent, and the line that names it.
pub(crate) struct ExtentFile<'a> {
    pub(crate) source: Arc<dyn BlockSource>,
    /// None for a file that is opened without its descriptor.
    pub(crate) line: Option<&'a ExtentLine>,
    /// Whether the disk ends with it.
    pub(crate) last: bool,
    /// Whether the image consists of several files, so that errors have to say which.
    pub(crate) named: bool,
}

impl Parts {
    pub(crate) fn new(limits: &Limits) -> Self {
        let pages = Arc::new(MetadataCache::new(limits.metadata_cache));
        let places = Arc::new(Budget::new("places of grain tables", limits.metadata_cache));
        Self { all: Vec::new(), size: 0, findings: Vec::new(), pages, places }
    }

    /// Adds `len` bytes. A part of nothing is none.
    pub(crate) fn push(&mut self, len: u64, content: Content, line: Option<&ExtentLine>) {
        if len > 0 {
            let line = line.and_then(|line| Some((line.name.clone()?, line.at)));
            self.all.push(Part { start: self.size, len, content, line });
            self.size = self.size.saturating_add(len);
        }
    }

    /// Adds a hosted sparse extent.
    pub(crate) fn push_hosted(&mut self, file: &ExtentFile<'_>, header: &SparseHeader) -> Result<()> {
        let capacity = self.agreed_size(header.capacity(), file)?;
        if capacity == 0 {
            return Ok(());
        }
        let (header, at) = match header.has_footer() {
            true => footer::find(file.source.as_ref(), header)?,
            false => (header.clone(), 0),
        };
        let compressed = header.has(COMPRESSED);
        let tables = Tables::new(
            Arc::clone(&file.source),
            Arc::clone(&self.pages),
            self.all.len() as u64,
            4,
            compressed,
        );
        let directories = Directories::of(&header, at, file.source.size())?;
        let Directories { first: directory, second: redundant, .. } = directories;
        self.findings.extend(directories::look_through(file.source.as_ref(), &header, &directories)?);
        self.findings.extend(directories.finding);
        let extent = SparseExtent {
            tables,
            entries: Entries::Hosted { compressed },
            grain_bytes: header.grain_bytes(),
            entries_per_table: header.entries_per_table.into(),
            directory,
            redundant,
            capacity,
            guest_start: self.size,
            reserved: directories::reserved(&header, directory, redundant),
            overhead: header.overhead_sectors.saturating_mul(SECTOR),
            places: OnceLock::new(),
            budget: Arc::clone(&self.places),
        };
        self.push_sparse(extent, file);
        Ok(())
    }

    /// Adds a sparse extent of ESX.
    pub(crate) fn push_cowd(&mut self, file: &ExtentFile<'_>, header: &CowdHeader) -> Result<()> {
        let capacity = self.agreed_size(header.capacity(), file)?;
        if capacity == 0 {
            return Ok(());
        }
        let directory = u64::from(header.directory_sectors).saturating_mul(SECTOR);
        let entries = capacity.div_ceil(header.grain_bytes().saturating_mul(cowd::ENTRIES_PER_TABLE).max(1));
        let area = span(directory, entries.saturating_mul(4));
        in_file("gdOffset", 20, &area, file.source.size())?;
        let tables =
            Tables::new(Arc::clone(&file.source), Arc::clone(&self.pages), self.all.len() as u64, 4, false);
        let extent = SparseExtent {
            tables,
            entries: Entries::Cowd,
            grain_bytes: header.grain_bytes(),
            entries_per_table: cowd::ENTRIES_PER_TABLE,
            directory,
            redundant: None,
            capacity,
            guest_start: self.size,
            reserved: vec![
                Reserved { what: "header", range: 0..cowd::HEADER_BYTES },
                Reserved { what: "grain directory", range: area },
            ],
            overhead: 0,
            places: OnceLock::new(),
            budget: Arc::clone(&self.places),
        };
        self.push_sparse(extent, file);
        Ok(())
    }

    /// Adds a space-efficient sparse extent of ESXi.
    pub(crate) fn push_sesparse(
        &mut self,
        file: &ExtentFile<'_>,
        header: &SeSparseHeader,
        limits: &Limits,
    ) -> Result<()> {
        let volatile = header.volatile_sectors.saturating_mul(SECTOR);
        let bytes = parsed::read(file.source.as_ref(), "volatile header", volatile, SECTOR, limits)?;
        sesparse::check_volatile(&bytes, volatile)?;
        let capacity = self.agreed_size(header.capacity(), file)?;
        if capacity == 0 {
            return Ok(());
        }
        let directory = header.directory_sectors.saturating_mul(SECTOR);
        let area = span(directory, header.directory_size_sectors.saturating_mul(SECTOR));
        in_file("grain directory offset", 128, &area, file.source.size())?;
        let tables = Tables::new(
            Arc::clone(&file.source),
            Arc::clone(&self.pages),
            self.all.len() as u64,
            sesparse::ENTRY_BYTES,
            false,
        );
        let extent = SparseExtent {
            tables,
            entries: Entries::SeSparse(header.areas),
            grain_bytes: SeSparseHeader::grain_bytes(),
            entries_per_table: sesparse::ENTRIES_PER_TABLE,
            directory,
            redundant: None,
            capacity,
            guest_start: self.size,
            reserved: vec![
                Reserved { what: "header", range: 0..SECTOR },
                Reserved { what: "volatile header", range: span(volatile, SECTOR) },
                Reserved { what: "grain directory", range: area },
            ],
            overhead: 0,
            places: OnceLock::new(),
            budget: Arc::clone(&self.places),
        };
        self.push_sparse(extent, file);
        Ok(())
    }

    fn push_sparse(&mut self, extent: SparseExtent, file: &ExtentFile<'_>) {
        let line = file.line.filter(|_| file.named);
        self.push(extent.capacity, Content::Sparse(Box::new(extent)), line);
    }

    /// The bytes that a sparse extent stands for: what its header says, as QEMU has it, unless its line in the
    /// descriptor says less. VirtualBox rounds the header up and leaves the line exact.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for a header that says less where another extent follows:
    /// everything behind it would move.
    fn agreed_size(&mut self, capacity: u64, file: &ExtentFile<'_>) -> Result<u64> {
        let Some(line) = file.line.filter(|line| line.bytes() != capacity) else { return Ok(capacity) };
        if capacity < line.bytes() && !file.last {
            return Err(corrupt("capacity")
                .found(capacity)
                .expected(format_args!("{} bytes, as the descriptor says", line.bytes())));
        }
        // Of the only file of an image, its description tells.
        if file.named {
            self.findings.push(size_mismatch(capacity, line));
        }
        Ok(capacity.min(line.bytes()))
    }
}

/// Checks that a flat file has the bytes that its line in the descriptor promises.
pub(crate) fn check_flat(line: &ExtentLine, size: u64) -> Result<u64> {
    let offset = line.offset_sectors.saturating_mul(SECTOR);
    match offset.checked_add(line.bytes()) {
        Some(end) if end <= size => Ok(offset),
        _ => Err(truncated("extent")
            .format(FORMAT)
            .at(line.at)
            .found(format_args!("a file of {size} bytes"))
            .expected(format_args!("{} bytes from byte {offset} on", line.bytes()))),
    }
}
