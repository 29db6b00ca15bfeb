//! The text descriptor: type, extents and parent of an image.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File". Producers differ in case, blanks, quotes
//! and line ends; all variants are accepted. File names are kept as bytes, whatever `encoding` says, and decoded
//! when the file is opened.

use diskimg_core::{ErrorKind, Result, ensure};

use crate::errors::{corrupt, limit, unsupported};
use crate::extent_line::{ExtentLine, keyword};

/// The usual first line of a descriptor.
pub(crate) const SIGNATURE: &[u8] = b"# Disk DescriptorFile";
/// The byte order mark of UTF-8.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";
/// The longest descriptor in bytes: 1 MiB. A limit of QEMU.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// The maximum number of lines of a descriptor. Our limit: twice [`MAX_EXTENTS`]. VirtualBox reads 1100.
pub(crate) const MAX_LINES: usize = 8192;
/// The maximum number of files of an image. Our limit: 8 TiB in files of 2 GiB.
pub(crate) const MAX_EXTENTS: usize = 4096;
/// The `parentCID` of an image without a parent.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// A value, and the byte offset of its line in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    /// The value without quotes and surrounding blanks.
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: u64,
}

/// A parsed descriptor. Its entries are not checked against each other or the file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Descriptor {
    /// 1 to 3; 1 if it is missing.
    pub(crate) version: u32,
    /// The character set of file names.
    encoding: Option<Vec<u8>>,
    pub(crate) cid: Option<u32>,
    /// [`NO_PARENT`] without a parent. VirtualBox writes [`NO_PARENT`] with a parent too.
    pub(crate) parent_cid: Option<u32>,
    pub(crate) create_type: Option<Value>,
    pub(crate) parent_file_name_hint: Option<Value>,
    pub(crate) extents: Vec<ExtentLine>,
    /// The disk database in file order: lower-case names with the prefix `ddb.`, and their values.
    ddb: Vec<(Vec<u8>, Value)>,
    /// The first entry that indicates encryption: its lower-case name, and the byte offset of its line.
    encryption: Option<(Vec<u8>, u64)>,
}

/// The keys, in lower case, that may occur once: a second line would make the descriptor ambiguous.
const SINGLE_KEYS: [&[u8]; 6] =
    [b"version", b"encoding", b"cid", b"parentcid", b"createtype", b"parentfilenamehint"];

