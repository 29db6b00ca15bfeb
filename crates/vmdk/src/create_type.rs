//! The `createType` of a descriptor: which kinds of files the image may have.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Header"; the later names of ESXi are in no document.

use diskimg_core::Result;

use crate::descriptor::Value;
use crate::errors::{corrupt, unsupported};
use crate::extent_line::{ExtentLine, ExtentType};

/// What an image consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// Hosted sparse extents, in one file or split.
    Sparse,
    /// Files of guest bytes.
    Flat,
    /// Sparse extents of ESX.
    VmfsSparse,
    /// Space-efficient sparse extents of ESXi.
    SeSparse,
    /// Files of any kind.
    Custom,
    /// Devices or partitions of the host: never opened.
    Device,
}

/// Every name in use, in the spelling of those who write it.
const NAMES: [(&str, Layout); 23] = [
    ("monolithicSparse", Layout::Sparse),
    ("streamOptimized", Layout::Sparse),
    ("twoGbMaxExtentSparse", Layout::Sparse),
    ("2GbMaxExtentSparse", Layout::Sparse),
    ("monolithicFlat", Layout::Flat),
    ("twoGbMaxExtentFlat", Layout::Flat),
    ("2GbMaxExtentFlat", Layout::Flat),
    ("vmfs", Layout::Flat),
    ("vmfsThin", Layout::Flat),
    ("vmfsThick", Layout::Flat),
    ("vmfsPreallocated", Layout::Flat),
    ("vmfsEagerZeroedThick", Layout::Flat),
    ("vmfsSparse", Layout::VmfsSparse),
    ("vmfsSeSparse", Layout::SeSparse),
    ("seSparse", Layout::SeSparse),
    ("custom", Layout::Custom),
    ("fullDevice", Layout::Device),
    ("partitionedDevice", Layout::Device),
    ("vmfsRDM", Layout::Device),
    ("vmfsRawDeviceMap", Layout::Device),
    ("vmfsRDMP", Layout::Device),
    ("vmfsPassthroughRawDeviceMap", Layout::Device),
    ("vmfsRaw", Layout::Device),
];

impl Layout {
    /// What a `createType` stands for, whatever its case.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Unsupported`] for any other.
    pub(crate) fn of(create_type: &Value) -> Result<Self> {
        let word = create_type.bytes.trim_ascii();
        let found = NAMES.into_iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        found.map(|(_, layout)| layout).ok_or_else(|| {
            unsupported("createType").at(create_type.at).found_name(word).expected("a known type")
        })
    }

    /// Checks that files of this kind belong to such an image.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] when they do not.
    pub(crate) fn check(self, create_type: &Value, line: &ExtentLine) -> Result<()> {
        let fits = match (self, line.kind) {
            (Self::Custom | Self::Device, _) | (_, ExtentType::Zero) => true,
            (Self::Sparse, kind) => kind == ExtentType::Sparse,
            (Self::Flat, kind) => matches!(kind, ExtentType::Flat | ExtentType::Vmfs),
            (Self::VmfsSparse, kind) => kind == ExtentType::VmfsSparse,
            (Self::SeSparse, kind) => kind == ExtentType::SeSparse,
        };
        if fits {
            return Ok(());
        }
        let name = String::from_utf8_lossy(create_type.bytes.trim_ascii()).into_owned();
        Err(corrupt("extent type")
            .at(line.at)
            .found(line.kind.name())
            .expected(format_args!("one that fits the createType {}", name.escape_debug())))
    }
}

/// Whether a name is that of a device: not for any resolver to open.
pub(crate) fn is_device(name: &[u8]) -> bool {
    let starts: [&[u8]; 5] = [b"/dev/", b"/vmfs/devices/", br"\\.\", br"\\?\", b"//./"];
    starts.iter().any(|start| name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn named(name: &str) -> Value {
        Value { bytes: name.into(), at: 9 }
    }

    #[test]
    fn both_spellings_and_any_case_are_known() {
        for name in ["twoGbMaxExtentFlat", "2GbMaxExtentFlat", "2gbmaxextentflat ", "VMFS"] {
            assert_eq!(Layout::of(&named(name)).unwrap(), Layout::Flat, "{name}");
        }
        let error = Layout::of(&named("tape")).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Unsupported, Some(9)));
    }

    #[test]
    fn devices_are_known_by_their_names() {
        for name in ["/dev/sda", r"\\.\PhysicalDrive0", "/VMFS/devices/disks/naa.1"] {
            assert!(is_device(name.as_bytes()), "{name}");
        }
        for name in ["dev/sda", "disk-flat.vmdk", "/devices"] {
            assert!(!is_device(name.as_bytes()), "{name}");
        }
    }
}
