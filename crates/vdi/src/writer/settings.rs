//! Options as users type them.

use diskimg_core::{BlockSink, CreateOptions, Error, Result, Setting, SettingHelp};
use uuid::Uuid;

use super::options::{Allocation, WriterOptions};
use super::sink::Writer;
use crate::errors::{FORMAT, invalid, unsupported};

/// What `-o` takes; `static` is that of `qemu-img`.
pub const SETTINGS: &[SettingHelp] = &[
    SettingHelp {
        name: "subformat",
        values: "dynamic (default) or fixed",
        help: "whether blocks of zeros take no place, or all blocks are in the file",
    },
    SettingHelp { name: "static", values: "on or off (default)", help: "the same as subformat=fixed" },
    SettingHelp {
        name: "block_size",
        values: "512 to 64M, a power of two; default 1M",
        help: "unit in which space is given out; QEMU reads only 1M",
    },
    SettingHelp { name: "uuid", values: "a UUID; random by default", help: "UUID of the image" },
    SettingHelp {
        name: "uuid_modify",
        values: "a UUID; random by default",
        help: "UUID of the image's content, which changes with it",
    },
];

/// Creates a VDI image over a sink that grows: the `create` of this crate's driver.
///
/// # Errors
/// [`diskimg_core::ErrorKind::InvalidInput`] for a setting that is unknown or cannot be meant, or for settings
/// that do not go together; [`diskimg_core::ErrorKind::Unsupported`] for compression, which the format does not
/// have; as [`Writer::new`].
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
    Ok(Box::new(Writer::new(sink, &from_settings(options)?)?))
}

pub(super) fn from_settings(options: &CreateOptions) -> Result<WriterOptions> {
    if options.compress || options.level.is_some() {
        return Err(unsupported("compression").because("the format has none"));
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
            _ => return Err(unknown(setting)),
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
    match setting.value.as_str() {
        "dynamic" => Ok(Allocation::Dynamic),
        "fixed" | "static" => Ok(Allocation::Fixed),
        _ => Err(setting.invalid("dynamic or fixed").format(FORMAT)),
    }
}

fn uuid(setting: &Setting) -> Result<[u8; 16]> {
    match Uuid::parse_str(&setting.value) {
        Ok(uuid) if !uuid.is_nil() => Ok(uuid.into_bytes()),
        _ => Err(setting.invalid("a UUID such as 01234567-89ab-cdef-0123-456789abcdef").format(FORMAT)),
    }
}

fn unknown(setting: &Setting) -> Error {
    let names: Vec<&str> = SETTINGS.iter().map(|help| help.name).collect();
    invalid("option")
        .found_name(setting.name.as_bytes())
        .expected(format_args!("one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn parse(list: &str) -> Result<WriterOptions> {
        from_settings(&CreateOptions { settings: Setting::parse_list(list)?, ..CreateOptions::default() })
    }

    #[test]
    fn every_setting_is_understood() {
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
    fn an_unknown_setting_is_refused_and_the_known_ones_are_listed() {
        let error = parse("cluster_size=4k").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for help in SETTINGS {
            assert!(error.to_string().contains(help.name), "{error}");
        }
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused() {
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
    fn compression_is_refused() {
        let options = CreateOptions { compress: true, ..CreateOptions::default() };
        assert_eq!(from_settings(&options).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
