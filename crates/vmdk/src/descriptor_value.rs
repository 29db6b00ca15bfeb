//! The values of a descriptor: quotes, comments and numbers.

use diskimg_core::{Result, ensure};

use crate::errors::corrupt;

/// A value, and the byte offset of its line in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    /// The value without quotes and surrounding blanks.
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: u64,
}

impl Value {
    /// Parses the text after the `=` of a line at byte `at`. A quote must have its counterpart at the end.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for an unclosed quote.
    pub(crate) fn strict(text: &[u8], at: u64) -> Result<Self> {
        let text = text.trim_ascii();
        let bytes = match text.strip_prefix(b"\"") {
            None => text,
            Some(inner) => inner.strip_suffix(b"\"").ok_or_else(|| {
                corrupt("descriptor").at(at).found_name(text).expected("a quote at both ends")
            })?,
        };
        Ok(Self { bytes: bytes.to_vec(), at })
    }

    /// Parses the text after the `=` of a line at byte `at`, whatever its form. Returns true with it if a quote is not
    /// closed, or text follows it.
    pub(crate) fn lenient(text: &[u8], at: u64) -> (Self, bool) {
        if let Ok(value) = Self::strict(text, at) {
            return (value, false);
        }
        let inner = text.trim_ascii();
        let inner = inner.strip_prefix(b"\"").unwrap_or(inner);
        let quoted = inner.split(|byte| *byte == b'"').next().unwrap_or_default();
        (Self { bytes: quoted.trim_ascii().to_vec(), at }, true)
    }

    /// The value up to its first blank, and true if more text follows.
    pub(crate) fn first_word(&self) -> (&[u8], bool) {
        let text = self.bytes.trim_ascii();
        let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        (word, word.len() < text.len())
    }

    /// Parses a content id strictly: 1 to 8 hexadecimal digits.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for anything else.
    pub(crate) fn content_id(&self, field: &str) -> Result<u32> {
        let digits = self.bytes.as_slice();
        ensure((1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit), || {
            corrupt(field).at(self.at).found_name(digits).expected("up to 8 hexadecimal digits")
        })?;
        Ok(hexadecimal(digits))
    }

    /// Parses a content id as QEMU does, with the `%x` of `scanf`: the last 32 bits of the hexadecimal digits at the
    /// start of the value. `None` if there are no digits.
    pub(crate) fn content_id_as_qemu(&self) -> Option<u32> {
        let text = self.bytes.trim_ascii();
        let text = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
        let len = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        text.get(..len).filter(|digits| !digits.is_empty()).map(hexadecimal)
    }
}

/// The last 32 bits of a hexadecimal number. A number past 64 bits becomes `u64::MAX`, as in C.
fn hexadecimal(digits: &[u8]) -> u32 {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_default();
    let number =
        digits.iter().try_fold(0_u64, |number, byte| number.checked_mul(16)?.checked_add(digit(byte).into()));
    let [.., a, b, c, d] = number.unwrap_or(u64::MAX).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_id_is_the_number_that_scanf_reads() {
        for (text, expected) in [
            ("1a2B3c4d", Some(0x1A2B_3C4D)),
            ("3735928559", Some(0x3592_8559)),
            ("0xcafe", Some(0xCAFE)),
            ("12 # made by x", Some(0x12)),
            ("fffffffffffffffff", Some(u32::MAX)),
            ("xyz", None),
            ("", None),
        ] {
            let value = Value { bytes: text.into(), at: 0 };
            assert_eq!(value.content_id_as_qemu(), expected, "{text}");
        }
    }

    #[test]
    fn lenient_value_ends_at_its_quote_or_at_the_end_of_the_line() {
        for (text, expected, odd) in [
            ("\"ide\"", "ide", false),
            (" ide ", "ide", false),
            ("\"a \"b\" c\"", "a \"b\" c", false),
            ("\"ide\" # x", "ide", true),
            ("\"ide", "ide", true),
            ("\"", "", true),
        ] {
            let (value, is_odd) = Value::lenient(text.as_bytes(), 7);
            assert_eq!((value.bytes.as_slice(), value.at, is_odd), (expected.as_bytes(), 7, odd), "{text}");
        }
    }
}
