//! Settings of a format as users type them.

use std::fmt::Display;

use crate::{Error, ErrorKind, Format, Result, Setting, SettingHelp};

/// Returns the choice that the setting's value names.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for any other value; `expected` lists the choices.
///
/// ```
/// use diskimg_core::writer::choose;
/// use diskimg_core::{Format, Setting};
/// let setting = Setting { name: "compat".into(), value: "v3".into() };
/// let version = choose(Format::new("qcow2"), &setting, &[("v2", 2), ("v3", 3)], "v2 or v3")?;
/// assert_eq!(version, 3);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn choose<T: Copy>(
    format: Format,
    setting: &Setting,
    choices: &[(&str, T)],
    expected: impl Display,
) -> Result<T> {
    let choice = choices.iter().find(|(name, _)| *name == setting.value);
    choice.map(|(_, value)| *value).ok_or_else(|| setting.invalid(expected).format(format))
}

/// The error for a setting that the format does not have; it lists the `known` ones.
#[must_use]
pub fn unknown_setting(format: Format, setting: &Setting, known: &[SettingHelp]) -> Error {
    let names: Vec<&str> = known.iter().map(|help| help.name).collect();
    Error::new(ErrorKind::InvalidInput)
        .format(format)
        .field("option")
        .found_name(setting.name.as_bytes())
        .expected(format_args!("one of {}", names.join(", ")))
}
