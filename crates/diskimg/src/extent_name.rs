//! Names of raw files that are those of extents of a VMDK.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Extent Description": `NAME-flat.vmdk`, `NAME-f001.vmdk`,
//! `NAME-s001.vmdk`, `NAME-delta.vmdk`.

use std::path::Path;

use diskimg_core::{Finding, ImageInfo};

/// The finding on a raw disk in a file whose name is that of an extent. The name proves nothing, so it is never a reason
/// to refuse the file.
pub(crate) fn extent_name_finding(path: &Path, info: &ImageInfo) -> Option<Finding> {
    const CHECK: &str = "extent_name";
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let (_, suffix) = name.strip_suffix(".vmdk")?.rsplit_once('-')?;
    if info.format != diskimg_raw::DRIVER.format {
        return None;
    }
    if suffix == "flat" {
        let message = "the name is that of the flat extent of a VMDK: snapshots of the disk are other files";
        return Some(Finding::note(CHECK, message));
    }
    let number = suffix.strip_prefix(['f', 's']).unwrap_or_default();
    let is_numbered = number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_numbered || suffix == "delta").then(|| {
        Finding::warning(CHECK, "the name is that of an extent: the file may be part of a larger disk")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{Format, Severity};

    #[test]
    fn name_of_an_extent_is_a_finding_for_a_raw_disk_only() {
        let raw = ImageInfo::new(diskimg_raw::DRIVER.format, 512);
        for (name, expected) in [
            ("disk-flat.vmdk", Some(Severity::Note)),
            ("dir/disk-f001.vmdk", Some(Severity::Warning)),
            ("Disk-S012.VMDK", Some(Severity::Warning)),
            ("disk-000001-delta.vmdk", Some(Severity::Warning)),
            ("disk-000001.vmdk", None),
            ("disk-final.vmdk", None),
            ("disk-f1.vmdk", None),
            ("disk-f001.raw", None),
            ("flat.vmdk", None),
        ] {
            let found = extent_name_finding(Path::new(name), &raw).map(|finding| finding.severity);
            assert_eq!(found, expected, "{name}");
            let other = ImageInfo::new(Format::new("other"), 512);
            assert_eq!(extent_name_finding(Path::new(name), &other), None);
        }
    }
}
