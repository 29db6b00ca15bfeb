//! Recognition of a text descriptor by the first bytes of a file.

use crate::descriptor::{BOM, SIGNATURE};

/// Bytes within which a descriptor begins, after blank lines and comments. A limit of QEMU, which reads one
/// sector.
const MAX_LEADING_BYTES: usize = 512;
/// Bytes after the word `version` within which its line ends. Our limit: a number and some blanks.
const MAX_VERSION_LINE: usize = 64;

/// Returns true if a file with this prefix is a descriptor; `None` if a longer prefix is needed.
///
/// A descriptor begins with its usual first line or, as in QEMU's `vmdk_probe`, with a `version` line that only
/// comments and blank lines precede.
pub(crate) fn is_descriptor(prefix: &[u8]) -> Option<bool> {
    if prefix.len() < BOM.len() && BOM.starts_with(prefix) {
        return None;
    }
    let text = prefix.strip_prefix(BOM).unwrap_or(prefix);
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        if text.len().saturating_sub(rest.len()) > MAX_LEADING_BYTES {
            return Some(false);
        }
        // The first line of a script is a comment too.
        if !rest.starts_with(b"#") || text.starts_with(b"#!") {
            return if rest.is_empty() { None } else { is_version_line(rest) };
        }
        if starts_with_word(rest, SIGNATURE) == Some(true) {
            return Some(true);
        }
        let line_end = rest.iter().take(MAX_LEADING_BYTES).position(|byte| *byte == b'\n');
        match line_end.and_then(|end| rest.get(end..)) {
            Some(next) => rest = next,
            None if rest.len() < MAX_LEADING_BYTES => return None,
            None => return Some(false),
        }
    }
}

/// Returns true if a text begins with a line `version=1`, 2 or 3; `None` if more text is needed.
fn is_version_line(text: &[u8]) -> Option<bool> {
    let key: &[u8] = b"version";
    if starts_with_word(text, key) != Some(true) {
        return starts_with_word(text, key);
    }
    let rest = text.get(key.len()..).unwrap_or_default();
    match rest.iter().take(MAX_VERSION_LINE).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = rest.get(..end).unwrap_or_default().trim_ascii();
            let version = line.strip_prefix(b"=").map(<[u8]>::trim_ascii);
            Some(matches!(version, Some(b"1" | b"2" | b"3")))
        }
        None if rest.len() < MAX_VERSION_LINE => None,
        None => Some(false),
    }
}

/// Returns true if a text begins with a word, in any case; `None` if more text is needed.
fn starts_with_word(text: &[u8], word: &[u8]) -> Option<bool> {
    match text.get(..word.len()) {
        Some(head) => Some(head.eq_ignore_ascii_case(word)),
        None if word.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text)) => None,
        None => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_is_recognised_by_its_first_line_or_its_version() {
        let table: [(&[u8], Option<bool>); 21] = [
            (b"", None),
            (b"\xef\xbb", None),
            (b"\xef\xbb\xbf# Disk", None),
            (b"# Disk DescriptorFile\n", Some(true)),
            (b"\n \r\n# disk descriptorfile", Some(true)),
            (b"\xef\xbb\xbf# DISK DESCRIPTORFILE", Some(true)),
            (b"# Disk Descriptor\n", None),
            (b"# Disk Descriptor\nhello", Some(false)),
            (b"# made by x\n\n# for y\r\nversion=1\n", Some(true)),
            (b"version=1\n", Some(true)),
            (b"Version = 3 \t\r\n", Some(true)),
            (b"vers", None),
            (b"version=1", None),
            (b"version=4\n", Some(false)),
            (b"version=1.2\n", Some(false)),
            (b"version: 1\n", Some(false)),
            (b"versions=1\n", Some(false)),
            (b"#!/bin/sh\nversion=1\n", Some(false)),
            (&[b'#'; 600], Some(false)),
            (b"KDMV", Some(false)),
            (&[b' '; 600], Some(false)),
        ];
        let late = [&b"# comment\n".repeat(52)[..], b"version=1\n"].concat();
        assert_eq!(is_descriptor(&late), Some(false), "520 bytes of comments");
        for (prefix, verdict) in table {
            assert_eq!(is_descriptor(prefix), verdict, "{:?}", String::from_utf8_lossy(prefix));
        }
    }
}
