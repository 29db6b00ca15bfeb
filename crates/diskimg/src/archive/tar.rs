//! The members of a tar archive, from its headers one after the other. [`super::members`] reads their bytes from a
//! source, [`super::tar_stream`] from a stream.
//!
//! Source: POSIX.1-1988 section 10.1.1 (ustar), POSIX.1-2001 `pax`, and the GNU tar manual, "Basic Tar Format" (long
//! names) and "Storing Sparse Files".
//!
//! Plain and sparse files are read. Directories, devices and named pipes hold no bytes and are skipped. Every other way
//! to store a member is refused by its name, because its bytes in the archive are not the bytes of the file.

use std::ops::Range;

use diskimg_core::{Budget, Error, ErrorKind, Result, range};

use super::pax::{PaxRecords, path};
use super::sparse_map::{SparseBlocks, SparseMap, SparseStorage, map_budget};
use super::tar_header::{BLOCK, TarBlock, TarHeader, bad, unsupported};

/// The maximum number of headers in an archive. Our limit; an OVA has a handful.
const MAX_HEADERS: usize = 4096;

/// The longest extended header in bytes. Our limit.
const MAX_EXTENDED: u64 = 64 << 10;

/// A regular file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TarMember {
    pub(super) name: String,
    /// Its stored bytes in the archive.
    pub(super) range: Range<u64>,
    /// The map of a sparse file.
    pub(super) sparse: Option<SparseMap>,
    /// A key of its extended headers that is not known and was ignored, escaped.
    pub(super) ignored_key: Option<String>,
}

impl TarMember {
    /// The length of the file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.sparse.as_ref().map_or(range::len(&self.range), SparseMap::size)
    }
}

/// A member that cannot be read.
pub(super) struct RefusedMember {
    pub(super) name: String,
    /// Names the member and its storage.
    pub(super) error: Error,
    /// True for a link, which has no bytes of its own.
    pub(super) is_link: bool,
}

/// The data after a header.
pub(super) enum TarEntry {
    /// A regular file.
    File(TarMember),
    /// An extended header for the next member, to be passed to [`TarHeaders::extend`] with its type flag.
    Extension(u8, Range<u64>),
    /// A block of the map of a sparse file, to be passed to [`TarHeaders::sparse_block`].
    SparseBlock(Range<u64>),
    /// A directory, device or named pipe.
    Skipped(Range<u64>),
    /// A member that cannot be read.
    Refused(RefusedMember, Range<u64>),
}

impl TarEntry {
    /// The range of the data in the archive.
    pub(super) fn range(&self) -> &Range<u64> {
        match self {
            Self::File(TarMember { range, .. })
            | Self::Extension(_, range)
            | Self::SparseBlock(range)
            | Self::Skipped(range)
            | Self::Refused(_, range) => range,
        }
    }
}

/// Parses the headers of an archive in order.
pub(super) struct TarHeaders {
    next: u64,
    count: usize,
    extended: PaxRecords,
    /// The first key of a header for all members that is not supported, and one that was ignored.
    global: Option<String>,
    global_ignored: Option<String>,
    /// The key of the headers of the current member that was ignored.
    ignored_key: Option<String>,
    sparse: Option<SparseMember>,
    budget: Budget,
}

/// A sparse file whose map is incomplete.
struct SparseMember {
    name: String,
    range: Range<u64>,
    blocks: SparseBlocks,
}

impl Default for TarHeaders {
    fn default() -> Self {
        let extended = PaxRecords::default();
        Self {
            next: 0,
            count: 0,
            extended,
            global: None,
            global_ignored: None,
            ignored_key: None,
            sparse: None,
            budget: map_budget(),
        }
    }
}

