//! Format detection from the first bytes of a file.

use diskimg::{Memory, Opener, sniff_head};

use crate::limits;

/// Detects the format of a file in all ways, and checks that they agree.
pub fn sniff(data: &[u8]) {
    let Some((&step, file)) = data.split_first() else { return };
    let source = Memory::new(file.to_vec());
    let whole = diskimg::sniff(&source).map_err(|error| error.to_string());
    let head = &file[..file.len().min(68 << 10)];
    assert_eq!(whole, sniff_head(head, Some(file.len() as u64)).map_err(|error| error.to_string()));

    let mut opener = Opener::new();
    opener.limits = limits();
    opener.allow_raw = step & 1 == 1;
    let _ = opener.inspect_source(&source);
}

/// Detects the content of a raw disk and its findings.
pub fn raw_content(data: &[u8]) {
    let head = &data[..data.len().min(diskimg_raw::HEAD)];
    let content = diskimg_raw::recognise_head(head, Some(data.len() as u64));
    assert_eq!(diskimg_raw::recognise(&Memory::new(data.to_vec())).ok(), Some(content));
    for size in [0, data.len() as u64, 1 << 40, u64::MAX] {
        for finding in diskimg_raw::findings(data, size) {
            assert!(!finding.message.contains(char::is_control));
        }
    }
    let _ = diskimg_raw::recognise_head(data, None);
}
