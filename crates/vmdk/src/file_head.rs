//! The header of a file, and the descriptor embedded in it.

use diskimg_core::{BlockSource, Budget, Error, ErrorKind, HostOffset, Limits, Result, ensure, range};

use crate::addr::{sectors, source_range};
use crate::cowd::{self, CowdHeader};
use crate::descriptor::{self, Descriptor};
use crate::errors::{corrupt, limit, truncated};
use crate::sesparse::{self, SeSparseHeader};
use crate::sparse_header::SparseHeader;
use crate::text_probe::is_descriptor;

/// Bytes of the first read. Our choice: header and descriptor as QEMU and VirtualBox write them.
const FIRST_READ: u64 = 12_288;

/// Bytes after the NUL of a descriptor that may be left from a longer one. QEMU overwrites the `CID` without
/// leading zeros, which leaves up to 7 characters of the old text.
const LEFT_OVER: usize = 8;

/// The kind of a file, by its first bytes.
pub(crate) enum FileKind {
    /// A descriptor only; the extents are other files.
    Text,
    Hosted(SparseHeader),
    Cowd(CowdHeader),
    SeSparse(SeSparseHeader),
}

/// The header and descriptor of a file.
pub(crate) struct FileHead {
    pub(crate) kind: FileKind,
    /// The descriptor, or its error. `None` in a file that is one extent of several.
    pub(crate) descriptor: Result<Option<Descriptor>>,
    /// The offset of the descriptor in the file.
    pub(crate) descriptor_at: HostOffset,
}

impl FileHead {
    /// Reads the header of a file and the descriptor embedded in it.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFormat`] if the file is no VMDK, errors of the header otherwise. The error of a
    /// descriptor after a valid header is stored in [`FileHead::descriptor`].
    pub(crate) fn read(source: &dyn BlockSource, limits: &Limits) -> Result<Self> {
        let first = read_structure(source, "header", HostOffset(0), FIRST_READ.min(source.size()), limits)?;
        if is_descriptor(&first) == Some(true) {
            return read_text(source, limits);
        }
        let alone = |kind| Ok(Self { kind, descriptor: Ok(None), descriptor_at: HostOffset(0) });
        match first.first_chunk::<4>() {
            Some(&cowd::MAGIC) => alone(FileKind::Cowd(CowdHeader::parse(&first)?)),
            Some(_) if first.starts_with(&sesparse::signature()) => {
                alone(FileKind::SeSparse(SeSparseHeader::parse(&first)?))
            }
            _ => {
                let header = SparseHeader::parse(&first, HostOffset(0))?;
                let at = header.descriptor().map_or(HostOffset(0), |range| range.start);
                let descriptor = embedded(source, &header, &first, limits);
                Ok(Self { kind: FileKind::Hosted(header), descriptor, descriptor_at: at })
            }
        }
    }

    /// Returns the head if its descriptor is valid or absent.
    ///
    /// # Errors
    /// The error of the descriptor.
    pub(crate) fn require_descriptor(self) -> Result<Self> {
        let Self { kind, descriptor, descriptor_at } = self;
        Ok(Self { kind, descriptor: Ok(descriptor?), descriptor_at })
    }

    /// The descriptor, if there is a valid one.
    pub(crate) fn valid_descriptor(&self) -> Option<&Descriptor> {
        self.descriptor.as_ref().ok().and_then(Option::as_ref)
    }

    /// Returns true if the extents of the descriptor are other files, not this one.
    pub(crate) fn has_other_files(&self) -> bool {
        match &self.kind {
            FileKind::Text => true,
            FileKind::Hosted(header) => header.is_descriptor_only(),
            FileKind::Cowd(_) | FileKind::SeSparse(_) => false,
        }
    }
}

/// Reads a file that is a descriptor.
fn read_text(source: &dyn BlockSource, limits: &Limits) -> Result<FileHead> {
    let start = HostOffset(0);
    let max = longest_descriptor(limits);
    if source.size() > max {
        // A stream reports its size only at its end. Reading the longest descriptor first retains those bytes.
        read_structure(source, "descriptor", start, max, limits)?;
    }
    let text = read_structure(source, "descriptor", start, source.size(), limits)?;
    check_padding(&text)?;
    let descriptor = Descriptor::parse(&text, 0)?;
    let nameless = descriptor.extents.iter().find(|line| line.name.as_ref().is_some_and(Vec::is_empty));
    if let Some(line) = nameless {
        return Err(corrupt("extent line").at(line.at).expected("a file name that is not empty"));
    }
    Ok(FileHead { kind: FileKind::Text, descriptor: Ok(Some(descriptor)), descriptor_at: start })
}

/// Checks that only padding follows a descriptor that is a file of its own. Other bytes indicate a raw disk
/// whose guest wrote a descriptor into it to have it read as an image.
fn check_padding(text: &[u8]) -> Result<()> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len()).saturating_add(LEFT_OVER);
    match (0..).zip(text).skip(end).find(|(_, byte)| **byte != 0) {
        None => Ok(()),
        Some((at, _)) => Err(corrupt("descriptor").at(at).because("bytes other than zeros follow its end")),
    }
}

/// Parses the descriptor after a header. `first` holds the first bytes of the file.
pub(crate) fn embedded(
    source: &dyn BlockSource,
    header: &SparseHeader,
    first: &[u8],
    limits: &Limits,
) -> Result<Option<Descriptor>> {
    let Some(descriptor) = header.descriptor() else { return Ok(None) };
    let start = descriptor.start;
    let bytes = match range::slice(first, 0, &source_range(&descriptor)) {
        Some(bytes) => bytes,
        None => {
            let len = sectors(header.descriptor_size_sectors);
            &read_structure(source, "descriptor", start, len, limits)?
        }
    };
    Descriptor::parse(bytes, start.0).map(Some)
}

/// The longest descriptor in bytes that is read.
fn longest_descriptor(limits: &Limits) -> u64 {
    limits.header_bytes.min(descriptor::MAX_BYTES)
}

/// Reads the `len` bytes at `at`, part of `structure`.
///
/// # Errors
/// [`ErrorKind::Limit`] if they are more than the caller and [`descriptor::MAX_BYTES`] allow,
/// [`ErrorKind::Truncated`] if the file ends before them.
pub(crate) fn read_structure(
    source: &dyn BlockSource,
    structure: &str,
    at: HostOffset,
    len: u64,
    limits: &Limits,
) -> Result<Vec<u8>> {
    let size = source.size();
    let max = longest_descriptor(limits);
    ensure(len <= max, || {
        limit(structure).at(at.0).found(format_args!("{len} bytes")).expected(format_args!("at most {max}"))
    })?;
    if at.0.checked_add(len).is_none_or(|end| end > size) {
        let because = format!("it has {len} bytes, and the file ends at byte {size}");
        return Err(truncated(structure).at(at.0).because(because));
    }
    let mut bytes = Budget::new("header", max).zeroed(len)?;
    source.read_at(at.0, &mut bytes)?;
    Ok(bytes)
}

/// Returns the error with its kind changed for a file that the descriptor names as an extent: that it is of
/// unknown format means that the image is corrupt.
pub(crate) fn not_an_extent(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnknownFormat => error.with_kind(ErrorKind::Corrupt),
        _ => error,
    }
}
