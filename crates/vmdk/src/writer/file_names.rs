//! The names of the other files of an image.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Extent Descriptions".

use crate::errors::misuse;
use diskimg_core::{Result, ensure};

/// The names of an image's files, checked to fit in a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileNames {
    stem: String,
}

impl FileNames {
    /// Derives names from the file name of the image: `disk.vmdk` gives `disk-flat.vmdk`.
    pub(super) fn new(image: &str) -> Result<Self> {
        let rejected = |why: &str| misuse("file name").found_name(image.as_bytes()).because(why.to_owned());
        // Readers end a name at the next quote, and an extent line at the next line break.
        ensure(!image.chars().any(|c| c == '"' || c.is_control()), || {
            rejected("a descriptor supports neither quotes nor control characters")
        })?;
        let stem = match image.len().checked_sub(ENDING.len()).and_then(|at| image.split_at_checked(at)) {
            Some((stem, ending)) if ending.eq_ignore_ascii_case(ENDING) => stem,
            _ => image,
        };
        ensure(!stem.is_empty(), || rejected("the names of the other files are derived from it"))?;
        Ok(Self { stem: stem.to_owned() })
    }

    /// The name of the single flat file.
    pub(super) fn flat(&self) -> String {
        format!("{}-flat{ENDING}", self.stem)
    }

    /// The name of file `index` of several, with `f` for flat or `s` for sparse.
    pub(super) fn numbered(&self, letter: char, index: u64) -> String {
        format!("{}-{letter}{:03}{ENDING}", self.stem, index.saturating_add(1))
    }
}

const ENDING: &str = ".vmdk";

/// Returns true if `name` is one that a writer gives to an extent of the image `image`: `disk-flat.vmdk`,
/// `disk-s001.vmdk` and `disk-f001.vmdk` for `disk.vmdk`.
///
/// ```
/// use diskimg_vmdk::is_extent_name;
/// assert!(is_extent_name("disk.vmdk", "disk-s001.vmdk"));
/// assert!(!is_extent_name("disk.vmdk", "disk-data.vmdk"));
/// assert!(!is_extent_name("disk.vmdk", "other-s001.vmdk"));
/// ```
#[must_use]
pub fn is_extent_name(image: &str, name: &str) -> bool {
    let Ok(names) = FileNames::new(image) else { return false };
    let kind = name
        .strip_prefix(names.stem.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(ENDING));
    kind.is_some_and(|kind| {
        let number = kind.strip_prefix(['s', 'f']).unwrap_or_default();
        kind == "flat" || (number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_derived_from_the_image_name() {
        let names = FileNames::new("disk.vmdk").unwrap();
        assert_eq!(names.flat(), "disk-flat.vmdk");
        assert_eq!(names.numbered('f', 0), "disk-f001.vmdk");
        assert_eq!(names.numbered('s', 999), "disk-s1000.vmdk");
        assert_eq!(FileNames::new("Ähre = 2.VMDK").unwrap().flat(), "Ähre = 2-flat.vmdk");
        assert_eq!(FileNames::new("é").unwrap().flat(), "é-flat.vmdk");
        assert_eq!(FileNames::new("disk.img").unwrap().flat(), "disk.img-flat.vmdk");
    }

    #[test]
    fn extent_name_has_the_stem_of_its_image_and_a_number() {
        for image in ["disk.vmdk", "a-b.VMDK", "disk.img"] {
            let names = FileNames::new(image).unwrap();
            for name in [names.flat(), names.numbered('s', 0), names.numbered('f', 1233)] {
                assert!(is_extent_name(image, &name), "{name}");
            }
        }
        for name in [
            "disk.vmdk",
            "disk-s01.vmdk",
            "disk-sxyz.vmdk",
            "disk-s001.raw",
            "disk-s001",
            "../disk-s001.vmdk",
            "",
        ] {
            assert!(!is_extent_name("disk.vmdk", name), "{name}");
        }
    }

    #[test]
    fn names_that_break_the_descriptor_are_rejected() {
        for name in ["", ".vmdk", "a\"b.vmdk", "a\nRW 1 FLAT.vmdk", "a\0.vmdk"] {
            let error = FileNames::new(name).unwrap_err();
            assert_eq!(error.kind(), diskimg_core::ErrorKind::InvalidInput, "{name:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
