//! The text descriptor: type, extents and parent of an image.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File". Producers differ in case, blanks, quotes
//! and line ends; all variants are accepted. File names are kept as bytes, whatever `encoding` says, and decoded
//! when the file is opened.

use diskimg_core::{Error, ErrorKind, Finding, Result, ensure};

use crate::descriptor_keys::{KeyMeaning, filters_meaning, key_meaning};
use crate::descriptor_value::Value;
use crate::errors::{corrupt, limit, unsupported};
use crate::extent_line::{ExtentLine, has_extent_type, keyword};

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
/// The maximum number of unknown keys that are listed. Our limit.
const MAX_UNKNOWN_KEYS: usize = 8;
/// The `parentCID` of an image without a parent.
pub(crate) const NO_PARENT: u32 = u32::MAX;

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
    /// The first entry that indicates encryption.
    encryption: Option<Refused>,
    /// The first entry of an I/O filter that may change the data, or of another parent or data object.
    other: Option<Refused>,
    /// Names of unknown keys and the byte offsets of their lines, at most [`MAX_UNKNOWN_KEYS`].
    pub(crate) unknown_keys: Vec<(Vec<u8>, u64)>,
    /// Oddities that do not change the disk, one of each kind.
    pub(crate) notes: Vec<Finding>,
}

/// An entry for which the image is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Refused {
    meaning: KeyMeaning,
    /// The key, in lower case. The value follows unless it may be a secret.
    entry: Vec<u8>,
    /// The byte offset of the line.
    at: u64,
}

/// The keys, in lower case, that may occur once: a second line would make the descriptor ambiguous.
const SINGLE_KEYS: [&[u8]; 6] =
    [b"version", b"encoding", b"parentcid", b"createtype", b"parentfilenamehint", b"ddb.uuid.parent"];

impl Descriptor {
    /// Parses the descriptor at byte `at` of its file. Bytes after a NUL are padding.
    ///
    /// The lines of extents and of the keys that decide which bytes the disk has are parsed strictly. Other lines are
    /// accepted in any form: what is odd in them is in [`Descriptor::notes`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for an invalid or repeated line of those, [`ErrorKind::Unsupported`] for an unknown
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

    /// Checks that the bytes in the file are those of the disk: that they are not encrypted, that no filter of the host
    /// may have changed them, and that none of them is in a data object that this crate does not read.
    ///
    /// # Errors
    /// [`ErrorKind::Encrypted`] or [`ErrorKind::Unsupported`] naming the entry.
    pub(crate) fn check_readable(&self) -> Result<()> {
        self.refused().map_or(Ok(()), |refused| Err(refused.error()))
    }

    /// The finding on the entry for which [`Descriptor::check_readable`] refuses the image.
    pub(crate) fn unreadable(&self) -> Option<Finding> {
        let refused = self.refused()?;
        let check = match refused.meaning {
            KeyMeaning::Encryption => "encrypted",
            KeyMeaning::Filter => "io_filter",
            _ => "data_object",
        };
        Some(Finding::warning(check, refused.error().to_string()).at(refused.at))
    }

