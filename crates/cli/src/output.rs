//! Printing to standard output: whoever reads may go away at any time.

use std::io::{BufWriter, StdoutLock, Write};
use std::path::Path;

use diskimg::Printable;
use serde_json::Value;

use crate::failure::Failure;

/// Standard output, buffered; errors are errors, and not panics.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(std::io::stdout().lock())
}

/// Prints one JSON value as `qemu-img` does, four blanks deep.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    let mut out = stdout();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Whether a file name means standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Names of an image as they are where they are harmless, and escaped where not.
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
    fn a_name_that_could_forge_a_line_is_quoted() {
        assert_eq!(shown("base.raw"), "base.raw");
        assert_eq!(shown("a\nfile format: raw"), "\"a\\nfile format: raw\"");
    }
}
