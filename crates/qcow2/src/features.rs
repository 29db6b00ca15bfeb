//! The feature bits of version 3 headers and their names.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Header", bytes 72 to 95, and "Feature name table".

use diskimg_core::{Error, Printable, Result};

use crate::errors::unsupported;
use crate::extensions::FeatureName;

/// Incompatible: the last writer did not close the image, so refcounts may be wrong. Safe to read.
pub(crate) const DIRTY: u64 = 1 << 0;
/// Incompatible: a writer found the image's tables damaged and stopped.
pub(crate) const CORRUPT: u64 = 1 << 1;
/// Incompatible: data clusters are in an external data file.
pub(crate) const DATA_FILE: u64 = 1 << 2;
/// Incompatible: the compression type is not 0 (deflate).
pub(crate) const COMPRESSION_TYPE: u64 = 1 << 3;
/// Incompatible: L2 entries are 16 bytes with a bitmap of subclusters.
pub(crate) const EXTENDED_L2: u64 = 1 << 4;
/// All incompatible features that this crate supports.
pub(crate) const KNOWN_INCOMPATIBLE: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;

/// Compatible: refcounts are updated late.
pub(crate) const LAZY_REFCOUNTS: u64 = 1 << 0;

/// Autoclear: the bitmaps extension is consistent with the image.
pub(crate) const BITMAPS: u64 = 1 << 0;
/// Autoclear: the external data file can be read as a raw image.
pub(crate) const RAW_EXTERNAL: u64 = 1 << 1;

/// The field that a feature bit is in, as numbered in the feature name table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FeatureKind {
    /// An image with an unknown bit must not be opened.
    Incompatible = 0,
    /// An unknown bit can be ignored.
    Compatible = 1,
    /// A writer that changes the image clears unknown bits.
    Autoclear = 2,
}

/// The features of the specification: kind, bit number and the name that QEMU writes.
pub(crate) const FEATURE_NAMES: [(FeatureKind, u8, &str); 8] = [
    (FeatureKind::Incompatible, 0, "dirty bit"),
    (FeatureKind::Incompatible, 1, "corrupt bit"),
    (FeatureKind::Incompatible, 2, "external data file"),
    (FeatureKind::Incompatible, 3, "compression type"),
    (FeatureKind::Incompatible, 4, "extended L2 entries"),
    (FeatureKind::Compatible, 0, "lazy refcounts"),
    (FeatureKind::Autoclear, 0, "bitmaps"),
    (FeatureKind::Autoclear, 1, "raw external data"),
];

/// Checks that all incompatible features of the image are known.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Unsupported`], with the names in the image's feature name table.
pub(crate) fn check_known(incompatible: u64, names: &[FeatureName]) -> Result<()> {
    match unknown_in_words(incompatible, names) {
        None => Ok(()),
        Some(words) => Err(unknown(&words)),
    }
}

fn unknown(words: &str) -> Error {
    let because = format!("the image needs an unknown feature: {words}");
    unsupported("incompatible_features").at(72).because(because)
}

/// Returns the unknown incompatible features as `bit 5 ("name"), bit 63`; `None` if all are known. Names are
/// escaped.
pub(crate) fn unknown_in_words(incompatible: u64, names: &[FeatureName]) -> Option<String> {
    unknown_of_kind(FeatureKind::Incompatible, incompatible, KNOWN_INCOMPATIBLE, names)
}

/// Returns the features of a field that are not `known`, as [`unknown_in_words`] does.
pub(crate) fn unknown_of_kind(
    kind: FeatureKind,
    field: u64,
    known: u64,
    names: &[FeatureName],
) -> Option<String> {
    let unknown = field & !known;
    let words: Vec<String> =
        (0_u8..64).filter(|bit| unknown >> bit & 1 == 1).map(|bit| bit_in_words(kind, bit, names)).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn bit_in_words(kind: FeatureKind, bit: u8, names: &[FeatureName]) -> String {
    match names.iter().find(|name| name.kind == kind as u8 && name.bit == bit) {
        Some(row) if !row.name.is_empty() => format!("bit {bit} ({})", Printable::new(&row.name)),
        _ => format!("bit {bit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_feature_is_named_by_the_table_of_the_image() {
        let names = [
            FeatureName { kind: 1, bit: 5, name: b"of another field".to_vec() },
            FeatureName { kind: 0, bit: 5, name: b"time\ntravel".to_vec() },
        ];
        let error = check_known(DIRTY | 1 << 5 | 1 << 63, &names).unwrap_err();
        assert_eq!(
            error.to_string(),
            "qcow2: incompatible_features at byte 72: the image needs an unknown feature: \
             bit 5 (\"time\\ntravel\"), bit 63"
        );
    }

    #[test]
    fn every_feature_of_the_specification_is_known() {
        assert!(check_known(0b1_1111, &[]).is_ok());
        assert_eq!(unknown_in_words(KNOWN_INCOMPATIBLE, &[]), None);
    }
}
