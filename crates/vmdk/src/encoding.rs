//! Decoding of file names to UTF-8 by the encoding that the descriptor gives.
//!
//! Source: libvmdk's documentation of the format, "Encodings"; the table is that of the WHATWG Encoding
//! Standard, "windows-1252". VMware on Windows writes the code page of the host: windows-1252, GBK, Big5 or
//! Shift_JIS. The last three are not decoded: their tables would add 190 KiB to every program.

/// The characters of the bytes 0x80 to 0x9F in windows-1252. All other bytes equal their code points.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Returns true if names in this encoding can be decoded. Latin-1 is read as windows-1252, as on the web.
pub(crate) fn is_known(encoding: &[u8]) -> bool {
    let known: [&[u8]; 4] = [b"windows-1252", b"cp1252", b"iso-8859-1", b"latin1"];
    known.iter().any(|name| name.eq_ignore_ascii_case(encoding.trim_ascii()))
}

/// Returns a name as UTF-8; `None` if it needs no decoding or its encoding is not known.
pub(crate) fn decoded(name: &[u8], encoding: Option<&[u8]>) -> Option<Vec<u8>> {
    if name.is_ascii() || !encoding.is_some_and(is_known) {
        return None;
    }
    let text: String = name.iter().map(|byte| character(*byte)).collect();
    Some(text.into_bytes())
}

fn character(byte: u8) -> char {
    let index = usize::from(byte).checked_sub(0x80);
    index.and_then(|index| WINDOWS_1252.get(index)).copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_1252_name_is_decoded_to_utf_8() {
        let name = b"Gr\xf6\xdfe \x80 \x96 \x9f.vmdk";
        for encoding in ["windows-1252", "Windows-1252", "ISO-8859-1"] {
            assert_eq!(decoded(name, Some(encoding.as_bytes())).unwrap(), "Größe € – Ÿ.vmdk".as_bytes());
        }
    }

    #[test]
    fn ascii_name_or_unknown_encoding_is_not_decoded() {
        assert_eq!(decoded(b"a.vmdk", Some(b"windows-1252")), None);
        for encoding in [None, Some(&b"GBK"[..]), Some(b"UTF-8"), Some(b"")] {
            assert_eq!(decoded(b"\xb4\xc5", encoding), None);
        }
    }
}
