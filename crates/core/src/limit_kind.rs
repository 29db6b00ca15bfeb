//! The names of the limits.

/// A limit that a caller can change: a field of [`Limits`](crate::Limits), or the size of temporary files.
///
/// ```
/// use diskimg_core::{LimitKind, Limits};
/// let mut limits = Limits::default();
/// let kind = LimitKind::by_name("decoder-memory").expect("a limit of this name");
/// limits.set(kind, 256 << 20)?;
/// assert_eq!((limits.decoder_memory, limits.value(kind)), (256 << 20, Some(256 << 20)));
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LimitKind {
    /// [`Limits::virtual_size`](crate::Limits::virtual_size).
    VirtualSize,
    /// [`Limits::metadata_cache`](crate::Limits::metadata_cache).
    Tables,
    /// [`Limits::decoder_memory`](crate::Limits::decoder_memory).
    DecoderMemory,
    /// [`Limits::chain_depth`](crate::Limits::chain_depth).
    ChainDepth,
    /// [`Limits::snapshots`](crate::Limits::snapshots).
    Snapshots,
    /// [`Limits::header_bytes`](crate::Limits::header_bytes).
    HeaderBytes,
    /// [`Limits::probed_bytes`](crate::Limits::probed_bytes).
    ProbedBytes,
    /// The size of temporary files. It is not a field of [`Limits`](crate::Limits).
    TemporaryFiles,
}

/// All limits with their names. Front ends use these names for their options and print them in errors.
const NAMES: [(LimitKind, &str); 8] = [
    (LimitKind::VirtualSize, "virtual-size"),
    (LimitKind::Tables, "metadata-cache"),
    (LimitKind::DecoderMemory, "decoder-memory"),
    (LimitKind::ChainDepth, "chain-depth"),
    (LimitKind::Snapshots, "snapshots"),
    (LimitKind::HeaderBytes, "header-bytes"),
    (LimitKind::ProbedBytes, "probed-bytes"),
    (LimitKind::TemporaryFiles, "temporary-files"),
];

impl LimitKind {
    /// All limits, in the order of the fields of [`Limits`](crate::Limits).
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(kind, _)| kind)
    }

    /// The name: `virtual-size`, `metadata-cache`, `decoder-memory`, `chain-depth`, `snapshots`, `header-bytes`,
    /// `probed-bytes`, `temporary-files`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// A description of one line.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::VirtualSize => "the largest virtual size of an image, in bytes",
            Self::Tables => "the tables cached for one disk, in bytes",
            Self::DecoderMemory => "the dictionary or window of a decoder, in bytes",
            Self::ChainDepth => "the number of layers below the image",
            Self::Snapshots => "the number of internal snapshots that are listed",
            Self::HeaderBytes => {
                "the names, descriptions and lists kept from the headers of an image, in bytes"
            }
            Self::ProbedBytes => {
                "the decompressed bytes that a probe reads of a compressed stream of unknown format"
            }
            Self::TemporaryFiles => "the size of a temporary file, in bytes",
        }
    }

    /// Returns the limit of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        NAMES.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind)
    }
}

impl std::fmt::Display for LimitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Limits};

    #[test]
    fn each_field_of_the_limits_has_a_name() {
        let mut limits = Limits::default();
        for (value, kind) in (1000..).zip(LimitKind::all()) {
            assert_eq!(LimitKind::by_name(kind.name()), Some(kind));
            match kind {
                LimitKind::TemporaryFiles => assert_eq!(limits.value(kind), None),
                _ => {
                    limits.set(kind, value).unwrap();
                    assert_eq!(limits.value(kind), Some(value));
                }
            }
        }
        // A field that is added must be added here and to the names.
        let named = Limits {
            virtual_size: 1000,
            metadata_cache: 1001,
            decoder_memory: 1002,
            chain_depth: 1003,
            snapshots: 1004,
            header_bytes: 1005,
            probed_bytes: 1006,
        };
        assert_eq!(limits, named);
        assert_eq!(LimitKind::by_name("speed"), None);
    }

    #[test]
    fn value_that_does_not_fit_a_limit_is_refused() {
        let mut limits = Limits::default();
        for (kind, value) in [(LimitKind::ChainDepth, 1 << 32), (LimitKind::TemporaryFiles, 1)] {
            let error = limits.set(kind, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(kind.name()), "{error}");
        }
        assert_eq!(limits, Limits::default());
    }
}
