//! Names of image files on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

/// The protocol of a local file in `qemu-img`: `file:disk.raw`.
const FILE_PROTOCOL: &str = "file:";

/// Returns the parser of a file name, which may begin with `file:`.
pub(super) fn file_name() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(without_protocol)
}

/// Removes `file:`. A file that is named `-` then stays a file.
fn without_protocol(name: OsString) -> PathBuf {
    match rest_after(&name, FILE_PROTOCOL) {
        Some(rest) if rest == "-" => PathBuf::from("./-"),
        Some(rest) => PathBuf::from(rest),
        None => PathBuf::from(name),
    }
}

#[cfg(unix)]
fn rest_after(name: &std::ffi::OsStr, prefix: &str) -> Option<OsString> {
    use std::os::unix::ffi::OsStrExt;
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes())?;
    Some(std::ffi::OsStr::from_bytes(rest).to_owned())
}

#[cfg(not(unix))]
fn rest_after(name: &std::ffi::OsStr, prefix: &str) -> Option<OsString> {
    name.to_str()?.strip_prefix(prefix).map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_protocol_is_removed_once() {
        for (name, path) in [
            ("disk.raw", "disk.raw"),
            ("file:disk.raw", "disk.raw"),
            ("file:/a/b", "/a/b"),
            ("file:///a/b", "///a/b"),
            ("file:file:x", "file:x"),
            ("./file:x", "./file:x"),
            ("FILE:x", "FILE:x"),
            ("-", "-"),
            ("file:-", "./-"),
        ] {
            assert_eq!(without_protocol(name.into()), PathBuf::from(path), "{name}");
        }
    }
}
