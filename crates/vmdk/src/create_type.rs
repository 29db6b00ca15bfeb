//! The `createType` of a descriptor, and the extents that it allows.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Header". The later names of ESXi are not documented.

use diskimg_core::{Error, Result};

use crate::descriptor::Descriptor;
use crate::descriptor_value::Value;
use crate::errors::{corrupt, unsupported};
use crate::extent_line::{ExtentLine, ExtentType, keyword};

/// The extents that an image consists of, by its `createType`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CreateType {
    /// Hosted sparse extents, in one file or split.
    Sparse,
    /// Files of guest bytes, uncompressed.
    Flat,
    /// Sparse extents of ESX.
    VmfsSparse,
    /// Space-efficient sparse extents of ESXi.
    SeSparse,
    /// Extents of any type.
    Custom,
    /// Devices or partitions of the host. They are never opened.
    Device,
}

/// All names in use, spelled as their producers write them.
const NAMES: [(&str, CreateType); 23] = [
    ("monolithicSparse", CreateType::Sparse),
    ("streamOptimized", CreateType::Sparse),
    ("twoGbMaxExtentSparse", CreateType::Sparse),
    ("2GbMaxExtentSparse", CreateType::Sparse),
    ("monolithicFlat", CreateType::Flat),
    ("twoGbMaxExtentFlat", CreateType::Flat),
    ("2GbMaxExtentFlat", CreateType::Flat),
    ("vmfs", CreateType::Flat),
    ("vmfsThin", CreateType::Flat),
    ("vmfsThick", CreateType::Flat),
    ("vmfsPreallocated", CreateType::Flat),
    ("vmfsEagerZeroedThick", CreateType::Flat),
    ("vmfsSparse", CreateType::VmfsSparse),
    ("vmfsSeSparse", CreateType::SeSparse),
    ("seSparse", CreateType::SeSparse),
    ("custom", CreateType::Custom),
    ("fullDevice", CreateType::Device),
    ("partitionedDevice", CreateType::Device),
    ("vmfsRDM", CreateType::Device),
    ("vmfsRawDeviceMap", CreateType::Device),
    ("vmfsRDMP", CreateType::Device),
    ("vmfsPassthroughRawDeviceMap", CreateType::Device),
    ("vmfsRaw", CreateType::Device),
];

impl CreateType {
    /// Parses the value of a `createType`, in any case.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Unsupported`] for an unknown name.
    pub(crate) fn parse(value: &Value) -> Result<Self> {
        let word = value.bytes.trim_ascii();
        keyword(word, &NAMES)
            .ok_or_else(|| unsupported("createType").at(value.at).found_name(word).expected("a known type"))
    }

    /// Checks that an image with the `createType` in `value` may have the extent of `line`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if it may not.
    pub(crate) fn check(self, value: &Value, line: &ExtentLine) -> Result<()> {
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
        let name = String::from_utf8_lossy(value.bytes.trim_ascii()).into_owned();
        let expected = format!("one that fits the createType {}", name.escape_debug());
        Err(corrupt("extent type").at(line.at).found(line.kind.name()).expected(expected))
    }
}

/// Returns true if a `createType` is that of an image of several files of 2 GiB.
pub(crate) fn is_split(value: &Value) -> bool {
    let word = value.bytes.trim_ascii();
    let names: [&[u8]; 4] =
        [b"twoGbMaxExtentSparse", b"2GbMaxExtentSparse", b"twoGbMaxExtentFlat", b"2GbMaxExtentFlat"];
    names.iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// Returns the `createType` of a descriptor, and its value.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`] if it is missing, [`diskimg_core::ErrorKind::Unsupported`] if it is
/// unknown.
pub(crate) fn create_type(descriptor: &Descriptor) -> Result<(CreateType, &Value)> {
    let value = descriptor.create_type.as_ref().ok_or_else(missing)?;
    CreateType::parse(value).map(|create_type| (create_type, value))
}

/// The error for a descriptor without `createType`.
pub(crate) fn missing() -> Error {
    corrupt("createType").expected("one in every descriptor")
}

/// Returns the only line of a descriptor that is embedded in the file it describes.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`] if there is not exactly one line, of type SPARSE; errors of
/// [`create_type`].
pub(crate) fn embedded_line(descriptor: &Descriptor) -> Result<&ExtentLine> {
    let (create_type, value) = create_type(descriptor)?;
    match descriptor.extents.as_slice() {
        [line] if line.kind == ExtentType::Sparse => create_type.check(value, line).map(|()| line),
        [] => Err(corrupt("extents").found(0).expected("the line of this file")),
        [line] => Err(corrupt("extent type")
            .at(line.at)
            .found(line.kind.name())
            .expected("SPARSE, as this file is")),
        [_, second, ..] => Err(corrupt("extents")
            .at(second.at)
            .found(descriptor.extents.len())
            .expected("only the line of this file")),
    }
}

/// Returns true if a name is that of a device, which no resolver may open.
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
    fn both_spellings_in_any_case_are_parsed() {
        for name in ["twoGbMaxExtentFlat", "2GbMaxExtentFlat", "2gbmaxextentflat ", "VMFS"] {
            assert_eq!(CreateType::parse(&named(name)).unwrap(), CreateType::Flat, "{name}");
        }
        let error = CreateType::parse(&named("tape")).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Unsupported, Some(9)));
    }

    #[test]
    fn device_is_recognised_by_its_name() {
        for name in ["/dev/sda", r"\\.\PhysicalDrive0", "/VMFS/devices/disks/naa.1"] {
            assert!(is_device(name.as_bytes()), "{name}");
        }
        for name in ["dev/sda", "disk-flat.vmdk", "/devices"] {
            assert!(!is_device(name.as_bytes()), "{name}");
        }
    }
}