impl Descriptor {
    /// Parses the descriptor at byte `at` of its file. Bytes after a NUL are padding.
    ///
    /// Unknown keys are ignored. `changeTrackPath` is one of them: a reader does not need the file it names.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for an invalid line or a repeated key, [`ErrorKind::Unsupported`] for an unknown
    /// version or extent type and for UTF-16, [`ErrorKind::Limit`] for too many lines or extents.
    pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<Self> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(unsupported("descriptor").at(at).because("UTF-16 is not supported"));
        }
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let (skipped, text) = match text.strip_prefix(BOM) {
            Some(text) => (BOM.len() as u64, text),
            None => (0, text),
        };
        let mut descriptor = Self { version: 1, ..Self::default() };
        let mut seen = Vec::new();
        let mut line_at = at.saturating_add(skipped);
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            ensure(number < MAX_LINES, || {
                limit("descriptor").at(line_at).expected(format_args!("at most {MAX_LINES} lines"))
            })?;
            descriptor.line(line.trim_ascii(), line_at, &mut seen)?;
            line_at = line_at.saturating_add(line.len() as u64).saturating_add(1);
        }
        Ok(descriptor)
    }

    /// Checks that the grains are not encrypted.
    ///
    /// # Errors
    /// [`ErrorKind::Encrypted`] naming the entry.
    pub(crate) fn check_plain(&self) -> Result<()> {
        match &self.encryption {
            None => Ok(()),
            Some((key, at)) => Err(corrupt("descriptor")
                .with_kind(ErrorKind::Encrypted)
                .at(*at)
                .found_name(key)
                .because("the image is encrypted by VMware")),
        }
    }

    /// Returns true if an entry indicates that the image is encrypted.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// Returns true if it describes no disk. The room for a descriptor after a header may be blank.
    pub(crate) fn is_blank(&self) -> bool {
        self.create_type.is_none() && self.extents.is_empty()
    }

    /// The value of an entry of the disk database, by its lower-case name with the prefix `ddb.`.
    pub(crate) fn ddb(&self, name: &str) -> Option<&Value> {
        self.ddb.iter().find(|(found, _)| found == name.as_bytes()).map(|(_, value)| value)
    }

    /// The character set of file names: the value of `encoding`, or else of `ddb.encoding`.
    pub(crate) fn encoding(&self) -> Option<&[u8]> {
        let in_database = || self.ddb("ddb.encoding").map(|value| value.bytes.as_slice());
        self.encoding.as_deref().or_else(in_database)
    }

    fn line(&mut self, line: &[u8], at: u64, seen: &mut Vec<Vec<u8>>) -> Result<()> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        if let Some(extent) = ExtentLine::parse(line, at)? {
            if self.extents.len() >= MAX_EXTENTS {
                return Err(limit("extents").at(at).expected(format_args!("at most {MAX_EXTENTS}")));
            }
            self.extents.push(extent);
            return Ok(());
        }
        let equals = line.iter().position(|byte| *byte == b'=');
        let Some((key, value)) = equals.and_then(|equals| line.split_at_checked(equals)) else {
            return Err(corrupt("descriptor").at(at).found_name(line).expected("a comment, key or extent"));
        };
        let key = key.trim_ascii().to_ascii_lowercase();
        let value = value.strip_prefix(b"=").unwrap_or_default();
        self.set(&key, Value { bytes: unquoted(value, at)?.to_vec(), at }, seen)
    }

    fn set(&mut self, key: &[u8], value: Value, seen: &mut Vec<Vec<u8>>) -> Result<()> {
        let at = value.at;
        if is_encryption(key, &value.bytes) {
            self.encryption.get_or_insert_with(|| (key.to_vec(), at));
        }
        if SINGLE_KEYS.contains(&key) {
            ensure(!seen.iter().any(|seen| seen == key), || {
                corrupt("descriptor").at(at).found_name(key).expected("each key once")
            })?;
            seen.push(key.to_vec());
        }
        match key {
            b"version" => self.version = version(&value)?,
            b"encoding" => self.encoding = Some(value.bytes),
            b"cid" => self.cid = Some(content_id("CID", &value)?),
            b"parentcid" => self.parent_cid = Some(content_id("parentCID", &value)?),
            b"createtype" => self.create_type = Some(value),
            b"parentfilenamehint" => self.parent_file_name_hint = Some(value),
            key if key.starts_with(b"ddb.") => self.ddb.push((key.to_vec(), value)),
            _ => {}
        }
        Ok(())
    }
}

/// Returns true if an entry indicates encryption: a key of VMware Workstation (`encryption.keySafe`,
/// `encryption.data`) or of vSphere (`keyID`, `encryptionKeys`, and the I/O filter `vmwarevmcrypt`), with or
/// without the prefix `ddb.`.
fn is_encryption(key: &[u8], value: &[u8]) -> bool {
    let key = key.strip_prefix(b"ddb.").unwrap_or(key);
    let contains =
        |text: &[u8], word: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    !value.is_empty()
        && (key == b"keyid"
            || contains(key, b"encrypt")
            || contains(key, b"keysafe")
            || (key == b"iofilters" && contains(value, b"crypt")))
}

/// Returns a value without quotes and surrounding blanks.
fn unquoted(value: &[u8], at: u64) -> Result<&[u8]> {
    let value = value.trim_ascii();
    let Some(inner) = value.strip_prefix(b"\"") else { return Ok(value) };
    inner
        .strip_suffix(b"\"")
        .ok_or_else(|| corrupt("descriptor").at(at).found_name(value).expected("a quote at both ends"))
}

fn version(value: &Value) -> Result<u32> {
    keyword(&value.bytes, &[("1", 1), ("2", 2), ("3", 3)]).ok_or_else(|| {
        unsupported("version of the descriptor").at(value.at).found_name(&value.bytes).expected("1 to 3")
    })
}

fn content_id(field: &str, value: &Value) -> Result<u32> {
    let digits = std::str::from_utf8(&value.bytes).ok();
    digits
        .filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| {
            corrupt(field).at(value.at).found_name(&value.bytes).expected("up to 8 hexadecimal digits")
        })
}

#[cfg(test)]
mod tests;
