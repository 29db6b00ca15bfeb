//! Settings of a format, as typed by the user.

use crate::{Error, ErrorKind, Result};

/// One `name=value` of [`crate::CreateOptions::settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name.
    pub name: String,
    /// The value as typed.
    pub value: String,
}

/// The help for one setting of a format.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SettingHelp {
    /// The name.
    pub name: &'static str,
    /// The allowed values and the default.
    pub values: &'static str,
    /// A description of one line.
    pub help: &'static str,
}

impl SettingHelp {
    /// Creates the help for the setting `name`.
    #[must_use]
    pub const fn new(name: &'static str, values: &'static str, help: &'static str) -> Self {
        Self { name, values, help }
    }
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