    fn refused(&self) -> Option<&Refused> {
        self.encryption.as_ref().or(self.other.as_ref())
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
            return self.line_without_value(line, at);
        };
        let key = key.trim_ascii().to_ascii_lowercase();
        let text = value.strip_prefix(b"=").unwrap_or_default();
        let meaning = key_meaning(&key);
        let value = match meaning {
            KeyMeaning::Decisive => Value::strict(text, at)?,
            _ => self.lenient_value(text, at),
        };
        self.classify(&key, meaning, &value);
        self.set(&key, value, seen)
    }

    /// Notes a line that is neither a comment nor an entry nor an extent.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is no text, or may be an extent, or a damaged entry that decides which bytes the disk has.
    fn line_without_value(&mut self, line: &[u8], at: u64) -> Result<()> {
        let word =
            line.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.').next().unwrap_or_default();
        let is_ignored =
            matches!(key_meaning(&word.to_ascii_lowercase()), KeyMeaning::Harmless | KeyMeaning::Unknown);
        let is_text = line.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
        ensure(is_ignored && is_text && !has_extent_type(line), || {
            corrupt("descriptor").at(at).found_name(line).expected("a comment, key or extent")
        })?;
        self.note(
            "descriptor_line",
            "a line of the descriptor is neither a comment nor a key nor an extent",
            at,
        );
        Ok(())
    }

    fn lenient_value(&mut self, text: &[u8], at: u64) -> Value {
        let (value, is_odd) = Value::lenient(text, at);
        if is_odd {
            self.note("descriptor_value", "a quote in the descriptor is not closed, or text follows it", at);
        }
        value
    }

    /// Adds a note, unless there is one of its kind.
    fn note(&mut self, check: &'static str, message: &str, at: u64) {
        if self.notes.iter().all(|note| note.check != check) {
            self.notes.push(Finding::note(check, message).at(at));
        }
    }

    /// Records an entry that makes the image unreadable, or that is not known.
    fn classify(&mut self, key: &[u8], meaning: KeyMeaning, value: &Value) {
        let meaning = if meaning == KeyMeaning::Filter { filters_meaning(&value.bytes) } else { meaning };
        let refused = |entry: Vec<u8>| Refused { meaning, entry, at: value.at };
        match meaning {
            KeyMeaning::Unknown if self.unknown_keys.len() < MAX_UNKNOWN_KEYS => {
                self.unknown_keys.push((key.to_vec(), value.at));
            }
            // An entry without a value states nothing.
            _ if value.bytes.is_empty() => {}
            KeyMeaning::Encryption => {
                // The value may be a secret.
                self.encryption.get_or_insert_with(|| refused(key.to_vec()));
            }
            KeyMeaning::Filter | KeyMeaning::OtherData => {
                self.other.get_or_insert_with(|| refused([key, b" = ", &value.bytes].concat()));
            }
            KeyMeaning::Decisive | KeyMeaning::Harmless | KeyMeaning::Unknown => {}
        }
    }

    fn set(&mut self, key: &[u8], value: Value, seen: &mut Vec<Vec<u8>>) -> Result<()> {
        let at = value.at;
        if SINGLE_KEYS.contains(&key) {
            ensure(!seen.iter().any(|seen| seen == key), || {
                corrupt("descriptor").at(at).found_name(key).expected("each key once")
            })?;
            seen.push(key.to_vec());
        }
        match key {
            b"version" => self.version = self.parsed_version(&value)?,
            b"encoding" => self.encoding = Some(value.bytes),
            b"cid" => self.set_content_id(&value),
            b"parentcid" => self.parent_cid = Some(value.content_id("parentCID")?),
            b"createtype" => self.create_type = Some(value),
            b"parentfilenamehint" => self.parent_file_name_hint = Some(value),
            key if key.starts_with(b"ddb.") => self.ddb.push((key.to_vec(), value)),
            _ => {}
        }
        Ok(())
    }

    fn parsed_version(&mut self, value: &Value) -> Result<u32> {
        let (word, more) = value.first_word();
        if more {
            self.note("descriptor_value", "text follows the version of the descriptor", value.at);
        }
        keyword(word, &[("1", 1), ("2", 2), ("3", 3)]).ok_or_else(|| {
            unsupported("version of the descriptor").at(value.at).found_name(word).expected("1 to 3")
        })
    }

    /// Sets the content id as QEMU reads it: the first of several counts, and one that is no number is ffffffff.
    fn set_content_id(&mut self, value: &Value) {
        if self.cid.is_some() {
            return self.note(
                "content_id",
                "the descriptor has more than one CID; the first counts",
                value.at,
            );
        }
        if value.content_id("CID").is_err() {
            let message =
                "the CID is not a number of up to 8 hexadecimal digits; it is read as qemu-img does";
            self.note("content_id", message, value.at);
        }
        self.cid = Some(value.content_id_as_qemu().unwrap_or(u32::MAX));
    }
}

impl Refused {
    fn error(&self) -> Error {
        let (kind, because) = match self.meaning {
            KeyMeaning::Encryption => (ErrorKind::Encrypted, "the image is encrypted by VMware"),
            KeyMeaning::Filter => (
                ErrorKind::Unsupported,
                "an I/O filter that is not known to leave the data in the file unchanged",
            ),
            _ => (ErrorKind::Unsupported, "it refers to another parent or data object, which is not read"),
        };
        corrupt("descriptor").with_kind(kind).at(self.at).found_name(&self.entry).because(because)
    }
}

#[cfg(test)]
mod tests;
