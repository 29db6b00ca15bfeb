//! The interface of a format.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::{
    BlockSink, BlockSource, CacheGroup, CheckReport, DenyReferences, Error, ErrorKind, Finding, Format,
    Image, ImageInfo, Limits, Measured, Progress, Resolver, Result, Siblings, StreamDecoder,
};

/// Compares the tables of an image that was described with the length of its file: the type of [`Driver::survey`].
pub type SurveyFn = fn(&dyn BlockSource, &ImageInfo, &Limits) -> Vec<Finding>;

/// Opens one layer of an image for reading: the type of [`Driver::open`].
pub type OpenFn = fn(Arc<dyn BlockSource>, &OpenOptions<'_>) -> Result<Arc<dyn Image>>;

/// Creates a stream decoder: the type of [`Driver::stream`].
pub type StreamFn = fn(&Limits) -> Result<Box<dyn StreamDecoder>>;

/// Reads the settings of an existing image: the type of [`Driver::settings_of`].
pub type SettingsOfFn = fn(&dyn BlockSource, &ImageInfo) -> Result<Vec<Setting>>;

/// Creates an image over a sink that grows: the type of [`Driver::create`].
pub type CreateFn = fn(Box<dyn BlockSink>, &CreateOptions) -> Result<Box<dyn BlockSink>>;

/// Measures the image that [`Driver::create`] would create with these options for a disk with data in these
/// ranges: the type of [`Driver::measure`]. The ranges ascend and do not overlap; `None` is a disk that is
/// created and not written.
pub type MeasureFn =
    fn(&CreateOptions, Option<&mut dyn Iterator<Item = Result<Range<u64>>>>) -> Result<Measured>;

/// Checks the structure of one layer of an image and opens no files but those of the layer: the type of
/// [`Driver::check`].
pub type CheckFn = fn(Arc<dyn BlockSource>, &OpenOptions<'_>) -> Result<CheckReport>;

/// The functions and properties of a format: one `static` per format crate, listed by the facade. Nothing registers
/// itself.
#[derive(Clone, Copy)]
pub struct Driver {
    /// The format's name.
    pub format: Format,
    /// A description of one line.
    pub description: &'static str,
    /// The usual file name extensions without the dot, the most common one first.
    pub extensions: &'static [&'static str],
    /// Recognises the format by the first bytes of a file. A pure function that reads fixed offsets.
    pub probe: fn(&[u8]) -> Verdict,
    /// Describes an image. Opens no other file and reads as little as possible.
    pub inspect: fn(&dyn BlockSource, &Limits) -> Result<ImageInfo>,
    /// Compares the tables of an image with the length of its file and returns findings: structures past the end of the
    /// file, and clusters in which it ends. [`Driver::inspect`] returns no such findings, because it reads no tables.
    /// Reads at most [`Limits::metadata_cache`] bytes of tables, and returns a finding if there are more. `None` if the
    /// format has no tables.
    pub survey: Option<SurveyFn>,
    /// Opens one layer for reading. A backing file is only reported; the facade opens chains.
    pub open: OpenFn,
    /// Creates a decoder of a streamed image, if the format can be streamed.
    pub stream: Option<StreamFn>,
    /// Creates an image over a sink that grows, if the format can be written.
    pub create: Option<CreateFn>,
    /// Measures the size of an image before it is created, if the format can be written.
    pub measure: Option<MeasureFn>,
    /// Checks the structure of an image, if the format has any to check.
    pub check: Option<CheckFn>,
    /// The settings that [`CreateOptions::settings`] may contain.
    pub settings: &'static [SettingHelp],
    /// Reads the settings that create an image like the one in a file, which was opened with this description: its units,
    /// version and layout, but neither its size nor what identifies its content. An error for an image that
    /// [`Driver::create`] cannot write. `None` if the format has no settings.
    pub settings_of: Option<SettingsOfFn>,
}

/// The answer of a probe over a prefix of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not this format, whatever follows.
    No,
    /// This format.
    Yes,
    /// At least this many bytes are needed. If the file is shorter, the answer is no.
    NeedBytes(usize),
}

