//! The options as users type them.

use diskimg_core::writer::{choose, unknown_setting};
use diskimg_core::{BlockSink, CreateOptions, Result, Setting, SettingHelp};

use super::image_writer::ImageWriter;
use super::options::{AdapterType, Subformat, WriterOptions};
use crate::errors::{FORMAT, invalid_option};

/// The virtual hardware version of `compat6`.
const COMPAT6: u32 = 6;

/// The settings of `-o`, with the names and values of `qemu-img` where it has them.
pub const SETTINGS: &[SettingHelp] = &[
    SettingHelp::new(
        "subformat",
        "monolithicSparse (default), streamOptimized, monolithicFlat, twoGbMaxExtentSparse, \
                 twoGbMaxExtentFlat or vmfs",
        "files of the image and their layout",
    ),
    SettingHelp::new(
        "adapter_type",
        "ide (default), buslogic, lsilogic, lsisas, pvscsi, sata, nvme or legacyESX",
        "controller of the disk",
    ),
    SettingHelp::new(
        "grain_size",
        "4k to 64k, a power of two; default 64k",
        "allocation unit of sparse extents; not for flat ones",
    ),
    SettingHelp::new(
        "zeroed_grain",
        "on or off (default)",
        "lets QEMU record zeros without space; VirtualBox rejects it",
    ),
    SettingHelp::new("hwversion", "a number; default 4", "virtual hardware version in the descriptor"),
    SettingHelp::new("compat6", "on or off (default)", "virtual hardware version 6; not with hwversion"),
    SettingHelp::new(
        "toolsversion",
        "a number; default 2147483647",
        "version of the guest's tools in the descriptor",
    ),
    SettingHelp::new(
        "cid",
        "up to 8 hexadecimal digits; default random",
        "content id, by which differencing images identify their parent; set it for reproducible output",
    ),
];

/// Creates a VMDK image over a sink that grows: the `create` of this crate's driver.
///
/// [`CreateOptions::compress`] selects streamOptimized, the only subformat with a [`CreateOptions::level`].
///
/// # Errors
/// [`diskimg_core::ErrorKind::InvalidInput`] for unknown and invalid settings, for settings that exclude each other, and
/// for an image of several files without [`CreateOptions::siblings`]; [`diskimg_core::ErrorKind::NeedsSeek`] if `sink`
/// accepts only ascending offsets and the image is not streamOptimized.
///
/// ```
/// use diskimg_core::{BlockSink, CreateOptions, MemorySink, Setting};
/// let file = MemorySink::new(1 << 20);
/// let options = CreateOptions {
///     virtual_size: 1 << 30,
///     settings: Setting::parse_list("subformat=streamOptimized,adapter_type=lsilogic")?,
///     ..CreateOptions::default()
/// };
/// let image = diskimg_vmdk::create(Box::new(file.clone()), &options)?;
/// image.write_at(12_345, b"guest bytes")?;
/// image.finish()?;
/// assert_eq!(file.bytes()[..4], *b"KDMV");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn create(sink: Box<dyn BlockSink>, options: &CreateOptions) -> Result<Box<dyn BlockSink>> {
    let parsed = from_settings(options)?;
    Ok(Box::new(ImageWriter::new(sink, &parsed, options.siblings.clone())?))
}

pub(super) fn from_settings(options: &CreateOptions) -> Result<WriterOptions> {
    let mut parsed = WriterOptions {
        virtual_size: options.virtual_size,
        level: options.level,
        ..WriterOptions::default()
    };
    let mut subformat = None;
    let (mut version, mut compat6) = (None, false);
    for setting in &options.settings {
        match setting.name.as_str() {
            "subformat" => {
                subformat = Some(choose_by_name(setting, Subformat::ALL.map(|it| (it.name(), it)))?);
            }
            "adapter_type" => {
                parsed.adapter_type = choose_by_name(setting, AdapterType::ALL.map(|it| (it.name(), it)))?;
            }
            "grain_size" => parsed.grain_size = setting.as_size()?,
            "zeroed_grain" => parsed.zeroed_grain = setting.as_bool()?,
            "hwversion" => version = Some(number(setting)?),
            "compat6" => compat6 = setting.as_bool()?,
            "toolsversion" => parsed.tools_version = number(setting)?,
            "cid" => parsed.cid = Some(hexadecimal(setting)?),
            _ => return Err(unknown_setting(FORMAT, setting, SETTINGS)),
        }
    }
    parsed.subformat = compressed(subformat, options.compress)?;
    let grains = options.settings.iter().any(|setting| setting.name == "grain_size");
    if grains && !parsed.subformat.has_grains() {
        let flat = parsed.subformat.name();
        return Err(invalid_option("grain_size").because(format_args!("{flat} has no grains")));
    }
    if compat6 && version.is_some() {
        return Err(invalid_option("compat6").because("not together with hwversion"));
    }
    if compat6 {
        version = Some(COMPAT6);
    }
    parsed.hardware_version = version.unwrap_or(parsed.hardware_version);
    Ok(parsed)
}

