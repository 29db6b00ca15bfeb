//! The options as users type them.

use diskimg_core::writer::{choose, unknown_setting};
use diskimg_core::{
    BlockSink, CreateOptions, Error, ErrorKind, Remedy, Result, Setting, SettingHelp, WriteOrder, ensure,
};

use super::image_writer::ImageWriter;
use super::options::{BackingName, ClusterPreallocation, Version, WriterOptions};
use crate::errors::{FORMAT, invalid_option};
use crate::header::Compression;

/// The settings of `-o`, with the names and values of `qemu-img`.
pub const SETTINGS: &[SettingHelp] = &[
    SettingHelp::new(
        "cluster_size",
        "512 to 2M, a power of two; default 64k",
        "unit of allocation and compression",
    ),
    SettingHelp::new(
        "compat",
        "1.1 or v3 (default), 0.10 or v2",
        "version of the format; v2 for readers older than QEMU 1.1",
    ),
    SettingHelp::new("compression_type", "zlib (default) or zstd", "compression method"),
    SettingHelp::new("refcount_bits", "1, 2, 4, 8, 16 (default), 32 or 64", "width of a refcount"),
    SettingHelp::new(
        "extended_l2",
        "on or off (default)",
        "32 subclusters per cluster; needs clusters of 16k or more",
    ),
    SettingHelp::new("lazy_refcounts", "on or off (default)", "lets QEMU postpone refcount updates"),
    SettingHelp::new(
        "preallocation",
        "off (default), metadata, falloc or full",
        "maps all clusters; falloc also allocates their space in the file, full writes zeros to it",
    ),
    SettingHelp::new(
        "backing_file",
        "a name; none by default",
        "backing file, recorded in the header and not opened",
    ),
    SettingHelp::new("backing_fmt", "a format, such as raw", "format of the backing file"),
];

/// Creates a qcow2 image over a sink that grows: the `create` of this crate's driver.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for unknown and invalid settings, and for settings that exclude each other;
/// [`ErrorKind::NeedsSeek`] if `sink` accepts only ascending offsets.
///
/// ```
/// use diskimg_core::{BlockSink, CreateOptions, MemorySink, Setting, WriteOrder};
/// let file = MemorySink::new(1 << 20);
/// let options = CreateOptions {
///     virtual_size: 1 << 30,
///     settings: Setting::parse_list("cluster_size=4k,refcount_bits=8")?,
///     ..CreateOptions::default()
/// };
/// let image = diskimg_qcow2::create(Box::new(file.clone()), &options)?;
/// image.write_at(12_345, b"guest bytes")?;
/// image.finish()?;
/// assert_eq!(file.bytes()[..4], *b"QFI\xfb");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn create(sink: Box<dyn BlockSink>, options: &CreateOptions) -> Result<Box<dyn BlockSink>> {
    ensure(sink.properties().order != WriteOrder::Ascending, || {
        Error::new(ErrorKind::NeedsSeek)
            .format(FORMAT)
            .because("cannot be written to a stream: its tables precede its data")
            .with_remedy(Remedy::WriteToFile { or_format: "raw", or_subformat: None })
    })?;
    Ok(Box::new(ImageWriter::new(sink, &from_settings(options)?)?))
}

pub(super) fn from_settings(options: &CreateOptions) -> Result<WriterOptions> {
    let mut parsed = WriterOptions {
        virtual_size: options.virtual_size,
        compress: options.compress,
        level: options.level,
        ..WriterOptions::default()
    };
    let mut backing_name = None;
    let mut backing_format = None;
    for setting in &options.settings {
        match setting.name.as_str() {
            "cluster_size" => parsed.cluster_size = setting.as_size()?,
            "compat" => parsed.version = version(setting)?,
            "compression_type" => parsed.compression_type = compression(setting)?,
            "refcount_bits" => {
                parsed.refcount_bits =
                    setting.value.parse().map_err(|_| setting.invalid("a number of bits from 1 to 64"))?;
            }
            "extended_l2" => parsed.extended_l2 = setting.as_bool()?,
            "lazy_refcounts" => parsed.lazy_refcounts = setting.as_bool()?,
            "preallocation" => parsed.preallocation = preallocation(setting)?,
            "backing_file" => backing_name = Some(setting.value.clone()),
            "backing_fmt" => backing_format = Some(setting.value.clone()),
            _ => return Err(unknown_setting(FORMAT, setting, SETTINGS)),
        }
    }
    parsed.backing = match (backing_name, backing_format) {
        (Some(name), format) => Some(BackingName { name, format }),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(invalid_option("backing_fmt").because("there is no backing_file"));
        }
    };
    Ok(parsed)
}

fn version(setting: &Setting) -> Result<Version> {
    let choices = [("0.10", Version::V2), ("v2", Version::V2), ("1.1", Version::V3), ("v3", Version::V3)];
    choose(FORMAT, setting, &choices, "0.10, 1.1, v2 or v3")
}

fn compression(setting: &Setting) -> Result<Compression> {
    choose(FORMAT, setting, &[("zlib", Compression::Deflate), ("zstd", Compression::Zstd)], "zlib or zstd")
}

fn preallocation(setting: &Setting) -> Result<ClusterPreallocation> {
    // The sink allocates or writes what is left out of the file.
    let choices = [
        ("off", ClusterPreallocation::Off),
        ("metadata", ClusterPreallocation::Metadata),
        ("falloc", ClusterPreallocation::Metadata),
        ("full", ClusterPreallocation::Metadata),
    ];
    choose(FORMAT, setting, &choices, "off, metadata, falloc or full")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<WriterOptions> {
        from_settings(&CreateOptions { settings: Setting::parse_list(list)?, ..CreateOptions::default() })
    }

    #[test]
    fn every_setting_is_parsed() {
        let options = parse(
            "cluster_size=2M,compat=v3,compression_type=zstd,refcount_bits=64,extended_l2=on,\
             lazy_refcounts=on,preallocation=metadata,backing_file=a,,b,backing_fmt=raw",
        );
        let expected = WriterOptions {
            cluster_size: 2 << 20,
            compression_type: Compression::Zstd,
            refcount_bits: 64,
            extended_l2: true,
            lazy_refcounts: true,
            preallocation: ClusterPreallocation::Metadata,
            backing: Some(BackingName { name: "a,b".into(), format: Some("raw".into()) }),
            ..WriterOptions::default()
        };
        assert_eq!(options.unwrap(), expected);
        assert_eq!(parse("compat=0.10").unwrap().version, Version::V2);
        assert_eq!(parse("").unwrap(), WriterOptions::default());
    }

    #[test]
    fn unknown_setting_is_rejected_with_a_list_of_the_known_ones() {
        let error = parse("cluster=4k").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for help in SETTINGS {
            assert!(error.to_string().contains(help.name), "{error}");
        }
    }

    #[test]
    fn invalid_values_are_rejected() {
        let list = [
            "compat=1",
            "compression_type=xz",
            "refcount_bits=a",
            "extended_l2=2",
            "preallocation=none",
            "backing_fmt=raw",
        ];
        for list in list {
            assert_eq!(parse(list).unwrap_err().kind(), ErrorKind::InvalidInput, "{list}");
        }
    }
}
