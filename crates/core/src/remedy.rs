//! Remedies for errors, as a structure that each front end words.

use std::fmt;

use crate::{LimitKind, ReferenceRole};

/// A remedy for an [`Error`](crate::Error) that a caller can apply.
///
/// A front end matches on it and names its own option or setting. [`fmt::Display`] has a wording for callers of
/// the library: one clause in lower case, without a full stop.
///
/// ```
/// use diskimg_core::{ErrorKind, LimitKind, Limits, Remedy};
///
/// let error = Limits::default().check_virtual_size(1 << 60).unwrap_err();
/// let remedy = error.remedy().expect("a limit can be raised");
/// assert_eq!(remedy, Remedy::RaiseLimit(LimitKind::VirtualSize));
/// assert_eq!(remedy.to_string(), "raise the limit virtual-size if the image is trusted");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Remedy {
    /// Follow references within the directory of the image; a layer below can also be passed by the caller.
    FollowReferences {
        /// The role of the reference that was refused.
        role: ReferenceRole,
    },
    /// Pass the parent instead of having it searched for.
    NameParent,
    /// Pass the file yourself, or name a directory that contains it.
    LocateFile {
        /// The role of the file that was not found or not allowed. Only a layer below can be passed.
        role: ReferenceRole,
    },
    /// Pass the right parent, or allow one with another identity than the one that is recorded.
    AllowParentMismatch,
    /// Name the format of the backing file, or record it in the image.
    RecordBackingFormat,
    /// Open the descriptor of the whole disk, or allow a part of it to be read alone.
    AllowPart,
    /// Open the device that an extent names as a raw disk.
    ReadDevice,
    /// Open the file as raw; it may be a raw disk that nothing identifies.
    AllowRaw,
    /// Allow a member of an archive to be read as raw; it may be a raw disk that nothing identifies. As raw, the file
    /// itself would be the archive.
    AllowRawMember,
    /// Allow the decompression of a compressed file.
    Decompress,
    /// Name the format of the image instead of having it detected.
    PinFormat,
    /// Name the format of the backing file that a new image refers to.
    NameBackingFormat,
    /// Name one disk of an archive.
    NameMember,
    /// Allow an existing target to be overwritten, or name another target.
    Force,
    /// Read an image that another process may change at the same time.
    ShareImage,
    /// Put `./` in front of a file name.
    PrefixCurrentDirectory,
    /// Raise a limit.
    RaiseLimit(LimitKind),
    /// Raise a limit to this value, which is sufficient.
    RaiseLimitTo(LimitKind, u64),
    /// Allow a temporary file, or store the uncompressed image in a file.
    AllowSpool,
    /// Read the image from a file instead of a stream.
    ReadFromFile,
    /// Write to a file instead of a stream, or choose a format or subformat that can be streamed.
    WriteToFile {
        /// A format that can be streamed.
        or_format: &'static str,
        /// The subformat of it that can, if not all can.
        or_subformat: Option<&'static str>,
    },
    /// Write to a file instead of a stream, or read the image from one.
    WriteOrReadFile,
    /// Compress the target afterwards, or choose a format that has compression.
    CompressAfterwards {
        /// A format with compression.
        or_format: &'static str,
    },
    /// Write the disk in ascending order, or with larger units.
    WriteAscending {
        /// The create option that sets the unit.
        unit_option: &'static str,
    },
    /// Give one of these create options another value: pairs of a name and a description of the value.
    SetOption(&'static [(&'static str, &'static str)]),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FollowReferences { role } if role.is_below() => {
                "allow references within the image's own directory, or pass the file yourself"
            }
            Self::FollowReferences { .. } => "allow references within the image's own directory",
            Self::NameParent => "pass the parent yourself",
            Self::LocateFile { role } if role.is_below() => {
                "pass the file yourself, or allow references within the directory that contains it"
            }
            Self::LocateFile { .. } => "allow references within the directory that contains it",
            Self::AllowParentMismatch => "pass the right parent, or allow a parent with another identity",
            Self::RecordBackingFormat => {
                "name the format yourself, or record it in the image with `qemu-img rebase -u -F`"
            }
            Self::AllowPart => "open the descriptor of the whole disk, or allow a part to be read alone",
            Self::ReadDevice => "read the device itself as a raw disk",
            Self::AllowRaw => "name the format if you know it is raw",
            Self::AllowRawMember => "allow an unrecognised member to be read as raw",
            Self::Decompress => "allow decompression",
            Self::PinFormat => "name the format you expect",
            Self::NameBackingFormat => "name the format of the backing file",
            Self::NameMember => "name the disk to read",
            Self::Force => "allow overwriting, or choose another name",
            Self::ShareImage => "turn locks off to read it anyway; the result may mix old and new data",
            Self::PrefixCurrentDirectory => "put ./ in front of the file name",
            Self::RaiseLimit(kind @ LimitKind::Tables) => {
                return write!(f, "raise the limit {kind}, or read the image from a file");
            }
            Self::RaiseLimit(kind @ LimitKind::TemporaryFiles) => {
                return write!(f, "raise the limit {kind}, or write the uncompressed image to a file first");
            }
            Self::RaiseLimit(kind) => return write!(f, "raise the limit {kind} if the image is trusted"),
            Self::RaiseLimitTo(kind, value) => {
                return write!(f, "raise the limit {kind} to {value} if the image is trusted");
            }
            Self::AllowSpool => "allow a temporary file, or write the uncompressed image to a file first",
            Self::ReadFromFile => "read the image from a file",
            Self::WriteToFile { or_format, or_subformat } => {
                return write!(f, "write to a file, or write {}", or_subformat.unwrap_or(or_format));
            }
            Self::WriteOrReadFile => "write to a file, or read the image from a file",
            Self::CompressAfterwards { or_format } => {
                return write!(f, "compress the file afterwards, or write {or_format}");
            }
            Self::WriteAscending { unit_option } => {
                return write!(f, "write the disk in ascending order, or with a larger {unit_option}");
            }
            Self::SetOption(choices) => {
                let each: Vec<_> = choices.iter().map(|(name, value)| format!("{name} to {value}")).collect();
                return write!(f, "set {}", each.join(", or "));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: [Remedy; 36] = [
        Remedy::FollowReferences { role: ReferenceRole::Backing },
        Remedy::FollowReferences { role: ReferenceRole::Extent },
        Remedy::NameParent,
        Remedy::LocateFile { role: ReferenceRole::Backing },
        Remedy::LocateFile { role: ReferenceRole::Extent },
        Remedy::AllowParentMismatch,
        Remedy::RecordBackingFormat,
        Remedy::AllowPart,
        Remedy::ReadDevice,
        Remedy::AllowRaw,
        Remedy::AllowRawMember,
        Remedy::Decompress,
        Remedy::PinFormat,
        Remedy::NameBackingFormat,
        Remedy::NameMember,
        Remedy::Force,
        Remedy::ShareImage,
        Remedy::PrefixCurrentDirectory,
        Remedy::RaiseLimit(LimitKind::VirtualSize),
        Remedy::RaiseLimit(LimitKind::DecoderMemory),
        Remedy::RaiseLimit(LimitKind::Tables),
        Remedy::RaiseLimit(LimitKind::TemporaryFiles),
        Remedy::RaiseLimit(LimitKind::ChainDepth),
        Remedy::RaiseLimit(LimitKind::Snapshots),
        Remedy::RaiseLimit(LimitKind::HeaderBytes),
        Remedy::RaiseLimitTo(LimitKind::DecoderMemory, 256 << 20),
        Remedy::AllowSpool,
        Remedy::ReadFromFile,
        Remedy::WriteToFile { or_format: "raw", or_subformat: None },
        Remedy::WriteToFile { or_format: "vmdk", or_subformat: Some("streamOptimized") },
        Remedy::WriteOrReadFile,
        Remedy::CompressAfterwards { or_format: "qcow2" },
        Remedy::WriteAscending { unit_option: "cluster_size" },
        Remedy::SetOption(&[("block_size", "64M")]),
        Remedy::SetOption(&[("cluster_size", "a larger size"), ("refcount_bits", "fewer bits")]),
        Remedy::SetOption(&[("subformat", "monolithicFlat")]),
    ];

    #[test]
    fn each_remedy_has_its_own_clause() {
        let mut clauses: Vec<String> = EACH.iter().map(Remedy::to_string).collect();
        for clause in &clauses {
            assert!(clause.starts_with(|first: char| first.is_ascii_lowercase()), "{clause}");
            assert!(!clause.ends_with('.') && !clause.contains('\n'), "{clause}");
        }
        clauses.sort();
        clauses.dedup();
        assert_eq!(clauses.len(), EACH.len());
    }

    #[test]
    fn alternatives_of_an_option_are_all_named() {
        let remedy = Remedy::SetOption(&[("cluster_size", "a larger size"), ("refcount_bits", "fewer bits")]);
        assert_eq!(remedy.to_string(), "set cluster_size to a larger size, or refcount_bits to fewer bits");
    }

    #[test]
    fn remedy_suggests_passing_a_file_only_for_a_layer_below() {
        for (role, passed) in [
            (ReferenceRole::Backing, true),
            (ReferenceRole::Parent, true),
            (ReferenceRole::DataFile, false),
            (ReferenceRole::Extent, false),
        ] {
            let clause = Remedy::FollowReferences { role }.to_string();
            assert_eq!(clause.contains("pass the file"), passed, "{role:?}");
        }
    }
}
