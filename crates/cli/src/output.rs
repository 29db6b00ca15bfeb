//! Output on standard output, whose reader may close it at any time.

use std::io::{BufWriter, StdoutLock, Write};
use std::path::Path;

use diskimg::Printable;
use diskimg::json::escape;
use serde_json::Value;

use crate::failure::Failure;

/// Returns a buffered standard output that reports errors instead of panicking.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(std::io::stdout().lock())
}

/// Prints one JSON value like `qemu-img`, indented by four spaces.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(std::io::Error::from)?;
    let mut out = stdout();
    writeln!(out, "{}", escape(&String::from_utf8_lossy(&text)))?;
    out.flush()?;
    Ok(())
}

/// Returns true if a file name stands for standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Escapes a name from an image, unless it is harmless.
pub(crate) fn shown(name: &str) -> String {
    let quoted = Printable::new(name.as_bytes()).to_string();
    match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if plain == name => name.to_owned(),
        _ => quoted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_could_forge_a_line_is_quoted() {
        assert_eq!(shown("base.raw"), "base.raw");
        assert_eq!(shown("a\nfile format: raw"), "\"a\\nfile format: raw\"");
        assert_eq!(shown("a\u{202e}b"), "\"a\\u{202e}b\"");
    }
}
