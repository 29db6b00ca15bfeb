//! The names of the files beside an image.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Extent Descriptions": the names of the files.

use diskimg_core::Result;

use super::error::misuse;

/// The names of an image's files, checked to be such that a descriptor can hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    stem: String,
}

impl Names {
    /// Names that follow from the one of the image's own file: `disk.vmdk` gives `disk-flat.vmdk`.
    pub(super) fn new(image: &str) -> Result<Self> {
        let refused = |why: &str| misuse("file name").found_name(image.as_bytes()).because(why.to_owned());
        // Readers end a name at the next quote and an extent line at the next line break, whatever follows.
        if image.chars().any(|c| c == '"' || c.is_control()) {
            return Err(refused("a descriptor can hold neither quotes nor control characters"));
        }
        let stem = match image.len().checked_sub(ENDING.len()).and_then(|at| image.split_at_checked(at)) {
            Some((stem, ending)) if ending.eq_ignore_ascii_case(ENDING) => stem,
            _ => image,
        };
        if stem.is_empty() {
            return Err(refused("the names of the other files follow from it"));
        }
        Ok(Self { stem: stem.to_owned() })
    }

    /// The one file of guest bytes.
    pub(super) fn flat(&self) -> String {
        format!("{}-flat{ENDING}", self.stem)
    }

    /// One of several files, `f` for flat or `s` for sparse, counted from 0.
    pub(super) fn numbered(&self, letter: char, index: u64) -> String {
        format!("{}-{letter}{:03}{ENDING}", self.stem, index.saturating_add(1))
    }
}

const ENDING: &str = ".vmdk";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_name_of_the_image() {
        let names = Names::new("disk.vmdk").unwrap();
        assert_eq!(names.flat(), "disk-flat.vmdk");
        assert_eq!(names.numbered('f', 0), "disk-f001.vmdk");
        assert_eq!(names.numbered('s', 999), "disk-s1000.vmdk");
        assert_eq!(Names::new("Ähre = 2.VMDK").unwrap().flat(), "Ähre = 2-flat.vmdk");
        assert_eq!(Names::new("é").unwrap().flat(), "é-flat.vmdk");
        assert_eq!(Names::new("disk.img").unwrap().flat(), "disk.img-flat.vmdk");
    }

    #[test]
    fn names_that_would_break_the_descriptor_are_refused() {
        for name in ["", ".vmdk", "a\"b.vmdk", "a\nRW 1 FLAT.vmdk", "a\0.vmdk"] {
            let error = Names::new(name).unwrap_err();
            assert_eq!(error.kind(), diskimg_core::ErrorKind::InvalidInput, "{name:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
