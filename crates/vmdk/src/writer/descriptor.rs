//! Encodes descriptors.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File"; for the geometry VMware's knowledge base article
//! 1026254, "Recreating a missing virtual machine disk descriptor file". QEMU requires a key, `=` and the value
//! without blanks, and an exact `createType`.

use diskimg_core::{Remedy, Result, ensure};

use super::content_id::random_content_id;
use super::extent_layout::{DESCRIPTOR_SECTORS, SECTOR_BYTES};
use super::options::{AdapterType, WriterOptions};
use crate::addr::SECTOR;
use crate::errors::invalid_option;

/// The maximum number of bytes of a descriptor file. QEMU ignores bytes past this limit.
const LONGEST: usize = (1 << 20) - 1;
/// The maximum number of cylinders of an IDE disk: ATA's limit, which VMware applies.
const MAX_IDE_CYLINDERS: u64 = 16_383;

/// A line of the extent description, for a file of the image or the image itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtentEntry {
    pub(super) access: &'static str,
    pub(super) sectors: u64,
    /// `SPARSE`, `FLAT` or `VMFS`.
    pub(super) kind: &'static str,
    pub(super) name: String,
}

/// Returns the text of a descriptor.
pub(super) fn render(options: &WriterOptions, extents: &[ExtentEntry]) -> Result<String> {
    let mut text = String::from("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n");
    text.push_str(&format!(
        "CID={:08x}\nparentCID=ffffffff\ncreateType=\"{}\"\n\n# Extent description\n",
        options.cid.unwrap_or_else(random_content_id),
        options.subformat.name()
    ));
    for extent in extents {
        text.push_str(&line(extent));
    }
    text.push_str(&database(options));
    ensure(text.len() <= LONGEST, || {
        invalid_option("virtual_size")
            .found(options.virtual_size)
            .because(format_args!("{} files need a descriptor longer than readers accept", extents.len()))
            .with_remedy(Remedy::SetOption(&[("subformat", "one of a single file")]))
    })?;
    Ok(text)
}

/// Returns an embedded descriptor, padded to its reserved sectors.
pub(super) fn embedded(options: &WriterOptions, extent: ExtentEntry) -> Result<Vec<u8>> {
    let mut bytes = render(options, &[extent])?.into_bytes();
    let room = usize::try_from(DESCRIPTOR_SECTORS).unwrap_or_default().saturating_mul(SECTOR_BYTES);
    // A file name of 255 characters of four bytes each, the longest of any system, fits.
    ensure(bytes.len() <= room, || invalid_option("file name").found(format_args!("{} bytes", bytes.len())))?;
    bytes.resize(room, 0);
    Ok(bytes)
}

fn line(extent: &ExtentEntry) -> String {
    let ExtentEntry { access, sectors, kind, name } = extent;
    // QEMU requires an offset for FLAT and rejects one for VMFS.
    let offset = if *kind == "FLAT" { " 0" } else { "" };
    format!("{access} {sectors} {kind} \"{name}\"{offset}\n")
}

/// Returns the disk database: the disk as virtual hardware sees it.
fn database(options: &WriterOptions) -> String {
    let (cylinders, heads, sectors) = geometry(options.virtual_size, options.adapter_type);
    let values = [
        ("adapterType", options.adapter_type.name().to_owned()),
        ("geometry.cylinders", cylinders.to_string()),
        ("geometry.heads", heads.to_string()),
        ("geometry.sectors", sectors.to_string()),
        ("toolsVersion", options.tools_version.to_string()),
        ("virtualHWVersion", options.hardware_version.to_string()),
    ];
    let mut text = String::from("\n# The Disk Data Base\n#DDB\n\n");
    for (key, value) in values {
        text.push_str(&format!("ddb.{key} = \"{value}\"\n"));
    }
    text
}

/// Returns cylinders, heads, and sectors per track by VMware's rule.
fn geometry(size: u64, adapter: AdapterType) -> (u64, u64, u64) {
    let ide = adapter == AdapterType::Ide;
    let (heads, sectors) = match size.div_ceil(1 << 30) {
        _ if ide => (16, 63),
        0 | 1 => (64, 32),
        2 => (128, 32),
        _ => (255, 63),
    };
    let cylinders = (size.div_ceil(SECTOR) / (heads * sectors)).max(1);
    (if ide { cylinders.min(MAX_IDE_CYLINDERS) } else { cylinders }, heads, sectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(name: &str) -> ExtentEntry {
        ExtentEntry { access: "RW", sectors: 33_554_432, kind: "FLAT", name: name.to_owned() }
    }

    #[test]
    fn descriptor_has_the_expected_text() {
        let options = WriterOptions {
            virtual_size: 16 << 30,
            adapter_type: AdapterType::LsiLogic,
            cid: Some(0xAB),
            ..WriterOptions::default()
        };
        let text = render(&options, &[extent("a b.vmdk"), ExtentEntry { kind: "VMFS", ..extent("é") }]);
        let expected = "# Disk DescriptorFile\n\
            version=1\n\
            encoding=\"UTF-8\"\n\
            CID=000000ab\n\
            parentCID=ffffffff\n\
            createType=\"monolithicSparse\"\n\
            \n\
            # Extent description\n\
            RW 33554432 FLAT \"a b.vmdk\" 0\n\
            RW 33554432 VMFS \"é\"\n\
            \n\
            # The Disk Data Base\n\
            #DDB\n\
            \n\
            ddb.adapterType = \"lsilogic\"\n\
            ddb.geometry.cylinders = \"2088\"\n\
            ddb.geometry.heads = \"255\"\n\
            ddb.geometry.sectors = \"63\"\n\
            ddb.toolsVersion = \"2147483647\"\n\
            ddb.virtualHWVersion = \"4\"\n";
        assert_eq!(text.unwrap(), expected);
    }

    #[test]
    fn geometry_equals_that_of_vmware() {
        let scsi = AdapterType::LsiLogic;
        let table = [
            (512, scsi, (1, 64, 32)),
            (107_374_182, scsi, (102, 64, 32)),
            (1 << 30, scsi, (1024, 64, 32)),
            ((1 << 30) + 512, scsi, (512, 128, 32)),
            (2 << 30, scsi, (1024, 128, 32)),
            ((2 << 30) + 512, scsi, (261, 255, 63)),
            // From a streamOptimized image by VMware.
            (17_179_869_184, scsi, (2088, 255, 63)),
            (4 << 30, AdapterType::Ide, (8322, 16, 63)),
            (1 << 40, AdapterType::Ide, (16_383, 16, 63)),
        ];
        for (size, adapter, expected) in table {
            assert_eq!(geometry(size, adapter), expected, "{size} {adapter:?}");
        }
    }

    #[test]
    fn descriptor_longer_than_readers_accept_is_rejected() {
        let extents = vec![extent(&"long".repeat(100)); 3000];
        let error = render(&WriterOptions::default(), &extents).unwrap_err();
        assert_eq!(error.kind(), diskimg_core::ErrorKind::InvalidInput);
    }
}
