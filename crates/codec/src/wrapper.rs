//! The kinds of compressed files.

use diskimg_core::Format;

/// The name of the finding about bytes that were ignored after the end of the compressed data.
pub const TRAILING_DATA: &str = "trailing_data";

/// The first byte, and the others, of the magic of a skippable frame. Source: RFC 8878, section 3.1.2.
const SKIPPABLE: std::ops::RangeInclusive<u8> = 0x50..=0x5F;
const SKIPPABLE_REST: [u8; 3] = [0x2A, 0x4D, 0x18];

/// A compressed file around an image.
///
/// ```
/// use diskimg_codec::Wrapper;
/// assert_eq!(Wrapper::recognise(&[0xFD, b'7', b'z', b'X', b'Z', 0, 0]), Some(Wrapper::Xz));
/// assert_eq!(Wrapper::recognise(b"QFI\xFB"), None);
/// assert_eq!(Wrapper::by_name("gz"), Some(Wrapper::Gzip));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Wrapper {
    /// gzip, RFC 1952.
    Gzip,
    /// xz, "The .xz File Format" 1.2.1.
    Xz,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Wrapper {
    /// All wrappers.
    pub const ALL: &'static [Self] = &[Self::Gzip, Self::Xz, Self::Zstd];

    /// The number of first bytes of a file that [`Wrapper::recognise`] needs.
    pub const HEAD: usize = 6;

    /// Returns the wrapper whose magic is at offset 0 of `head`.
    ///
    /// For gzip the method must also be deflate, because its magic of two bytes alone matches too many other
    /// files. A zstd file may start with a skippable frame. An LZ4 file may too; its decompression is an error.
    #[must_use]
    pub fn recognise(head: &[u8]) -> Option<Self> {
        let skippable = head.first().is_some_and(|byte| SKIPPABLE.contains(byte))
            && head.get(1..).is_some_and(|rest| rest.starts_with(&SKIPPABLE_REST));
        let with_magic = Self::ALL.iter().copied().find(|wrapper| head.starts_with(wrapper.magic()));
        with_magic.or(skippable.then_some(Self::Zstd))
    }

    /// Returns the wrapper of this name or file name extension: `gzip` or `gz`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name || kind.extensions().contains(&name))
    }

    /// The name as users type it: `gzip`, `xz`, `zstd`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The file name extensions without the dot, the usual one first.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &["gz"],
            Self::Xz => &["xz"],
            Self::Zstd => &["zst", "zstd"],
        }
    }

    /// The name as a format, for errors.
    #[must_use]
    pub const fn format(self) -> Format {
        Format::new(self.name())
    }

    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1F, 0x8B, 8],
            Self::Xz => &[0xFD, b'7', b'z', b'X', b'Z', 0],
            Self::Zstd => &[0x28, 0xB5, 0x2F, 0xFD],
        }
    }
}

impl std::fmt::Display for Wrapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapper_is_recognised_by_magic_name_and_extensions() {
        for &wrapper in Wrapper::ALL {
            let magic = wrapper.magic();
            assert_eq!(Wrapper::recognise(magic), Some(wrapper));
            assert_eq!(Wrapper::recognise(&magic[..magic.len() - 1]), None);
            assert!(magic.len() <= Wrapper::HEAD);
            assert_eq!(Wrapper::by_name(wrapper.name()), Some(wrapper));
            for extension in wrapper.extensions() {
                assert_eq!(Wrapper::by_name(extension), Some(wrapper));
            }
        }
    }

    #[test]
    fn zstd_file_may_start_with_any_skippable_frame() {
        for byte in 0x4F..=0x60 {
            let expected = (0x50..0x60).contains(&byte).then_some(Wrapper::Zstd);
            assert_eq!(Wrapper::recognise(&[byte, 0x2A, 0x4D, 0x18, 0, 0]), expected);
            assert_eq!(Wrapper::recognise(&[byte, 0x2A, 0x4D, 0x19, 0, 0]), None);
            assert_eq!(Wrapper::recognise(&[byte, 0x2A, 0x4D]), None);
        }
    }

    #[test]
    fn gzip_with_another_method_is_not_recognised() {
        assert_eq!(Wrapper::recognise(&[0x1F, 0x8B, 7]), None);
        assert_eq!(Wrapper::recognise(&[0x1F, 0x8B]), None);
        assert_eq!(Wrapper::recognise(&[]), None);
        assert_eq!(Wrapper::by_name("bzip2"), None);
    }
}