/// Options for opening an image.
#[derive(Clone)]
pub struct OpenOptions<'a> {
    /// The limits on its cost.
    pub limits: Limits,
    /// Resolves references in the image. By default all are denied.
    pub resolver: &'a dyn Resolver,
    /// An internal snapshot to read instead of the active state.
    pub snapshot: Option<SnapshotSelector>,
    /// Receives the progress of [`Driver::check`] in guest bytes and may stop it. [`Driver::open`] ignores it.
    pub progress: &'a dyn Progress,
    /// The caches that share [`Limits::metadata_cache`] with those of the opened layer.
    pub caches: CacheGroup,
}

impl OpenOptions<'_> {
    /// Reports that a check has done `bytes` more guest bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the caller stops the check.
    pub fn advance(&self, bytes: u64) -> Result<()> {
        match self.progress.advance(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled()),
        }
    }
}

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            resolver: &DenyReferences,
            snapshot: None,
            progress: &(),
            caches: CacheGroup::default(),
        }
    }
}

/// Selects an internal snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotSelector {
    /// The snapshot with this id.
    Id(String),
    /// The first snapshot with this name.
    Name(String),
    /// The snapshot with this id, or else the first with this name.
    IdOrName(String),
}

/// Options for creating an image.
#[derive(Clone, Default)]
pub struct CreateOptions {
    /// The size of the disk in bytes. A format that counts in sectors rounds up and pads with zeros.
    pub virtual_size: u64,
    /// If set, units are stored compressed.
    pub compress: bool,
    /// The compression level; `None` is the default of the method. Refused if nothing is compressed.
    pub level: Option<i32>,
    /// Settings of the format as typed by the user: `cluster_size=2M`.
    pub settings: Vec<Setting>,
    /// Creates the other files of an image of several files. If `None`, only images of one file can be written.
    pub siblings: Option<Arc<dyn Siblings>>,
}

/// One `name=value` of [`CreateOptions::settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name.
    pub name: String,
    /// The value as typed.
    pub value: String,
}

/// The help for one setting of a format.
#[derive(Clone, Copy, Debug)]
pub struct SettingHelp {
    /// The name.
    pub name: &'static str,
    /// The allowed values and the default.
    pub values: &'static str,
    /// A description of one line.
    pub help: &'static str,
}

impl Setting {
    /// Parses `name=value,name=value`, the syntax of `-o`. A comma inside a value is doubled. A name without a value is
    /// a switch with the value `on`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a part without a name.
    ///
    /// ```
    /// use diskimg_core::Setting;
    /// let settings = Setting::parse_list("cluster_size=2M,lazy_refcounts")?;
    /// assert_eq!(settings[0].name, "cluster_size");
    /// assert_eq!(settings[1].value, "on");
    /// # Ok::<(), diskimg_core::Error>(())
    /// ```
    pub fn parse_list(list: &str) -> Result<Vec<Self>> {
        let mut parts: Vec<String> = Vec::new();
        let mut part = String::new();
        let mut rest = list.chars().peekable();
        while let Some(c) = rest.next() {
            if c != ',' {
                part.push(c);
            } else if rest.next_if_eq(&',').is_some() {
                part.push(',');
            } else {
                parts.push(std::mem::take(&mut part));
            }
        }
        parts.push(part);
        parts.iter().filter(|part| !part.is_empty()).map(|part| Self::parse(part)).collect()
    }

