//! The keys of a descriptor, and what they say about the bytes of the disk.
//!
//! Sources: VMware, "Virtual Disk Format 5.0", "The Descriptor File"; libvmdk's documentation of the format, "The disk
//! database"; VirtualBox's `VMDK.cpp` (`ddb.uuid.*`, `ddb.comment`); QEMU's `block/vmdk.c` (`ddb.toolsVersion`); VMware's
//! knowledge base articles 1026254 (descriptors in general) and 334555 (`ddb.iofilters`, `ddb.sidecars`); descriptors of
//! ESXi 7 and 8 (`keyID`, `encryptionKeys`, `ddb.fcd.*`).

/// The meaning of a key for a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyMeaning {
    /// Needed to read the disk, or to find its parent. Its value is parsed strictly.
    Decisive,
    /// Known, and without influence on the bytes of the disk.
    Harmless,
    /// The disk is encrypted.
    Encryption,
    /// A filter of the host is between the disk and the file.
    Filter,
    /// Another parent or data object.
    OtherData,
    /// Not known.
    Unknown,
}

/// Keys, in lower case, that decide which bytes the disk has.
const DECISIVE: [&[u8]; 5] =
    [b"createtype", b"parentcid", b"parentfilenamehint", b"ddb.uuid.parent", b"ddb.uuid.parentmodification"];

/// Keys, in lower case, that real descriptors have and that do not change the bytes of the disk.
const HARMLESS: [&[u8]; 22] = [
    b"version",
    b"encoding",
    b"cid",
    // Yes for a delta that the storage made. It has a parent then, which `parentCID` names.
    b"isnativesnapshot",
    // The name of a file with the changed blocks, which a reader does not need.
    b"changetrackpath",
    b"ddb.adaptertype",
    b"ddb.comment",
    b"ddb.deletable",
    b"ddb.encoding",
    b"ddb.grain",
    b"ddb.longcontentid",
    // The files of I/O filters, which `ddb.iofilters` names.
    b"ddb.sidecars",
    b"ddb.thinprovisioned",
    b"ddb.toolsinstalltype",
    b"ddb.toolsversion",
    b"ddb.uuid",
    b"ddb.uuid.image",
    b"ddb.uuid.modification",
    b"ddb.vendor",
    b"ddb.virtualhwversion",
    b"ddb.virtualssd",
    b"ddb.nativedeltabytes",
];

/// Prefixes of such keys: the geometry, and the properties of a first class disk.
const HARMLESS_PREFIXES: [&[u8]; 2] = [b"ddb.geometry.", b"ddb.fcd."];

/// Words in keys of encryption: `encryption.keySafe` and `encryption.data` of Workstation, `keyID` and `encryptionKeys` of
/// vSphere.
const ENCRYPTION_WORDS: [&[u8]; 5] = [b"crypt", b"keysafe", b"keyid", b"keyprovider", b"cipher"];
/// Words in keys that name another parent or data object: `ddb.objectParentUri`, `ddb.nativeParentHint`, `objectID`.
const OTHER_DATA_WORDS: [&[u8]; 6] = [b"parent", b"object", b"vvol", b"backing", b"datafile", b"deltadisk"];

/// I/O filters that leave the bytes in the file as the guest wrote them: that of vSphere Replication, which records
/// changes.
const HARMLESS_FILTERS: [&[u8]; 1] = [b"vmwarelwd"];

/// Returns the meaning of a key in lower case.
pub(crate) fn key_meaning(key: &[u8]) -> KeyMeaning {
    let contains = |words: &[&[u8]]| words.iter().any(|word| contains_ignoring_case(key, word));
    let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    if DECISIVE.contains(&key) {
        KeyMeaning::Decisive
    } else if HARMLESS.contains(&key) || starts(&HARMLESS_PREFIXES) {
        KeyMeaning::Harmless
    } else if contains(&ENCRYPTION_WORDS) {
        KeyMeaning::Encryption
    } else if contains(&[b"filter"]) {
        KeyMeaning::Filter
    } else if contains(&OTHER_DATA_WORDS) {
        KeyMeaning::OtherData
    } else {
        KeyMeaning::Unknown
    }
}

/// The meaning of a list of I/O filters, separated by commas: [`KeyMeaning::Encryption`], [`KeyMeaning::Filter`] if one is
/// not known to be harmless, or [`KeyMeaning::Harmless`].
pub(crate) fn filters_meaning(value: &[u8]) -> KeyMeaning {
    if contains_ignoring_case(value, b"crypt") {
        return KeyMeaning::Encryption;
    }
    let is_harmless = |name: &[u8]| {
        let name = name.trim_ascii();
        name.is_empty() || HARMLESS_FILTERS.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    match value.split(|byte| matches!(byte, b',' | b';')).all(is_harmless) {
        true => KeyMeaning::Harmless,
        false => KeyMeaning::Filter,
    }
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_encryption_a_filter_or_other_data_is_recognised() {
        let table: [(&[&str], KeyMeaning); 6] = [
            (&["createtype", "parentcid", "parentfilenamehint", "ddb.uuid.parent"], KeyMeaning::Decisive),
            (
                &["ddb.geometry.bioscylinders", "ddb.fcd.uuid", "changetrackpath", "isnativesnapshot"],
                KeyMeaning::Harmless,
            ),
            (
                &[
                    "keyid",
                    "ddb.keyid",
                    "encryptionkeys",
                    "encryption.keysafe",
                    "ddb.encryption.mode",
                    "cryptokey",
                ],
                KeyMeaning::Encryption,
            ),
            (&["ddb.iofilters", "filters"], KeyMeaning::Filter),
            (
                &["ddb.objectparenturi", "objectid", "ddb.nativeparenthint", "ddb.nativeparentcid", "vvolid"],
                KeyMeaning::OtherData,
            ),
            (&["ddb.colour", "hello"], KeyMeaning::Unknown),
        ];
        for (keys, expected) in table {
            for key in keys {
                assert_eq!(key_meaning(key.as_bytes()), expected, "{key}");
            }
        }
    }

    #[test]
    fn filter_is_harmless_only_if_it_is_known() {
        for (value, expected) in [
            ("", KeyMeaning::Harmless),
            ("vmwarelwd", KeyMeaning::Harmless),
            ("VMWareLWD, ", KeyMeaning::Harmless),
            ("vmwarelwd,cache", KeyMeaning::Filter),
            ("vmwarelwd,VMwareVMCrypt", KeyMeaning::Encryption),
        ] {
            assert_eq!(filters_meaning(value.as_bytes()), expected, "{value}");
        }
    }
}
