//! Formats that are recognised by name but not supported.
//!
//! Sources of the magics: VHD specification 1.0 (the footer, of which dynamic images have a copy at their start),
//! the `koly` block of Apple's UDIF as `hdiutil` writes it, [MS-VHDX]
//! 2.2.1, Bochs's `hdimage.h`, the first lines of a file by `create_compressed_fs` of cloop 2, QEMU `docs/interop/qed_spec`, `docs/interop/parallels`, `qcow` version 1 header, LUKS1 on-disk
//! format 1.2.3 and LUKS2 2.1, PKWARE APPNOTE 4.3.7, 4.3.16 and 8.5.3,
//! POSIX ustar, 7-Zip `7zFormat.txt`, LZ4 frame format 1.6, lzop `conf.h`, `lzma-file-format.txt` of XZ Utils, `zstd_v01.h`
//! to `zstd_v07.h` of libzstd.

use diskimg_core::Format;

use crate::archive::{TAR, is_tar};

/// A format that is recognised by fixed bytes at a fixed offset.
struct ForeignFormat {
    format: Format,
    offset: usize,
    magic: &'static [u8],
}

const fn known(name: &'static str, offset: usize, magic: &'static [u8]) -> ForeignFormat {
    ForeignFormat { format: Format::new(name), offset, magic }
}

static KNOWN: &[ForeignFormat] = &[
    known("qcow", 0, b"QFI\xfb\0\0\0\x01"),
    known("vhdx", 0, b"vhdxfile"),
    known("vhd", 0, b"conectix"),
    known("qed", 0, b"QED\0"),
    known("parallels", 0, b"WithoutFreeSpace"),
    known("parallels", 0, b"WithouFreSpacExt"),
    known("bochs", 0, b"Bochs Virtual HD Image\0"),
    known("cloop", 0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),
    known("luks", 0, b"LUKS\xba\xbe"),
    known("zip", 0, b"PK\x03\x04"),
    // An empty archive, and one in several parts.
    known("zip", 0, b"PK\x05\x06"),
    known("zip", 0, b"PK\x07\x08"),
    known("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    known("bzip2", 0, b"BZh"),
    known("lz4", 0, b"\x04\x22\x4d\x18"),
    // The legacy frame, as in kernel images.
    known("lz4", 0, b"\x02\x21\x4c\x18"),
    known("lzip", 0, b"LZIP"),
    known("compress", 0, b"\x1f\x9d"),
    known("lzop", 0, b"\x89LZO\0\r\n\x1a\n"),
    // The presets of `xz --format=lzma`, by the size of the dictionary.
    known("lzma", 0, b"\x5d\0\0\x04\0"),
    known("lzma", 0, b"\x5d\0\0\x10\0"),
    known("lzma", 0, b"\x5d\0\0\x20\0"),
    known("lzma", 0, b"\x5d\0\0\x40\0"),
    known("lzma", 0, b"\x5d\0\0\x80\0"),
    known("lzma", 0, b"\x5d\0\0\0\x01"),
    known("lzma", 0, b"\x5d\0\0\0\x02"),
    known("lzma", 0, b"\x5d\0\0\0\x04"),
    // Frames of zstd before 0.8.
    known("zstd-0.1", 0, b"\x1e\xb5\x2f\xfd"),
    known("zstd-0.2", 0, b"\x22\xb5\x2f\xfd"),
    known("zstd-0.3", 0, b"\x23\xb5\x2f\xfd"),
    known("zstd-0.4", 0, b"\x24\xb5\x2f\xfd"),
    known("zstd-0.5", 0, b"\x25\xb5\x2f\xfd"),
    known("zstd-0.6", 0, b"\x26\xb5\x2f\xfd"),
    known("zstd-0.7", 0, b"\x27\xb5\x2f\xfd"),
    known("rar", 0, b"Rar!\x1a\x07"),
    known("tar", 257, b"ustar\0"),
    known("tar", 257, b"ustar  "),
    known("wim", 0, b"MSWIM\0\0\0"),
    // Formats that are disabled in this build.
    #[cfg(not(feature = "qcow2"))]
    known("qcow2", 0, b"QFI\xfb"),
    #[cfg(not(feature = "vmdk"))]
    known("vmdk", 0, b"KDMV"),
    #[cfg(not(feature = "vmdk"))]
    known("vmdk", 0, b"COWD"),
    #[cfg(not(feature = "vmdk"))]
    known("vmdk", 0, b"\xbe\xba\xfe\xca\0\0\0\0"),
    #[cfg(not(feature = "vmdk"))]
    known("vmdk", 0, b"# Disk DescriptorFile"),
    #[cfg(not(feature = "vdi"))]
    known("vdi", 64, b"\x7f\x10\xda\xbe"),
];

/// The unsupported format of a file with these first bytes. A tar of Unix V7 has no magic.
pub(crate) fn recognise(head: &[u8]) -> Option<Format> {
    let matches = |known: &&ForeignFormat| {
        let end = known.offset.saturating_add(known.magic.len());
        head.get(known.offset..end) == Some(known.magic)
    };
    let by_magic = KNOWN.iter().find(matches).map(|known| known.format);
    by_magic.or_else(|| is_tar(head).then_some(TAR))
}

/// The length of a trailer in bytes. Some formats are a raw disk with a trailer.
pub(crate) const TRAILER: usize = 512;

/// The format of a file with these last 512 bytes: a VHD of fixed size, or a DMG.
pub(crate) fn recognise_trailer(trailer: &[u8]) -> Option<Format> {
    let trailer: &[u8; TRAILER] = trailer.try_into().ok()?;
    let word = |at: usize| trailer.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word));
    if trailer.starts_with(b"koly") && word(8) == Some(512) {
        return Some(Format::new("dmg"));
    }
    // The checksum is the inverted sum of all other bytes.
    let sum: u32 = trailer.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = trailer.get(64..68)?.iter().map(|byte| u32::from(*byte)).sum();
    let is_vhd = trailer.starts_with(b"conectix") && word(64) == Some(!sum.saturating_sub(own));
    is_vhd.then_some(Format::new("vhd"))
}

