//! The settings of a target: those of its format, and those of its file.

use diskimg_core::{Driver, Result, Setting, SettingHelp};
use diskimg_raw::Preallocation;

use crate::convert::Target;
use crate::drivers::driver_of;

const PREALLOCATION: SettingHelp = SettingHelp::new(
    "preallocation",
    "off (default), falloc or full",
    "reserves the space of the whole file first: falloc allocates it, full writes zeros",
);

const NO_COPY_ON_WRITE: SettingHelp =
    SettingHelp::new("nocow", "on or off (default)", "turns off copy-on-write of the new file on btrfs");

/// The text of `qemu-img`, for which importers search.
const UNSUPPORTED_MODE: &str = "Unsupported preallocation mode";

/// Returns the settings that [`Target::configure`] accepts for this format: its own, and those of the file. A format that
/// cannot be written has none.
///
/// ```
/// use diskimg::{driver, settings};
/// let names = settings(driver("raw")?).map(|setting| setting.name);
/// assert_eq!(names.collect::<Vec<_>>(), ["preallocation", "nocow"]);
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn settings(driver: &Driver) -> impl Iterator<Item = &'static SettingHelp> {
    let is_raw = driver.format == diskimg_raw::DRIVER.format;
    let of_files: &[SettingHelp] = match is_raw {
        true => &[PREALLOCATION, NO_COPY_ON_WRITE],
        false => &[NO_COPY_ON_WRITE],
    };
    let is_written = driver.create.is_some() || is_raw;
    driver.settings.iter().chain(of_files.iter().filter(move |_| is_written))
}

impl Target {
    /// Applies settings: those of the file become [`Target::no_copy_on_write`], and for raw [`Target::preallocation`]. The
    /// rest becomes [`Target::settings`], which the writer of the format checks. The last of several values of a setting
    /// applies.
    ///
    /// ```
    /// use diskimg::{Preallocation, Setting, Target, driver};
    /// let mut target = Target::file("disk.raw", driver("raw")?.format);
    /// target.configure(Setting::parse_list("preallocation=falloc")?)?;
    /// assert_eq!((target.preallocation, target.settings), (Preallocation::Falloc, Vec::new()));
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a value that a setting of the file cannot have.
    pub fn configure(&mut self, settings: Vec<Setting>) -> Result<()> {
        let mut kept: Vec<Setting> = Vec::new();
        for setting in settings {
            kept.retain(|earlier| earlier.name != setting.name);
            kept.push(setting);
        }
        if let Some(setting) = take(&mut kept, NO_COPY_ON_WRITE.name) {
            self.no_copy_on_write = setting.as_bool()?;
        }
        if self.format == diskimg_raw::DRIVER.format {
            if let Some(setting) = take(&mut kept, PREALLOCATION.name) {
                self.preallocation = preallocation(&setting)?;
            }
        }
        // `qemu-img` accepts `off` for every format.
        let has_own = driver_of(self.format).is_ok_and(|driver| has(driver, PREALLOCATION.name));
        if !has_own {
            if let Some(setting) = take(&mut kept, PREALLOCATION.name) {
                if setting.value != "off" {
                    return Err(setting.invalid("off").format(self.format).because(UNSUPPORTED_MODE));
                }
            }
        }
        self.settings = kept;
        Ok(())
    }
}

/// Returns true if a format has a setting of this name.
fn has(driver: &Driver, name: &str) -> bool {
    driver.settings.iter().any(|help| help.name == name)
}

/// Removes the setting `name` and returns it, if it is there.
fn take(settings: &mut Vec<Setting>, name: &str) -> Option<Setting> {
    let index = settings.iter().position(|setting| setting.name == name)?;
    Some(settings.remove(index))
}

fn preallocation(setting: &Setting) -> Result<Preallocation> {
    match setting.value.as_str() {
        "off" => Ok(Preallocation::Off),
        "falloc" => Ok(Preallocation::Falloc),
        "full" => Ok(Preallocation::Full),
        _ => Err(setting.invalid("off, falloc or full").because(UNSUPPORTED_MODE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{ErrorKind, Format};

    #[test]
    fn settings_of_the_file_are_separated_from_those_of_the_format() {
        let mut target = Target::file("disk", Format::new("qcow2"));
        let list = "preallocation=off,nocow=off,nocow,preallocation=metadata";
        target.configure(Setting::parse_list(list).unwrap()).unwrap();
        assert!(target.no_copy_on_write);
        assert_eq!(target.settings, Setting::parse_list("preallocation=metadata").unwrap());
        assert_eq!(target.preallocation, Preallocation::Off);
    }

    #[test]
    fn preallocation_off_is_accepted_by_formats_without_preallocation() {
        for format in ["vdi", "vmdk"] {
            let mut target = Target::file("disk", Format::new(format));
            target.configure(Setting::parse_list("preallocation=off").unwrap()).unwrap();
            assert_eq!(target.settings, []);
            for mode in ["metadata", "falloc", "full"] {
                let list = Setting::parse_list(&format!("preallocation={mode}")).unwrap();
                let error = target.configure(list).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains(UNSUPPORTED_MODE), "{error}");
            }
        }
    }

    #[test]
    fn value_that_a_setting_of_the_file_cannot_have_is_refused() {
        for list in ["preallocation=metadata", "nocow=2"] {
            let mut target = Target::file("disk", diskimg_raw::DRIVER.format);
            let error = target.configure(Setting::parse_list(list).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{list}");
        }
    }
}
