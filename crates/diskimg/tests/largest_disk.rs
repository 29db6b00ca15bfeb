//! The limit of the virtual size: it holds for every format, container and compression, however the image is asked for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg::{
    BlockSource, ConvertOptions, Error, ErrorKind, Fault, LimitKind, Memory, MemorySink, Opener, Prober,
    Setting, Target, driver,
};

/// The virtual size of the images in bytes.
const SIZE: u64 = 2 << 20;

/// Writes an image of every format and subformat, with a few bytes, and returns the paths.
fn images(dir: &Path) -> Vec<PathBuf> {
    let kinds = [
        ("raw", ""),
        ("qcow2", ""),
        ("vdi", ""),
        ("vdi", "static=on"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=streamOptimized"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
    ];
    let write = |(number, (format, settings)): (usize, (&str, &str))| {
        let path = dir.join(format!("{number}.{format}"));
        let mut target = Target::file(&path, driver(format).unwrap().format);
        target.settings = Setting::parse_list(settings).unwrap();
        let sink = target.create(Some(SIZE)).unwrap();
        sink.write_at(0, &[0xeb; 512]).unwrap();
        sink.zero(512..SIZE).unwrap();
        sink.finish().unwrap();
        path
    };
    kinds.into_iter().enumerate().map(write).collect()
}

/// The image, and the same bytes compressed and as the disk of an archive. Only the plain file has other files.
fn variants(path: &Path) -> Vec<PathBuf> {
    let bytes = fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let zstd_frame = zstd_stored(&bytes);
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let padding = vec![0; bytes.len().next_multiple_of(512) - bytes.len() + 1024];
    let archive = [header, bytes, padding].concat();
    let files = [("gz", gzip.finish().unwrap()), ("zst", zstd_frame), ("tar", archive)];
    let written = files.map(|(extension, bytes)| {
        let path = path.with_file_name(format!("{name}.{extension}"));
        fs::write(&path, bytes).unwrap();
        path
    });
    std::iter::once(path.to_owned()).chain(written).collect()
}

/// A zstd frame of stored blocks (RFC 8878, section 3.1.1).
fn zstd_stored(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    let blocks = bytes.chunks(1 << 17);
    let last = blocks.len() - 1;
    for (number, block) in blocks.enumerate() {
        let header = u32::try_from(block.len() << 3).unwrap() | u32::from(number == last);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// The results of all ways of asking for the image at `path`.
fn answers(path: &Path, limit: u64) -> Vec<(&'static str, Result<(), Error>)> {
    let mut opener = Opener::new();
    opener.allow_raw = true;
    opener.limits.virtual_size = limit;
    opener.resolver = Arc::new(diskimg::WithinDirectory::of_image(path).unwrap());
    let bytes = fs::read(path).unwrap();
    let source = || Arc::new(Memory::new(bytes.clone())) as Arc<dyn BlockSource>;
    let stream = || opener.stream(Cursor::new(bytes.clone()));
    let pushed = |chunk: usize| {
        let mut prober = Prober::with(&opener);
        let mut largest = 0;
        for chunk in bytes.chunks(chunk) {
            prober.push(chunk);
            if prober.size_is_known() {
                largest = prober.info().map_or(0, |info| info.virtual_size);
            }
        }
        assert!(largest <= limit, "{} is reported as final in {}", largest, path.display());
        prober.finish().image.map(drop)
    };
    vec![
        ("open", opener.open(path).map(drop)),
        ("open_source", opener.open_source(source()).map(drop)),
        ("inspect", opener.inspect(path).map(drop)),
        ("inspect_source", opener.inspect_source(&*source()).map(drop)),
        ("inspect_stream", opener.inspect_stream(Cursor::new(bytes.clone())).map(drop)),
        ("pushed at once", pushed(bytes.len())),
        ("pushed in pieces", pushed(777)),
        ("check", opener.check(path).map(drop)),
        ("check_source", opener.check_source(source()).map(drop)),
        ("check of a stream", stream().and_then(|stream| stream.check(&())).map(drop)),
        (
            "convert a stream",
            stream().and_then(|stream| {
                let target = Target::sink(Box::new(MemorySink::new(SIZE)), driver("raw").unwrap().format);
                stream.convert_to(&target, &ConvertOptions::default(), &()).map(drop)
            }),
        ),
    ]
}

#[test]
fn disk_larger_than_the_limit_is_refused_however_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for path in images(dir.path()).iter().flat_map(|path| variants(path)) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let fine: Vec<bool> = answers(&path, SIZE).into_iter().map(|(_, answer)| answer.is_ok()).collect();
        for ((way, answer), fine) in answers(&path, SIZE - 1).into_iter().zip(fine) {
            match answer {
                Ok(()) => wrong.push(format!("{name}: {way}: accepted")),
                // Raw has no check, and the other files of a VMDK are not found everywhere.
                Err(_) if !fine => {}
                Err(error)
                    if (error.kind(), error.limit(), error.fault())
                        == (ErrorKind::Limit, Some(LimitKind::VirtualSize), Fault::Image) => {}
                Err(error) => wrong.push(format!("{name}: {way}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn layer_larger_than_the_limit_is_refused_in_descriptions_of_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (base, top) = (dir.path().join("base.qcow2"), dir.path().join("top.qcow2"));
    let qcow2 = driver("qcow2").unwrap().format;
    Target::file(&base, qcow2).create(Some(SIZE)).unwrap().finish().unwrap();
    let mut target = Target::file(&top, qcow2);
    target.settings = Setting::parse_list("backing_file=base.qcow2,backing_fmt=qcow2").unwrap();
    target.create(Some(SIZE / 2)).unwrap().finish().unwrap();
    let mut opener = Opener::new();
    opener.limits.virtual_size = SIZE - 1;
    opener.resolver = Arc::new(diskimg::WithinDirectory::of_image(&top).unwrap());
    let described = opener.inspect(&top).unwrap();
    let error = opener.inspect_below(&described).unwrap_err();
    assert_eq!(error.limit(), Some(LimitKind::VirtualSize), "{error}");
    assert!(error.to_string().starts_with("layer "), "{error}");
}