/// Returns the subformat, which compression restricts to streamOptimized.
fn compressed(asked: Option<Subformat>, compress: bool) -> Result<Subformat> {
    match (asked, compress) {
        (Some(Subformat::StreamOptimized) | None, true) => Ok(Subformat::StreamOptimized),
        (None, false) => Ok(WriterOptions::default().subformat),
        (Some(asked), false) => Ok(asked),
        (Some(asked), true) => Err(invalid_option("subformat")
            .found(asked.name())
            .expected("streamOptimized, the only one that is compressed")),
    }
}

fn number(setting: &Setting) -> Result<u32> {
    setting.value.parse().map_err(|_| setting.invalid("a number below 2^32").format(FORMAT))
}

fn hexadecimal(setting: &Setting) -> Result<u32> {
    let digits = setting.value.strip_prefix("0x").unwrap_or(&setting.value);
    let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|_| valid)
        .ok_or_else(|| setting.invalid("up to 8 hexadecimal digits").format(FORMAT))
}

fn choose_by_name<T: Copy, const N: usize>(setting: &Setting, choices: [(&str, T); N]) -> Result<T> {
    let names = choices.map(|(name, _)| name);
    choose(FORMAT, setting, &choices, format_args!("one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use diskimg_core::ErrorKind;

    use super::*;

    fn parse(list: &str) -> Result<WriterOptions> {
        from_settings(&CreateOptions { settings: Setting::parse_list(list)?, ..CreateOptions::default() })
    }

    #[test]
    fn every_setting_is_parsed() {
        let options = parse(
            "subformat=twoGbMaxExtentSparse,adapter_type=pvscsi,grain_size=4k,zeroed_grain=on,\
             hwversion=21,toolsversion=12345,cid=0xCAFEbabe",
        );
        let expected = WriterOptions {
            subformat: Subformat::TwoGbMaxExtentSparse,
            adapter_type: AdapterType::Pvscsi,
            grain_size: 4096,
            zeroed_grain: true,
            hardware_version: 21,
            tools_version: 12345,
            cid: Some(0xCAFE_BABE),
            ..WriterOptions::default()
        };
        assert_eq!(options.unwrap(), expected);
        assert_eq!(parse("compat6=on").unwrap().hardware_version, 6);
        assert_eq!(parse("").unwrap(), WriterOptions::default());
        for known in Subformat::ALL {
            assert_eq!(parse(&format!("subformat={}", known.name())).unwrap().subformat, known);
        }
        for known in AdapterType::ALL {
            assert_eq!(parse(&format!("adapter_type={}", known.name())).unwrap().adapter_type, known);
        }
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
            "subformat=monolithicsparse",
            "adapter_type=scsi",
            "grain_size=x",
            "hwversion=vmx-13",
            "toolsversion=-1",
            "cid=123456789",
            "cid=+1",
            "cid=",
            "compat6=on,hwversion=6",
            "grain_size=8k,subformat=monolithicFlat",
            "subformat=vmfs,grain_size=64k",
        ];
        for list in list {
            assert_eq!(parse(list).unwrap_err().kind(), ErrorKind::InvalidInput, "{list}");
        }
    }

    #[test]
    fn compression_selects_stream_optimized_only() {
        assert_eq!(compressed(None, true).unwrap(), Subformat::StreamOptimized);
        assert_eq!(compressed(Some(Subformat::StreamOptimized), true).unwrap(), Subformat::StreamOptimized);
        for other in Subformat::ALL.into_iter().filter(|other| *other != Subformat::StreamOptimized) {
            let error = compressed(Some(other), true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("streamOptimized"), "{error}");
            assert_eq!(compressed(Some(other), false).unwrap(), other);
        }
    }
}
