//! The extended headers of a tar archive.
//!
//! Source: POSIX.1-2001 `pax` (extended headers), and the GNU tar manual, "Storing Sparse Files" (the keys of the
//! versions 0.0, 0.1 and 1.0).

use diskimg_core::{ErrorKind, Result};

use super::sparse_map::{SparseRecord, SparseRecords};
use super::tar_header::{bad, shown, text};

/// The longest name in bytes. Our limit, and the longest path on Linux (`PATH_MAX`).
const MAX_NAME: usize = 4096;

/// The contents of the extended headers before a member.
#[derive(Default)]
pub(super) struct PaxRecords {
    pub(super) name: Option<String>,
    pub(super) len: Option<u64>,
    pub(super) sparse: SparseRecords,
    /// The first key that is not supported, escaped.
    pub(super) unsupported: Option<String>,
    /// The first key that is not known and was ignored, escaped.
    pub(super) ignored: Option<String>,
}

impl PaxRecords {
    /// Reads records `LENGTH KEY=VALUE\n`, the length counting all of the record. A header of the kind `g` applies to
    /// all members that follow.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not a list of records, [`ErrorKind::Limit`] for a name over 4096 bytes.
    pub(super) fn add(&mut self, kind: u8, mut bytes: &[u8], offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) =
                split_record(bytes).ok_or_else(|| bad(ErrorKind::Corrupt, "extended header", offset))?;
            bytes = rest;
            match record.iter().position(|byte| *byte == b'=').and_then(|at| record.split_at_checked(at)) {
                Some((key, value)) => self.set(kind, key, value.get(1..).unwrap_or_default(), offset)?,
                None if record.is_empty() => {}
                None => return Err(bad(ErrorKind::Corrupt, "extended header", offset)),
            }
        }
        Ok(())
    }

    fn set(&mut self, kind: u8, key: &[u8], value: &[u8], offset: u64) -> Result<()> {
        let key = String::from_utf8_lossy(key);
        let is_global = kind == b'g';
        match &*key {
            "path" if !is_global => self.name = Some(path(value, offset)?),
            "size" if !is_global => self.len = Some(decimal(value, offset)?),
            "GNU.sparse.name" if !is_global => self.sparse.name = Some(path(value, offset)?),
            _ => match SparseRecord::parse(&key, value) {
                Some(record) if !is_global => self.sparse.add(&key, record),
                None if is_harmless(&key, value) => {}
                None if !may_change_bytes(&key) => {
                    self.ignored.get_or_insert_with(|| shown(&key));
                }
                _ => {
                    self.unsupported.get_or_insert_with(|| shown(&key));
                }
            },
        }
        Ok(())
    }
}

/// Returns true for keys of extended headers that are known to change neither the bytes nor the name of a member.
fn is_harmless(key: &str, value: &[u8]) -> bool {
    const HARMLESS: [&str; 3] = ["LIBARCHIVE.creationtime", "LIBARCHIVE.symlinktype", "RHT.security.selinux"];
    const HARMLESS_PREFIXES: [&str; 5] =
        ["LIBARCHIVE.xattr.", "MSWINDOWS.", "SCHILY.acl.", "SCHILY.xattr.", "security."];
    match key {
        "atime" | "charset" | "comment" | "ctime" | "gid" | "gname" | "hdrcharset" | "linkpath" | "mtime"
        | "uid" | "uname" | "SCHILY.dev" | "SCHILY.devmajor" | "SCHILY.devminor" | "SCHILY.fflags"
        | "SCHILY.ino" | "SCHILY.nlink" | "SUN.devmajor" | "SUN.devminor" => true,
        // star (1): the type of a file, which differs from that of its member if only its attributes are stored.
        "SCHILY.filetype" | "SCHILY.tarfiletype" => value == b"regular",
        _ => HARMLESS.contains(&key) || HARMLESS_PREFIXES.iter().any(|prefix| key.starts_with(prefix)),
    }
}

/// Returns true if a key that is not known may change the bytes or the name of a member. POSIX has other unknown keys
/// ignored; these are words in the keys of programs that store a file in another way: `GNU.volume.size`,
/// `SCHILY.realsize`, `SUN.holesdata`.
fn may_change_bytes(key: &str) -> bool {
    const WORDS: [&str; 11] = [
        "chunk", "compress", "crypt", "encod", "filetype", "hole", "offset", "path", "size", "sparse",
        "volume",
    ];
    let key = key.to_ascii_lowercase();
    key.is_empty() || WORDS.iter().any(|word| key.contains(word))
}

/// Splits the first `KEY=VALUE` from the records after it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
    let record = bytes.get(blank.checked_add(1)?..len)?;
    Some((record.strip_suffix(b"\n")?, bytes.get(len..)?))
}

fn decimal(value: &[u8], offset: u64) -> Result<u64> {
    let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
    size.ok_or_else(|| bad(ErrorKind::Corrupt, "size", offset))
}

/// Parses the name in an extended header.
///
/// # Errors
/// [`ErrorKind::Limit`] for more than 4096 bytes.
pub(super) fn path(bytes: &[u8], offset: u64) -> Result<String> {
    if bytes.len() > MAX_NAME.saturating_add(1) {
        return Err(bad(ErrorKind::Limit, "name", offset)
            .found(bytes.len())
            .expected(format_args!("at most {MAX_NAME} bytes")));
    }
    Ok(text(bytes))
}