    fn parse(part: &str) -> Result<Self> {
        let (name, value) = part.split_once('=').unwrap_or((part, "on"));
        if name.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput)
                .field("option")
                .found_name(part.as_bytes())
                .expected("name=value"));
        }
        Ok(Self { name: name.trim().to_owned(), value: value.to_owned() })
    }

    /// Returns the value as a bool: `on`/`off`, `yes`/`no`, `true`/`false`, `y`/`n`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for anything else.
    pub fn as_bool(&self) -> Result<bool> {
        match self.value.as_str() {
            "on" | "yes" | "true" | "y" => Ok(true),
            "off" | "no" | "false" | "n" => Ok(false),
            _ => Err(self.invalid("on or off")),
        }
    }

    /// Returns the value as a size in bytes: a number with an optional suffix b, k, M, G, T, P or E (powers of
    /// 1024), as in `qemu-img`, or a hexadecimal number with `0x`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for anything else, and for sizes of 2^63 or more.
    pub fn as_size(&self) -> Result<u64> {
        let size = parse_size(&self.value).ok_or_else(|| self.invalid("a size such as 65536, 64k or 2M"))?;
        match i64::try_from(size) {
            Ok(size) => Ok(size.unsigned_abs()),
            Err(_) => Err(self.invalid(format_args!("at most {} bytes", i64::MAX))),
        }
    }

    /// Returns the error for an invalid value: [`ErrorKind::InvalidInput`] with name, value and expectation.
    #[must_use]
    pub fn invalid(&self, expected: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::InvalidInput)
            .field(format!("option {}", self.name))
            .found_name(self.value.as_bytes())
            .expected(expected)
    }
}

/// Returns a size in bytes, of any magnitude.
fn parse_size(text: &str) -> Option<u128> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u128::from_str_radix(hex, 16).ok();
    }
    let suffix = text.chars().last()?.to_ascii_lowercase();
    let (number, power) = match "bkmgtpe".find(suffix) {
        Some(power) => (text.get(..text.len().checked_sub(1)?)?, power),
        None => (text, 0),
    };
    let unit = 1024_u128.checked_pow(u32::try_from(power).ok()?)?;
    // A fraction is computed exactly, in integers. Its digits past the ninth are ignored.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.get(..9).unwrap_or(fraction);
    let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let part = digits.parse::<u128>().ok()?.checked_mul(unit)?.checked_div(scale)?;
    whole.parse::<u128>().ok()?.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_that_is_too_large_is_refused_with_the_largest() {
        let setting = |value: &str| Setting { name: "size".to_owned(), value: value.to_owned() };
        assert_eq!(setting("9223372036854775807").as_size().unwrap(), (1 << 63) - 1);
        for value in
            ["8E", "9223372036854775808", "18446744073709551616", "0x8000000000000000", "99999999999G"]
        {
            let error = setting(value).as_size().unwrap_err().to_string();
            assert!(error.ends_with("expected at most 9223372036854775807 bytes"), "{error}");
        }
        for value in ["-1", "", "1x"] {
            let error = setting(value).as_size().unwrap_err().to_string();
            assert!(error.ends_with("a size such as 65536, 64k or 2M"), "{error}");
        }
    }

    #[test]
    fn sizes_are_parsed_as_by_qemu_img() {
        let table = [
            ("0", Some(0)),
            ("65536", Some(65_536)),
            ("64k", Some(65_536)),
            ("2M", Some(2 << 20)),
            ("1.5G", Some(3 << 29)),
            ("1T", Some(1 << 40)),
            ("7E", Some(7 << 60)),
            ("8E", Some(1 << 63)),
            ("0x200", Some(512)),
            ("512b", Some(512)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1.k", None),
            ("1x", None),
            ("1é", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn doubled_comma_is_a_comma() {
        let settings = Setting::parse_list("a=1,,2,b=").unwrap();
        assert_eq!(settings[0].value, "1,2");
        assert_eq!(settings[1], Setting { name: "b".into(), value: String::new() });
        for nameless in ["=1", "a=1,=", " "] {
            assert_eq!(
                Setting::parse_list(nameless).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{nameless}"
            );
        }
    }

    #[test]
    fn name_without_a_value_is_switched_on() {
        let settings = Setting::parse_list("compat=1.1,lazy_refcounts,compat6").unwrap();
        let parsed: Vec<(&str, &str)> =
            settings.iter().map(|setting| (setting.name.as_str(), setting.value.as_str())).collect();
        assert_eq!(parsed, [("compat", "1.1"), ("lazy_refcounts", "on"), ("compat6", "on")]);
    }
}
