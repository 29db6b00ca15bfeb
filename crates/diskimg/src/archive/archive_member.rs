//! The member of an archive that an image is read from.

use diskimg_codec::Wrapper;
use diskimg_core::Format;

/// The member of an archive that an image is read from.
///
/// ```
/// use diskimg::{ErrorKind, Memory, Opener};
/// # let name = b"disk.qcow2";
/// # let mut tar = vec![0; 512];
/// # tar[..name.len()].copy_from_slice(name);
/// # tar[124..135].copy_from_slice(b"00000000000");
/// # tar[257..263].copy_from_slice(b"ustar\0");
/// # tar[148..156].fill(b' ');
/// # let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
/// # tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
/// # tar.resize(2048, 0);
/// // An archive without a disk.
/// let error = Opener::new().inspect_source(&Memory::new(tar)).unwrap_err();
/// assert_eq!((error.kind(), error.format_name().unwrap().name()), (ErrorKind::Unsupported, "tar"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveMember {
    /// The kind of archive: `ova` for a tar with an OVF descriptor, or `tar`.
    pub archive: Format,
    /// The name of the member; not yet escaped for a terminal.
    pub name: String,
    /// The compression of the member, if any.
    pub wrapper: Option<Wrapper>,
}
