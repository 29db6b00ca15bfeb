//! Names in images: how they are resolved, and chains that form a loop.

use diskimg_core::{BlockSource, Error, ErrorKind, Reference};

use crate::host_id::HostId;

/// Returns true for names that QEMU treats as a protocol: `json:{…}`, `nbd://…`, `file:x`. They are never opened as
/// files.
pub(super) fn names_a_protocol(name: &[u8]) -> bool {
    let scheme = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.' | b'_');
    match name.iter().position(|c| !scheme(c)) {
        Some(end) => end > 0 && name.get(end) == Some(&b':'),
        None => false,
    }
}

/// Resolves `name`, recorded in the file `referrer`, relative to the directory of the outermost image.
pub(crate) fn relative_to(referrer: &[u8], name: &[u8]) -> Vec<u8> {
    let directory =
        referrer.iter().rposition(|c| *c == b'/').map(|end| referrer.get(..=end).unwrap_or_default());
    match directory {
        Some(directory) if !name.starts_with(b"/") && !names_a_protocol(name) => [directory, name].concat(),
        _ => name.to_vec(),
    }
}

/// Returns true if two sources are the same host file, by identity, not by name.
pub(crate) fn same_file(a: &dyn BlockSource, b: &dyn BlockSource) -> bool {
    matches!((HostId::of_source(a), HostId::of_source(b)), (Some(a), Some(b)) if a == b)
}

/// The error for a chain that forms a loop.
pub(crate) fn chain_loops(reference: &Reference) -> Error {
    Error::new(ErrorKind::Limit)
        .format(reference.found_in)
        .field(reference.role.name())
        .found_name(&reference.name)
        .because("the chain of backing files comes back to a file that it already contains")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_name_starts_in_the_directory_of_its_file() {
        assert_eq!(relative_to(b"sub/mid.qcow2", b"base.raw"), b"sub/base.raw");
        assert_eq!(relative_to(b"mid.qcow2", b"base.raw"), b"base.raw");
        assert_eq!(relative_to(b"sub/mid.qcow2", b"/abs"), b"/abs");
        assert_eq!(relative_to(b"sub/mid.qcow2", b"nbd:x"), b"nbd:x");
    }
}