/// The unsupported format with this name.
pub(crate) fn by_name(name: &str) -> Option<Format> {
    let with_trailer = (name == "dmg").then_some(Format::new("dmg"));
    KNOWN.iter().find(|known| known.format.name() == name).map(|known| known.format).or(with_trailer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_formats_are_recognised() {
        let mut tar = vec![0; 512];
        tar[257..263].copy_from_slice(b"ustar\0");
        let cases: [(&[u8], &str); 13] = [
            (b"conectix", "vhd"),
            (b"vhdxfile", "vhdx"),
            (b"QED\0", "qed"),
            (b"Bochs Virtual HD Image\0", "bochs"),
            (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0", "cloop"),
            (b"LUKS\xba\xbe\0\x01", "luks"),
            (b"PK\x03\x04", "zip"),
            (b"PK\x05\x06", "zip"),
            (b"\x02\x21\x4c\x18", "lz4"),
            (&tar, "tar"),
            (b"\x1f\x9d\x90", "compress"),
            (b"\x5d\0\0\x80\0\xff\xff", "lzma"),
            (b"\x27\xb5\x2f\xfd", "zstd-0.7"),
        ];
        for (head, name) in cases {
            assert_eq!(recognise(head), Some(Format::new(name)));
        }
        assert_eq!(recognise(b""), None);
        assert_eq!(recognise(b"#!/bin/sh\n#V2.0 Format\nexit"), None);
        assert_eq!(recognise(&[0; 1024]), None);
    }

    #[test]
    fn trailer_is_recognised_only_if_it_is_complete() {
        let mut footer = [0; TRAILER];
        footer[..8].copy_from_slice(b"conectix");
        footer[60..64].copy_from_slice(&2_u32.to_be_bytes());
        let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(recognise_trailer(&footer), None);
        footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
        assert_eq!(recognise_trailer(&footer), Some(Format::new("vhd")));
        assert_eq!(recognise_trailer(&footer[..511]), None);
        let mut koly = [0; TRAILER];
        koly[..12].copy_from_slice(b"koly\0\0\0\x04\0\0\x02\0");
        assert_eq!(recognise_trailer(&koly), Some(Format::new("dmg")));
    }
}
