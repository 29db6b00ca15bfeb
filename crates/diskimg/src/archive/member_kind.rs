//! The kind of a member of an archive: a disk, or something else.

use diskimg_codec::Wrapper;
use diskimg_core::{ErrorKind, Format};
use diskimg_raw::Content;

use crate::drivers::Drivers;
use crate::sniff::{FileParts, FormatMatches, HEAD, Sniffed};

/// The kind of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MemberKind {
    /// A disk, and whether it is an optical disc.
    Disk(DiskKind),
    /// An archive or a compressed file that is not searched for disks.
    Unsearched(Format),
    /// Anything else.
    Other,
}

/// A disk as its first bytes describe it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct DiskKind {
    /// The format, if it is certain. Raw is not, before the end of the disk.
    pub(super) format: Option<Format>,
    /// A format that is recognised but not supported.
    pub(super) unsupported: Option<Format>,
    /// True for an optical disc.
    pub(super) is_optical_disc: bool,
}

/// Formats of [`crate::foreign_formats`] that contain files, not a disk.
const ARCHIVES: [&str; 8] = ["7z", "bzip2", "lz4", "lzip", "rar", "tar", "wim", "zip"];

impl MemberKind {
    /// The kind of a member with these parts, which may still be compressed if decompression is off.
    pub(super) fn of(parts: FileParts<'_>, drivers: &Drivers) -> Self {
        let disk = |kind| Self::Disk(kind);
        match parts.sniff(drivers) {
            Ok(Sniffed::Image(format)) => disk(DiskKind { format: Some(format), ..DiskKind::default() }),
            Ok(Sniffed::Raw(Content::Zeros)) if !is_blank_disk(parts.size) => Self::Other,
            Ok(Sniffed::Raw(content)) => {
                disk(DiskKind { is_optical_disc: content.is_optical_disc(), ..DiskKind::default() })
            }
            Ok(Sniffed::Known(format)) if ARCHIVES.contains(&format.name()) => Self::Unsearched(format),
            Ok(Sniffed::Known(format)) => disk(DiskKind { unsupported: Some(format), ..DiskKind::default() }),
            // It may be a disk: compressed twice, or with decompression turned off.
            Ok(Sniffed::Wrapped(_)) => disk(DiskKind::default()),
            Err(error) if error.kind() == ErrorKind::Ambiguous => {
                let content = FormatMatches::of(parts, drivers).content;
                let is_optical_disc = content.is_some_and(Content::is_optical_disc);
                disk(DiskKind { is_optical_disc, ..DiskKind::default() })
            }
            Err(_) => Self::Other,
        }
    }

    /// The kind of a compressed member that cannot be decompressed: a disk if a limit prevents it.
    pub(super) fn of_failure(wrapper: Option<Wrapper>, error: &diskimg_core::Error) -> Self {
        match wrapper {
            _ if error.kind() == ErrorKind::Limit => Self::Disk(DiskKind::default()),
            Some(wrapper) => Self::Unsearched(wrapper.format()),
            None => Self::Other,
        }
    }
}

/// Returns true if zeros are a disk. Shorter files of zeros are usually padding; the length is our limit.
fn is_blank_disk(size: Option<u64>) -> bool {
    size.is_none_or(|size| size >= HEAD as u64 && size % 512 == 0)
}
