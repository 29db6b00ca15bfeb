//! The text descriptor: what the disk is, which files it is put together from, and what it is based on.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File". Producers differ in case, blanks, quotes
//! and line ends, and all of that is read. Names stay the bytes they are, whatever `encoding` says: they are
//! decoded by whoever looks for a file.

use diskimg_core::{ErrorKind, Result};

use crate::errors::{corrupt, limit, unsupported};
use crate::extent_line::ExtentLine;

/// How a descriptor begins.
pub(crate) const SIGNATURE: &[u8] = b"# Disk DescriptorFile";
/// The byte order mark of UTF-8.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";
/// The longest descriptor in bytes: 1 MiB. A bound of QEMU's.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// The most lines of a descriptor. A bound of ours: every extent, and as much again. VirtualBox reads 1100.
pub(crate) const MAX_LINES: usize = 8192;
/// The most files of an image. A bound of ours: split in pieces of 2 GiB, they hold 8 TiB.
pub(crate) const MAX_EXTENTS: usize = 4096;
/// The `parentCID` of an image without a parent.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// A value and where its line is in the file that holds the descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    /// Without quotes, and without the blanks around them.
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: u64,
}

/// A descriptor: what its lines say, none of it checked against anything else.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Descriptor {
    /// 1 to 3; 1 where it is not given.
    pub(crate) version: u32,
    /// The name of the character set of file names, if it is given.
    pub(crate) encoding: Option<Vec<u8>>,
    pub(crate) cid: Option<u32>,
    /// [`NO_PARENT`] in an image without one, and in VirtualBox's with one.
    pub(crate) parent_cid: Option<u32>,
    pub(crate) create_type: Option<Value>,
    pub(crate) parent_file_name_hint: Option<Value>,
    pub(crate) extents: Vec<ExtentLine>,
    /// The disk data base, in its order: lower-case names with `ddb.` in front, and their values.
    pub(crate) ddb: Vec<(Vec<u8>, Value)>,
    /// The first entry that speaks of encryption: its lower-case name, and the byte where its line is.
    pub(crate) encryption: Option<(Vec<u8>, u64)>,
}

/// Which keys have been seen: a second one would leave open which of the two is meant.
#[derive(Default)]
struct Seen {
    version: bool,
    encoding: bool,
    cid: bool,
    parent_cid: bool,
    create_type: bool,
    parent_file_name_hint: bool,
}

impl Descriptor {
    /// Reads a descriptor that lies at byte `at` of its file. What follows a NUL is padding.
    ///
    /// Unknown keys are passed over, `changeTrackPath` among them: the file it names is none of a reader's.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a line that cannot be read, or a key that comes twice;
    /// [`ErrorKind::Unsupported`] for another version, extent type or UTF-16;
    /// [`ErrorKind::Limit`] for too many lines or extents.
    pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<Self> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(unsupported("descriptor").at(at).because("text in UTF-16 is not read"));
        }
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let (skipped, text) = match text.strip_prefix(BOM) {
            Some(text) => (BOM.len() as u64, text),
            None => (0, text),
        };
        let mut descriptor = Self { version: 1, ..Self::default() };
        let mut seen = Seen::default();
        let mut place = at.saturating_add(skipped);
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if number >= MAX_LINES {
                return Err(limit("descriptor")
                    .at(place)
                    .expected(format_args!("at most {MAX_LINES} lines")));
            }
            descriptor.line(line.trim_ascii(), place, &mut seen)?;
            place = place.saturating_add(line.len() as u64).saturating_add(1);
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

    /// Whether it describes no disk: a header may come with room for a descriptor, and none in it.
    pub(crate) fn is_silent(&self) -> bool {
        self.create_type.is_none() && self.extents.is_empty()
    }

    /// The value of an entry of the disk data base, by its lower-case name with `ddb.` in front.
    pub(crate) fn ddb(&self, name: &str) -> Option<&Value> {
        self.ddb.iter().find(|(found, _)| found == name.as_bytes()).map(|(_, value)| value)
    }

    /// The name of the character set of file names: the key, or else what VMware keeps of it.
    pub(crate) fn encoding(&self) -> Option<&[u8]> {
        let kept = || self.ddb("ddb.encoding").map(|value| value.bytes.as_slice());
        self.encoding.as_deref().or_else(kept)
    }

    fn line(&mut self, line: &[u8], at: u64, seen: &mut Seen) -> Result<()> {
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

    fn set(&mut self, key: &[u8], value: Value, seen: &mut Seen) -> Result<()> {
        let at = value.at;
        if is_encryption(key, &value.bytes) {
            self.encryption.get_or_insert_with(|| (key.to_vec(), at));
        }
        let once = |seen: &mut bool| {
            if std::mem::replace(seen, true) {
                return Err(corrupt("descriptor").at(at).found_name(key).expected("each key once"));
            }
            Ok(())
        };
        match key {
            b"version" => {
                once(&mut seen.version)?;
                self.version = version(&value)?;
            }
            b"encoding" => {
                once(&mut seen.encoding)?;
                self.encoding = Some(value.bytes);
            }
            b"cid" => {
                once(&mut seen.cid)?;
                self.cid = Some(content_id("CID", &value)?);
            }
            b"parentcid" => {
                once(&mut seen.parent_cid)?;
                self.parent_cid = Some(content_id("parentCID", &value)?);
            }
            b"createtype" => {
                once(&mut seen.create_type)?;
                self.create_type = Some(value);
            }
            b"parentfilenamehint" => {
                once(&mut seen.parent_file_name_hint)?;
                self.parent_file_name_hint = Some(value);
            }
            key if key.starts_with(b"ddb.") => self.ddb.push((key.to_vec(), value)),
            _ => {}
        }
        Ok(())
    }
}