impl TarHeaders {
    /// The offset of the next header.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Parses the block at [`TarHeaders::next`]. `None` if it ends the archive.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a header that contradicts itself, [`ErrorKind::Limit`] for more than 4096 headers,
    /// an extended one over 64 KiB or too many entries of sparse maps, [`ErrorKind::Unsupported`] for a link, device
    /// or directory with bytes.
    pub(super) fn header(&mut self, block: &TarBlock) -> Result<Option<TarEntry>> {
        let offset = self.next;
        let Some(header) = TarHeader::parse(block, offset)? else { return Ok(None) };
        self.count = self.count.saturating_add(1);
        if self.count > MAX_HEADERS {
            return Err(
                bad(ErrorKind::Limit, "members", offset).expected(format_args!("at most {MAX_HEADERS}"))
            );
        }
        let is_extension = matches!(header.kind, b'x' | b'X' | b'g' | b'L' | b'K');
        let len = if is_extension { header.len } else { self.extended.len.unwrap_or(header.len) };
        let start = offset.saturating_add(BLOCK);
        let range = start..start.saturating_add(len);
        self.next = range.end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        if is_extension {
            return match len <= MAX_EXTENDED {
                true => Ok(Some(TarEntry::Extension(header.kind, range))),
                false => Err(bad(ErrorKind::Limit, "extended header", start)
                    .found(len)
                    .expected(format_args!("at most {MAX_EXTENDED} bytes"))),
            };
        }
        let entry = self.member(header, block, range, offset)?;
        Ok(Some(self.with_ignored_key(entry)))
    }

    /// Returns the member with a header at `offset`, according to the extended headers before it.
    fn member(
        &mut self,
        header: TarHeader,
        block: &TarBlock,
        range: Range<u64>,
        offset: u64,
    ) -> Result<TarEntry> {
        let mut extended = std::mem::take(&mut self.extended);
        let sparse_name = extended.sparse.name.take();
        self.ignored_key = extended.ignored.take().or_else(|| self.global_ignored.clone());
        let name = extended.name.unwrap_or(header.name);
        let with_key = |name: String, key: &str, range| {
            let error = unsupported(&name, offset).found(format_args!("extended header key {key}"));
            TarEntry::Refused(RefusedMember { name, error, is_link: false }, range)
        };
        if let Some(key) = extended.unsupported.as_ref().or(self.global.as_ref()) {
            return Ok(with_key(name, key, range));
        }
        let storage = extended.sparse.finish(range::len(&range), offset, &self.budget)?;
        let is_plain = matches!(header.kind, 0 | b'0' | b'7');
        match storage {
            SparseStorage::Plain if header.kind == b'S' && header.is_gnu && sparse_name.is_none() => {
                let (blocks, more) = SparseBlocks::old_gnu(block, offset, &self.budget)?;
                self.sparse_member(SparseMember { name, range, blocks }, more)
            }
            SparseStorage::Plain if sparse_name.is_some() => Ok(with_key(name, "GNU.sparse.name", range)),
            SparseStorage::Plain => entry(header.kind, name, range, offset),
            SparseStorage::Mapped(map) if is_plain => {
                let name = sparse_name.unwrap_or(name);
                Ok(TarEntry::File(TarMember { name, range, sparse: Some(map), ignored_key: None }))
            }
            SparseStorage::MapInData(size) if is_plain => {
                let name = sparse_name.unwrap_or(name);
                let blocks = SparseBlocks::in_data(size, offset);
                self.sparse_member(SparseMember { name, range, blocks }, true)
            }
            SparseStorage::Unsupported(key) => Ok(with_key(name, &key, range)),
            SparseStorage::Mapped(_) | SparseStorage::MapInData(_) => Ok(with_key(name, "GNU.sparse", range)),
        }
    }

    /// Returns a sparse file, or the next block of its map if there is `more`.
    fn sparse_member(&mut self, member: SparseMember, more: bool) -> Result<TarEntry> {
        if more {
            let start = member.range.start;
            self.sparse = Some(member);
            return Ok(TarEntry::SparseBlock(start..start.saturating_add(BLOCK)));
        }
        let SparseMember { name, range, blocks } = member;
        let map = blocks.finish(range::len(&range))?;
        Ok(TarEntry::File(TarMember { name, range, sparse: Some(map), ignored_key: None }))
    }

