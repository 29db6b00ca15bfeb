//! The options of `-o`.

use diskimg::{Error, ErrorKind, Result, Setting};

/// Parses the lists of all `-o`. The last of several values of an option applies.
pub(super) fn parse(lists: &[String]) -> Result<Vec<Setting>> {
    let mut settings: Vec<Setting> = Vec::new();
    for list in lists {
        for setting in Setting::parse_list(list)? {
            settings.retain(|earlier| earlier.name != setting.name);
            settings.push(setting);
        }
    }
    Ok(settings)
}

/// Removes the option `name` and returns it, if it is there.
fn take(settings: &mut Vec<Setting>, name: &str) -> Option<Setting> {
    let index = settings.iter().position(|setting| setting.name == name)?;
    Some(settings.remove(index))
}

/// Removes `size` from the settings. Returns it or the size that was given as an argument.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it is invalid, or if both are given.
pub(super) fn take_size(settings: &mut Vec<Setting>, argument: Option<u64>) -> Result<Option<u64>> {
    let Some(setting) = take(settings, "size") else { return Ok(argument) };
    let size = setting.as_size()?;
    if argument.is_some() {
        // The text of qemu-img.
        return Err(Error::new(ErrorKind::InvalidInput).because("The image size must be specified only once"));
    }
    Ok(Some(size))
}