/// True if an entry speaks of encryption: the keys of VMware Workstation (`encryption.keySafe`, `encryption.data`) and
/// of vSphere (`keyID`, `encryptionKeys`, and the I/O filter `vmwarevmcrypt`), with or without `ddb.` in front.
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

/// A value without the quotes and blanks around it.
fn unquoted(value: &[u8], at: u64) -> Result<&[u8]> {
    let value = value.trim_ascii();
    let Some(inner) = value.strip_prefix(b"\"") else { return Ok(value) };
    inner
        .strip_suffix(b"\"")
        .ok_or_else(|| corrupt("descriptor").at(at).found_name(value).expected("a quote at both ends"))
}

fn version(value: &Value) -> Result<u32> {
    match value.bytes.as_slice() {
        b"1" => Ok(1),
        b"2" => Ok(2),
        b"3" => Ok(3),
        other => {
            Err(unsupported("version of the descriptor").at(value.at).found_name(other).expected("1 to 3"))
        }
    }
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
mod tests {
    use super::*;

    const PLAIN: &str = "# Disk DescriptorFile\nversion=1\nencoding=\"windows-1252\"\nCID=1a2B3c4d\n\
        parentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n# Extent description\n\
        RW 20480 FLAT \"my disk = 1-flat.vmdk\" 0\n\n#DDB\n\nddb.adapterType = \"ide\"\n\
        ddb.uuid.image=\"x\"\n";

    fn parse(text: &[u8]) -> Descriptor {
        Descriptor::parse(text, 512).unwrap()
    }

    #[test]
    fn a_descriptor_is_read() {
        let descriptor = parse(PLAIN.as_bytes());
        assert_eq!((descriptor.version, descriptor.cid), (1, Some(0x1a2b_3c4d)));
        assert_eq!(descriptor.parent_cid, Some(NO_PARENT));
        assert_eq!(descriptor.encoding.as_deref(), Some(&b"windows-1252"[..]));
        assert_eq!(descriptor.create_type.clone().unwrap().bytes, b"monolithicFlat");
        assert_eq!(descriptor.extents[0].name.as_deref(), Some(&b"my disk = 1-flat.vmdk"[..]));
        assert_eq!(descriptor.extents[0].at, 512 + PLAIN.find("RW").unwrap() as u64);
        let names: Vec<_> = descriptor.ddb.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"ddb.adaptertype"[..], b"ddb.uuid.image"]);
        assert_eq!(descriptor.ddb("ddb.adaptertype").unwrap().bytes, b"ide");
    }

    #[test]
    fn dialects_say_the_same() {
        let plain = parse(PLAIN.as_bytes());
        let meaning = |text: &[u8]| {
            let mut read = parse(text);
            let places = read.extents.iter_mut().map(|line| &mut line.at);
            places.chain(read.create_type.iter_mut().map(|value| &mut value.at)).for_each(|at| *at = 0);
            read.ddb.iter_mut().for_each(|(_, value)| value.at = 0);
            read
        };
        let same = meaning(PLAIN.as_bytes());
        assert_eq!((same.cid, &same.extents[0].name), (plain.cid, &plain.extents[0].name));
        let crlf = PLAIN.replace('\n', "\r\n");
        let trailing = PLAIN.replace('\n', " \t\n");
        let leading = PLAIN.replace('\n', "\n  ");
        let spaced = PLAIN.replace("=1\n", " = 1\n").replace("Type=\"", "type  =\t\"");
        let upper = PLAIN.replace("createType", "CREATETYPE").replace("CID", "cid").replace("ddb.", "DDB.");
        let bare = PLAIN.replace("\"ide\"", "ide").replace("\"monolithicFlat\"", "monolithicFlat");
        for text in [crlf, trailing, leading, spaced, upper, bare] {
            assert_eq!(meaning(text.as_bytes()), same, "{text}");
        }
        assert_eq!(meaning(&[BOM, PLAIN.as_bytes()].concat()), same);
        assert_eq!(meaning(&[PLAIN.as_bytes(), &[0; 100], b"rest"].concat()), same);
        assert_eq!(meaning(PLAIN.trim_end().as_bytes()), same);
    }

    #[test]
    fn names_stay_the_bytes_they_are() {
        let text = b"RW 1 FLAT \"\xb4\xc5\xc5\xcc.vmdk\" 0\nparentFileNameHint=\"\xe4\xf6.vmdk\"\n";
        let descriptor = parse(text);
        assert_eq!(descriptor.extents[0].name.as_deref(), Some(&b"\xb4\xc5\xc5\xcc.vmdk"[..]));
        assert_eq!(descriptor.parent_file_name_hint.unwrap().bytes, b"\xe4\xf6.vmdk");
    }

    #[test]
    fn what_leaves_open_what_is_meant_is_refused() {
        let table = [
            ("CID=1\nCID=1", ErrorKind::Corrupt, 6),
            ("createType=\"a\"\ncreatetype=a", ErrorKind::Corrupt, 15),
            ("createType=\"a", ErrorKind::Corrupt, 0),
            ("hello", ErrorKind::Corrupt, 0),
            ("CID=123456789", ErrorKind::Corrupt, 0),
            ("CID=", ErrorKind::Corrupt, 0),
            ("CID=+1", ErrorKind::Corrupt, 0),
            ("version=4", ErrorKind::Unsupported, 0),
            ("\nRW 1 FLAT \"a", ErrorKind::Corrupt, 1),
        ];
        for (text, kind, at) in table {
            let error = Descriptor::parse(text.as_bytes(), 0).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (kind, Some(at)), "{text}: {error}");
        }
        let error = Descriptor::parse(b"\xff\xfe#\0", 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn entries_that_speak_of_encryption_are_found() {
        let table = [
            ("encryption.keySafe = \"vmware:key/list/(x)\"", true),
            ("encryption.data=\"x\"", true),
            ("keyID = \"x\"", true),
            ("encryptionKeys = \"vmware:key/list/(x)\"", true),
            ("DDB.EncryptionKeys = \"x\"", true),
            ("ddb.iofilters = \"vmwarevmcrypt\"", true),
            ("ddb.iofilters = \"cache,VMwareVMCrypt\"", true),
            ("ddb.iofilters = \"cache\"", false),
            ("keyID = \"\"", false),
            ("encoding=\"UTF-8\"\nddb.encoding=\"UTF-8\"", false),
        ];
        for (text, expected) in table {
            let descriptor = parse(format!("CID=1\n{text}\n").as_bytes());
            let error = descriptor.check_plain().err().map(|error| (error.kind(), error.offset()));
            assert_eq!(error, expected.then_some((ErrorKind::Encrypted, Some(518))), "{text}");
        }
    }

    #[test]
    fn lines_and_extents_are_counted() {
        let error = Descriptor::parse(&b"\n".repeat(MAX_LINES), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        let lines = "RW 1 ZERO\n".repeat(MAX_EXTENTS);
        assert_eq!(parse(lines.as_bytes()).extents.len(), MAX_EXTENTS);
        let error = Descriptor::parse((lines + "RW 1 ZERO").as_bytes(), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
