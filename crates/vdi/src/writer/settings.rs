//! The options as users type them.

use diskimg_core::writer::{choose, unknown_setting};
use diskimg_core::{BlockSink, CreateOptions, Result, Setting, SettingHelp};
use uuid::Uuid;

use super::image_writer::ImageWriter;
use super::options::{Allocation, WriterOptions};
use crate::errors::{FORMAT, invalid};

/// The settings of `-o`; `static` is the one of `qemu-img`.
pub const SETTINGS: &[SettingHelp] = &[
    SettingHelp::new("subformat", "dynamic (default) or fixed", "stores no blocks of zeros, or all blocks"),
    SettingHelp::new("static", "on or off (default)", "same as subformat=fixed"),
    SettingHelp::new(
        "block_size",
        "512 to 64M, a power of two; default 1M",
        "allocation unit; QEMU reads only 1M",
    ),
    SettingHelp::new("uuid", "a UUID; random by default", "UUID of the image"),
    SettingHelp::new(
        "uuid_modify",
        "a UUID; random by default",
        "UUID of the content, renewed with each change",
    ),
];

/// Creates a VDI image over a sink that grows: the `create` of this crate's driver.
///
/// # Errors
/// [`diskimg_core::ErrorKind::InvalidInput`] for an unknown or invalid setting, for settings that contradict each
/// other, and for compression, which the format does not have; those of [`ImageWriter::new`].
///
/// ```
/// use diskimg_core::{BlockSink, CreateOptions, MemorySink, Setting};
/// let file = MemorySink::new(16 << 20);
/// let options = CreateOptions {
///     virtual_size: 3 << 20,
///     settings: Setting::parse_list("static=on,uuid=01234567-89ab-cdef-0123-456789abcdef")?,
///     ..CreateOptions::default()
/// };
/// let image = diskimg_vdi::create(Box::new(file.clone()), &options)?;
/// image.write_at(12_345, b"guest bytes")?;
/// image.finish()?;
/// assert_eq!(file.bytes()[64..68], [0x7F, 0x10, 0xDA, 0xBE]);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn create(sink: Box<dyn BlockSink>, options: &CreateOptions) -> Result<Box<dyn BlockSink>> {
    Ok(Box::new(ImageWriter::new(sink, &from_settings(options)?)?))
}

pub(super) fn from_settings(options: &CreateOptions) -> Result<WriterOptions> {
    if options.compress || options.level.is_some() {
        return Err(invalid("compression").because("the format does not support it"));
    }
    let mut parsed = WriterOptions { virtual_size: options.virtual_size, ..WriterOptions::default() };
    let mut allocation = None;
    for setting in &options.settings {
        match setting.name.as_str() {
            "subformat" => agree(&mut allocation, subformat(setting)?, setting)?,
            "static" => {
                let fixed = if setting.as_bool()? { Allocation::Fixed } else { Allocation::Dynamic };
                agree(&mut allocation, fixed, setting)?;
            }
            "block_size" => parsed.block_size = setting.as_size()?,
            "uuid" => parsed.uuid = Some(uuid(setting)?),
            "uuid_modify" => parsed.modification_uuid = Some(uuid(setting)?),
            _ => return Err(unknown_setting(FORMAT, setting, SETTINGS)),
        }
    }
    parsed.allocation = allocation.unwrap_or(parsed.allocation);
    Ok(parsed)
}

fn agree(chosen: &mut Option<Allocation>, value: Allocation, setting: &Setting) -> Result<()> {
    match chosen.replace(value) {
        Some(before) if before != value => Err(setting
            .invalid("the same as before: subformat and static contradict each other")
            .format(FORMAT)),
        _ => Ok(()),
    }
}

fn subformat(setting: &Setting) -> Result<Allocation> {
    let choices =
        [("dynamic", Allocation::Dynamic), ("fixed", Allocation::Fixed), ("static", Allocation::Fixed)];
    choose(FORMAT, setting, &choices, "dynamic or fixed")
}

fn uuid(setting: &Setting) -> Result<[u8; 16]> {
    match Uuid::parse_str(&setting.value) {
        Ok(uuid) if !uuid.is_nil() => Ok(uuid.into_bytes()),
        _ => Err(setting.invalid("a UUID such as 01234567-89ab-cdef-0123-456789abcdef").format(FORMAT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn parse(list: &str) -> Result<WriterOptions> {
        from_settings(&CreateOptions { settings: Setting::parse_list(list)?, ..CreateOptions::default() })
    }

    #[test]
    fn every_setting_is_parsed() {
        let options = parse(
            "static=on,subformat=fixed,block_size=4M,uuid=00112233-4455-6677-8899-aabbccddeeff,\
             uuid_modify=ffeeddcc-bbaa-9988-7766-554433221100",
        );
        let uuid: [u8; 16] = std::array::from_fn(|i| u8::try_from(i * 0x11).unwrap());
        let expected = WriterOptions {
            allocation: Allocation::Fixed,
            block_size: 4 << 20,
            uuid: Some(uuid),
            modification_uuid: Some(std::array::from_fn(|i| uuid[15 - i])),
            ..WriterOptions::default()
        };
        assert_eq!(options.unwrap(), expected);
        assert_eq!(parse("static=off").unwrap(), WriterOptions::default());
        assert_eq!(parse("").unwrap(), WriterOptions::default());
    }

    #[test]
    fn unknown_setting_is_rejected_with_a_list_of_the_known_ones() {
        let error = parse("cluster_size=4k").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for help in SETTINGS {
            assert!(error.to_string().contains(help.name), "{error}");
        }
    }

    #[test]
    fn invalid_values_are_rejected() {
        let list = [
            "subformat=thin",
            "static=2",
            "static=on,subformat=dynamic",
            "block_size=x",
            "uuid=1",
            "uuid_modify=00000000-0000-0000-0000-000000000000",
        ];
        for list in list {
            assert_eq!(parse(list).unwrap_err().kind(), ErrorKind::InvalidInput, "{list}");
        }
    }

    #[test]
    fn compression_and_its_level_are_rejected() {
        for (compress, level) in [(true, None), (false, Some(5)), (false, Some(0))] {
            let options = CreateOptions { compress, level, ..CreateOptions::default() };
            assert_eq!(from_settings(&options).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
