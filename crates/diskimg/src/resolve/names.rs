//! Names in images: how they are resolved, and chains that form a loop.

use diskimg_core::{BlockSource, Error, ErrorKind, Reference, Remedy, Result};

use crate::host_id::HostId;

/// Returns the names under which a directory may contain the file of `reference`, the preferred one first.
///
/// - The name itself. `file:` in front of it is removed: QEMU's protocol for files.
/// - A name of Windows, with `/` instead of its backslashes.
/// - The last component, if `by_last_component` is set, or the recorded identity distinguishes the parent from other
///   files of that name.
///
/// # Errors
/// [`ErrorKind::Denied`] for a name of another protocol.
pub(super) fn lookup_names(reference: &Reference, by_last_component: bool) -> Result<Vec<Vec<u8>>> {
    let name = reference.name.as_slice();
    let windows = windows_path(name);
    let is_rooted = windows.as_ref().is_some_and(|path| path.is_rooted);
    let mut names = Vec::new();
    match name.strip_prefix(b"file:") {
        Some(file) => names.push(absolute(file)),
        None if !names_a_protocol(name) => names.push(name.to_vec()),
        None if is_rooted => {}
        None => return Err(protocol_refused(reference)),
    }
    let path = windows.map_or_else(|| names.first().cloned().unwrap_or_default(), |windows| windows.path);
    let is_identified = reference.role.is_below() && !reference.identity.is_empty();
    if by_last_component || is_identified {
        names.extend(last_component(&path));
    }
    if !is_rooted && !names.contains(&path) {
        names.insert(1.min(names.len()), path);
    }
    Ok(names)
}

fn protocol_refused(reference: &Reference) -> Error {
    let error = reference.describe(Error::new(ErrorKind::Denied)).because("it names a protocol, not a file");
    match reference.role.is_below() {
        true => error.with_remedy(Remedy::NameParent),
        false => error,
    }
}

/// A path of Windows.
struct WindowsPath {
    /// The path with `/` as separator.
    path: Vec<u8>,
    /// True if it begins with a drive, a server or a separator. Such a path is of no use on another machine.
    is_rooted: bool,
}

fn windows_path(name: &[u8]) -> Option<WindowsPath> {
    let has_drive = matches!(name, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    if !has_drive && !name.contains(&b'\\') {
        return None;
    }
    let path = name.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    Some(WindowsPath { path, is_rooted: has_drive || name.starts_with(b"\\") })
}

/// Returns the last component of a path that has more than one.
fn last_component(path: &[u8]) -> Option<Vec<u8>> {
    let last = path.get(path.iter().rposition(|byte| *byte == b'/')?.checked_add(1)?..)?;
    (!matches!(last, b"" | b"." | b"..")).then(|| last.to_vec())
}

/// Makes a name absolute. QEMU opens a name after `file:` relative to the working directory.
#[cfg(unix)]
fn absolute(name: &[u8]) -> Vec<u8> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let path = std::path::absolute(std::ffi::OsStr::from_bytes(name));
    path.map_or_else(|_| name.to_vec(), |path| path.into_os_string().into_vec())
}

#[cfg(not(unix))]
fn absolute(name: &[u8]) -> Vec<u8> {
    let path = std::path::absolute(String::from_utf8_lossy(name).as_ref());
    path.map_or_else(|_| name.to_vec(), |path| path.to_string_lossy().into_owned().into_bytes())
}

/// Returns true for names that QEMU treats as a protocol: `json:{…}`, `nbd://…`, `file:x`. They are never opened as
/// files.
fn names_a_protocol(name: &[u8]) -> bool {
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
    fn windows_names_are_split_at_backslashes() {
        let identity = diskimg_core::Identity { content_id: Some(7), ..Default::default() };
        let names = |name: &[u8], is_identified: bool| {
            let (role, format) = (diskimg_core::ReferenceRole::Parent, diskimg_core::Format::new("vmdk"));
            let mut reference = Reference::new(role, name, format);
            reference.identity = if is_identified { identity.clone() } else { Default::default() };
            let names = lookup_names(&reference, false).map_err(|error| error.kind());
            names.map(|names| {
                names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(names(br"C:\vms\base.vmdk", true).unwrap(), ["base.vmdk"]);
        assert_eq!(names(b"C:/vms/base.vmdk", true).unwrap(), ["base.vmdk"]);
        assert_eq!(names(br"C:\vms\base.vmdk", false).unwrap(), Vec::<String>::new());
        assert_eq!(
            names(br"\\host\share\base.vmdk", true).unwrap(),
            [r"\\host\share\base.vmdk", "base.vmdk"]
        );
        assert_eq!(names(br"..\base.vmdk", true).unwrap(), [r"..\base.vmdk", "../base.vmdk", "base.vmdk"]);
        assert_eq!(names(br"sub\base.vmdk", false).unwrap(), [r"sub\base.vmdk", "sub/base.vmdk"]);
        assert_eq!(names(b"sub/base.vmdk", true).unwrap(), ["sub/base.vmdk", "base.vmdk"]);
        assert_eq!(names(b"base.vmdk", true).unwrap(), ["base.vmdk"]);
        assert_eq!(names(b"file:/d/base.vmdk", false).unwrap(), ["/d/base.vmdk"]);
        for protocol in [&b"nbd://host/x"[..], b"json:{}", b"C:base.vmdk"] {
            assert_eq!(names(protocol, true), Err(ErrorKind::Denied));
        }
    }

    #[test]
    fn relative_name_starts_in_the_directory_of_its_file() {
        assert_eq!(relative_to(b"sub/mid.qcow2", b"base.raw"), b"sub/base.raw");
        assert_eq!(relative_to(b"mid.qcow2", b"base.raw"), b"base.raw");
        assert_eq!(relative_to(b"sub/mid.qcow2", b"/abs"), b"/abs");
        assert_eq!(relative_to(b"sub/mid.qcow2", b"nbd:x"), b"nbd:x");
    }
}