    /// Parses a block of the map of a sparse file. Returns the next block, or the file.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a map that does not fit the file, [`ErrorKind::Limit`] for too many entries.
    pub(super) fn sparse_block(&mut self, block: &TarBlock) -> Result<TarEntry> {
        let mut member = self.sparse.take().ok_or_else(|| Error::new(ErrorKind::Internal))?;
        let more = member.blocks.push(block, &self.budget)?;
        member.range.start = member.range.start.saturating_add(BLOCK);
        if !member.blocks.is_in_data() {
            // The header does not count the blocks of the old format.
            member.range.end = member.range.end.saturating_add(BLOCK);
            self.next = self.next.saturating_add(BLOCK);
        } else if member.range.start > member.range.end {
            return Err(bad(ErrorKind::Corrupt, "sparse map", member.range.start)
                .expected("a map that ends within the data"));
        }
        let entry = self.sparse_member(member, more)?;
        Ok(self.with_ignored_key(entry))
    }

    /// Adds the key that was ignored to a file.
    fn with_ignored_key(&mut self, mut entry: TarEntry) -> TarEntry {
        if let TarEntry::File(member) = &mut entry {
            member.ignored_key = self.ignored_key.take();
        }
        entry
    }

    /// Parses an extended header of this type at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not a list of records, [`ErrorKind::Limit`] for a name over 4096 bytes.
    pub(super) fn extend(&mut self, kind: u8, bytes: &[u8], offset: u64) -> Result<()> {
        match kind {
            b'L' => self.extended.name = Some(path(bytes, offset)?),
            b'x' | b'X' => self.extended.add(kind, bytes, offset)?,
            b'g' => {
                let mut records = PaxRecords::default();
                records.add(kind, bytes, offset)?;
                self.global = self.global.take().or(records.unsupported);
                self.global_ignored = self.global_ignored.take().or(records.ignored);
            }
            // The target of a link, whose own header follows.
            _ => {}
        }
        Ok(())
    }
}

/// The error for an archive that ends at `size`, inside the data of an entry.
pub(super) fn truncated(range: &Range<u64>, size: u64) -> Error {
    bad(ErrorKind::Truncated, "size", range.start.saturating_sub(BLOCK))
        .found(range::len(range))
        .expected(format_args!("at most {}, the rest of the file", range::len(&(range.start..size))))
}

/// The entry of a member with this type flag, whose header is at `offset`.
fn entry(type_flag: u8, name: String, range: Range<u64>, offset: u64) -> Result<TarEntry> {
    let is_link = matches!(type_flag, b'1' | b'2');
    let file =
        |name| TarEntry::File(TarMember { name, range: range.clone(), sparse: None, ignored_key: None });
    let storage: &str = match type_flag {
        b'7' => return Ok(file(name)),
        // Archives older than ustar mark a directory by its name alone.
        0 | b'0' if !name.ends_with('/') => {
            return Ok(file(name));
        }
        // The names in a directory, which only restoring a backup needs.
        b'D' => return Ok(TarEntry::Skipped(range)),
        // Device, directory, named pipe, and GNU's label of a volume.
        0 | b'0' | b'3'..=b'6' | b'V' if range.is_empty() => return Ok(TarEntry::Skipped(range)),
        0 | b'0' | b'3'..=b'6' | b'V' => &format!(" with {} bytes", range::len(&range)),
        b'1' => ", a hard link",
        b'2' => ", a symbolic link",
        b'M' => ", the rest of a file from another volume",
        b'S' => ", a sparse file",
        _ => "",
    };
    let shown = char::from(type_flag).escape_debug();
    let error = unsupported(&name, offset).found(format_args!("type '{shown}'{storage}"));
    // Programs differ about the bytes of these types: without them, or with them, the next header is elsewhere.
    if !range.is_empty() && (is_link || matches!(type_flag, 0 | b'0' | b'3'..=b'6' | b'V')) {
        return Err(error);
    }
    Ok(TarEntry::Refused(RefusedMember { name, error, is_link }, range))
}
