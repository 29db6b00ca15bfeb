//! Printing bytes of an image safely.

use std::fmt;

/// The maximum number of bytes of a name that are printed. Our limit: long enough for any real path, short enough that
/// a hostile one does not flood a log.
const SHOWN: usize = 256;

/// Bytes of an image, printed in quotes, escaped and truncated for messages and log lines.
///
/// [Hidden characters](is_hidden), quotes, backslashes and invalid UTF-8 are escaped, so a line break cannot start a
/// forged log line. Names of more than 256 bytes are truncated and their full length is printed.
///
/// ```
/// use diskimg_core::Printable;
/// assert_eq!(Printable::new(b"base.raw").to_string(), "\"base.raw\"");
/// assert_eq!(Printable::new(b"a\nroot: ok\xff").to_string(), r#""a\nroot: ok\xff""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

impl<'a> Printable<'a> {
    /// Wraps `bytes` for printing, without a copy.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..SHOWN).unwrap_or(self.0);
        f.write_str("\"")?;
        for chunk in shown.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\'' => f.write_str("'")?,
                    c if is_hidden(c) && !matches!(c, '\0' | '\t' | '\n' | '\r') => {
                        write!(f, "{}", c.escape_unicode())?;
                    }
                    c => write!(f, "{}", c.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")?;
        if shown.len() < self.0.len() {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// Returns true for a character that controls a terminal, is invisible, or changes the direction of the text around it:
/// the categories Cc, Cf, Zl and Zp of Unicode 16, and the variation selectors.
///
/// ```
/// use diskimg_core::is_hidden;
/// assert!(['\u{7f}', '\u{9b}', '\u{202e}', '\u{feff}'].into_iter().all(is_hidden));
/// assert!(!['a', 'é', '漢', ' '].into_iter().any(is_hidden));
/// ```
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        for hidden in ['\u{7f}', '\u{9b}', '\u{ad}', '\u{61c}', '\u{2028}', '\u{2066}', '\u{e0041}'] {
            let shown = Printable::new(hidden.to_string().as_bytes()).to_string();
            assert_eq!(shown, format!("\"\\u{{{:x}}}\"", u32::from(hidden)));
        }
        let shown = Printable::new("a\u{1b}[31m\u{202e}\"'\\".as_bytes()).to_string();
        assert_eq!(shown, "\"a\\u{1b}[31m\\u{202e}\\\"'\\\\\"");
    }

    #[test]
    fn long_name_is_truncated_with_its_length() {
        let shown = Printable::new(&[b'x'; 1000]).to_string();
        assert!(shown.ends_with("x\"... (1000 bytes)"));
        assert!(shown.len() < 300);
    }
}
