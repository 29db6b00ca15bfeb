//! Bytes taken from an image, made safe to print.

use std::fmt;

/// How many bytes of a name are shown before it is cut. A bound of ours: long enough for any honest path,
/// short enough that a hostile one does not flood a log.
const SHOWN: usize = 256;

/// Bytes taken from an image, in quotes, escaped and cut so that they can stand in a message or a log line.
///
/// Control characters, quotes, backslashes and whatever is not UTF-8 are escaped; a line break can therefore
/// never start a forged log line. More than 256 bytes are cut and the full length is told.
///
/// ```
/// use diskimg_core::Printable;
/// assert_eq!(Printable::new(b"base.raw").to_string(), "\"base.raw\"");
/// assert_eq!(Printable::new(b"a\nroot: ok\xff").to_string(), r#""a\nroot: ok\xff""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

impl<'a> Printable<'a> {
    /// Wraps `bytes` for printing; nothing is copied.
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
                    // Bidirectional controls and the like reorder what a terminal shows.
                    '\u{200b}'..='\u{200f}'
                    | '\u{202a}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}' => {
                        write!(f, "{}", c.escape_unicode())?;
                    }
                    '\'' => f.write_str("'")?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        let shown = Printable::new("a\u{1b}[31m\u{202e}\"'\\".as_bytes()).to_string();
        assert_eq!(shown, "\"a\\u{1b}[31m\\u{202e}\\\"'\\\\\"");
    }

    #[test]
    fn long_names_are_cut_and_say_so() {
        let shown = Printable::new(&[b'x'; 1000]).to_string();
        assert!(shown.ends_with("x\"... (1000 bytes)"));
        assert!(shown.len() < 300);
    }
}
