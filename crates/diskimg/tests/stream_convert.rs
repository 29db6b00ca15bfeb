//! Converting a stream that is pushed, in one pass if possible.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Good, convert_stream, good, have_qemu, images, qemu, qemu_io, read_all, sha256};
use diskimg::core::{SinkProperties, WriteOrder};
use diskimg::raw::StreamSink;
use diskimg::{
    BlockSink, ConvertOptions, Error, ErrorKind, Limits, MemorySink, Opener, Result, Spool, StreamConvert,
    Target, WithinDirectory, driver,
};
use diskimg_core::conformance::painted;
use flate2::Compression;
use flate2::write::GzEncoder;

const CHUNKS: [usize; 6] = [1, 511, 512, 513, 64 << 10, 1 << 20];

fn push(opener: &Opener, bytes: &[u8], chunk: usize, sink: Box<dyn BlockSink>) -> Result<()> {
    let mut conversion = StreamConvert::new(opener, sink);
    for chunk in bytes.chunks(chunk) {
        conversion.push(chunk)?;
    }
    conversion.finish(&()).map(|_| ())
}

/// Converts an image that is pushed in chunks.
fn converted(opener: &Opener, bytes: &[u8], chunk: usize) -> Result<Vec<u8>> {
    let sink = MemorySink::new(64 << 20);
    push(opener, bytes, chunk, Box::new(sink.clone())).map(|()| sink.bytes())
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An opener without temporary files.
fn without_files(image: &Good) -> Opener {
    let mut opener = image.opener();
    opener.spool = Spool::Never;
    opener
}

/// Returns true if an image is self-contained but cannot be streamed: the grains of a sparse VMDK have no order.
fn is_out_of_order(image: &Good) -> bool {
    ["sparse.vmdk", "zeroed-grain.vmdk"].iter().any(|name| image.file.starts_with(name))
}

#[test]
fn self_contained_image_converts_in_one_pass_for_any_split() {
    let whole = |image: &&Good| ["-", "raw"].contains(&image.how.as_str()) && !is_out_of_order(image);
    for image in good().iter().filter(whole) {
        let bytes = std::fs::read(image.path()).unwrap();
        for chunk in CHUNKS {
            if chunk == 1 && image.size > 4 << 20 {
                continue;
            }
            let disk = converted(&without_files(image), &bytes, chunk)
                .unwrap_or_else(|error| panic!("{} by {chunk}: {error}", image.file));
            assert_eq!(sha256(&disk), image.sha256, "{} by {chunk}", image.file);
        }
        if image.wrapper.is_none() {
            let disk = converted(&without_files(image), &gz(&bytes), 4096).unwrap();
            assert_eq!(sha256(&disk), image.sha256, "{} in gz", image.file);
        }
    }
}

#[test]
fn image_with_references_or_a_snapshot_is_spooled_and_reads_like_its_file() {
    let needs_more =
        |image: &&Good| image.how == "files" || image.how.starts_with("snapshot=") || is_out_of_order(image);
    for image in good().iter().filter(needs_more) {
        let bytes = std::fs::read(image.path()).unwrap();
        let disk = converted(&image.opener(), &bytes, 1000).unwrap();
        assert_eq!(sha256(&disk), image.sha256, "{} ({})", image.file, image.how);
        let error = converted(&without_files(image), &bytes, 1000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{} ({}): {error}", image.file, image.how);
    }
}

#[test]
fn reference_that_must_not_be_followed_is_denied_by_the_head() {
    for image in good().iter().filter(|image| image.how == "files") {
        let bytes = std::fs::read(image.path()).unwrap();
        for spool in [Spool::Never, Spool::default()] {
            let mut opener = Opener::new();
            opener.spool = spool;
            assert_eq!(
                converted(&opener, &bytes, 512).unwrap_err().kind(),
                ErrorKind::Denied,
                "{}",
                image.file
            );
        }
    }
}

#[test]
fn bad_stream_is_refused_like_its_file() {
    for row in common::table(&images("bad").join("EXPECTED.tsv")) {
        // A stream has no directory in which names are followed.
        if row[1] == "files" {
            continue;
        }
        let bytes = std::fs::read(images("bad").join(&row[0])).unwrap();
        let mut opener = Opener::new();
        opener.limits = Limits { virtual_size: 32 << 20, ..Limits::default() };
        for chunk in [100, 1 << 20] {
            let error = converted(&opener, &bytes, chunk).expect_err(&row[0]);
            assert_eq!(error.kind().name(), row[2], "{} by {chunk}: {error}", row[0]);
            assert!(!error.to_string().contains(char::is_control));
        }
    }
}

/// A sink that counts calls of `finish`.
struct Finishes(MemorySink, Arc<Mutex<u32>>);

impl BlockSink for Finishes {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_at(offset, data)
    }
    fn zero(&self, range: std::ops::Range<u64>) -> Result<()> {
        self.0.zero(range)
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        *self.1.lock().unwrap() += 1;
        Ok(())
    }
}

#[test]
fn truncated_stream_never_finishes_its_sink() {
    let image = std::fs::read(images("good").join("cluster-512.qcow2")).unwrap();
    let packed = gz(&image);
    for bytes in [&image[..image.len() / 2], &packed[..packed.len() - 1], &packed[..10], &[]] {
        let finishes = Arc::new(Mutex::new(0));
        let sink = Finishes(MemorySink::new(64 << 20), Arc::clone(&finishes));
        assert!(push(&Opener::new(), bytes, 700, Box::new(sink)).is_err());
        assert_eq!(*finishes.lock().unwrap(), 0);
    }
}

#[test]
fn conversion_refuses_bytes_after_an_error() {
    let mut conversion = StreamConvert::new(&Opener::new(), Box::new(MemorySink::new(1 << 20)));
    assert_eq!(conversion.push(&painted(1, 100_000)).unwrap_err().kind(), ErrorKind::UnknownFormat);
    assert_eq!(conversion.push(&[0]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(conversion.finish(&()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn damaged_compressed_stream_cannot_be_finished() {
    let mut packed = gz(&std::fs::read(images("good").join("hybrid.iso")).unwrap());
    let at = packed.len() - 8;
    packed[at] ^= 1;
    // Blocks after the damaged checksum, so that a push detects it.
    packed.resize(64 << 10, 0);
    let finishes = Arc::new(Mutex::new(0));
    let sink = Finishes(MemorySink::new(64 << 20), Arc::clone(&finishes));
    let mut conversion = StreamConvert::new(&Opener::new(), Box::new(sink));
    assert_eq!(conversion.push(&packed).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(conversion.finish(&()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(*finishes.lock().unwrap(), 0);
}

#[test]
fn format_and_compression_are_reported_once_known() {
    let packed = gz(&std::fs::read(images("good").join("v3.qcow2")).unwrap());
    let mut conversion = StreamConvert::new(&Opener::new(), Box::new(MemorySink::new(64 << 20)));
    conversion.push(&packed[..5]).unwrap();
    assert_eq!((conversion.wrapper(), conversion.format()), (None, None));
    conversion.push(&packed[5..]).unwrap();
    assert_eq!(conversion.wrapper(), Some(diskimg::Wrapper::Gzip));
    conversion.finish(&()).unwrap();
}

/// A writer to shared memory.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn ascending_sink_is_written_in_order() {
    for image in good().iter().filter(|image| image.how == "-" && image.size > 0) {
        let bytes = std::fs::read(image.path()).unwrap();
        let pipe = Pipe::default();
        let sink = Box::new(StreamSink::new(pipe.clone(), None));
        push(&image.opener(), &bytes, 5000, sink).unwrap_or_else(|error| panic!("{}: {error}", image.file));
        assert_eq!(sha256(&pipe.0.lock().unwrap()), image.sha256, "{}", image.file);
    }
}

/// A stream that fails after some bytes.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::other("the line is dead"));
        }
        let len = buf.len().min(self.0);
        buf[..len].fill(0);
        self.0 -= len;
        Ok(len)
    }
}

#[test]
fn error_of_the_stream_is_returned() {
    let input = Opener::new().stream(Broken(3 << 20)).unwrap();
    let error = convert_stream(input, Box::new(MemorySink::new(64 << 20)), &ConvertOptions::default(), &())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("the line is dead"));
    let error: Error = Opener::new().inspect_stream(Broken(3 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

/// Converts a streamed image to a raw file, and returns its bytes.
fn to_raw(directory: &Path, name: &str, opener: &Opener) -> Result<Vec<u8>> {
    let path = directory.join("ours.raw");
    let mut target = Target::file(&path, driver("raw")?.format);
    (target.overwrite, target.durable) = (true, false);
    let stream = std::fs::File::open(directory.join(name)).unwrap();
    convert_stream(opener.stream(stream)?, target.create(None)?, &ConvertOptions::default(), &())?;
    Ok(std::fs::read(path).unwrap())
}

#[test]
fn image_from_qemu_img_converts_in_one_pass_without_a_temporary_file() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    let disk: Vec<u8> = (0..96)
        .flat_map(|index| match index % 3 {
            0 => vec![0; 100_000],
            1 => painted(index * 7, 100_000),
            _ => vec![u8::try_from(index).unwrap(); 100_000],
        })
        .collect();
    std::fs::write(directory.join("disk.raw"), &disk).unwrap();
    let mut opener = Opener::new();
    opener.spool = Spool::Never;
    for options in [
        "",
        "-o cluster_size=512",
        "-o cluster_size=2M",
        "-o extended_l2=on",
        "-o preallocation=metadata",
        "-o compat=0.10",
        "-c",
        "-c -o cluster_size=512",
        "-c -o cluster_size=4k,compression_type=zstd",
        "-W -m 16",
        "-c -W -m 16",
    ] {
        let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2"];
        arguments.extend(options.split_whitespace());
        arguments.extend(["disk.raw", "disk.qcow2"]);
        qemu(directory, "qemu-img", &arguments);
        let ours = to_raw(directory, "disk.qcow2", &opener).unwrap_or_else(|e| panic!("{options}: {e}"));
        assert!(ours[..disk.len()] == disk && ours[disk.len()..].iter().all(|b| *b == 0), "{options}");
    }
}

#[test]
fn image_written_by_a_guest_is_spilled_only_as_far_as_needed() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    qemu(
        directory,
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "disk.qcow2", "512M"],
    );
    // Written from the end to the beginning, with a snapshot between, so that tables follow data and clusters are shared.
    for round in 0..3 {
        let mut commands = Vec::new();
        for index in (0..120_u32).rev() {
            let at = index * 4_300 + round * 512;
            commands.push(format!("write -q -P {} {at}k 24k", (index + round) % 255 + 1));
        }
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        qemu_io(directory, "qcow2", "disk.qcow2", &commands);
        let name = format!("round{round}");
        qemu(directory, "qemu-img", &["snapshot", "-c", &name, "disk.qcow2"]);
    }
    let disk = read_all(&Opener::new().open(directory.join("disk.qcow2")).unwrap()).unwrap();
    let mut opener = Opener::new();
    assert!(to_raw(directory, "disk.qcow2", &opener).unwrap() == disk);
    opener.limits.metadata_cache = 1 << 20;
    assert!(to_raw(directory, "disk.qcow2", &opener).unwrap() == disk);
    opener.spool = Spool::Never;
    assert_eq!(to_raw(directory, "disk.qcow2", &opener).unwrap_err().kind(), ErrorKind::NeedsSeek);
}

/// A qcow2 of 2 MiB clusters over `base.raw`, in `directory`, whose backing name is 1 MiB into the file.
fn with_a_late_backing_name(directory: &Path) -> Vec<u8> {
    std::fs::write(directory.join("base.raw"), painted(5, 4 << 20)).unwrap();
    let file = MemorySink::new(64 << 20);
    let mut target = Target::sink(Box::new(file.clone()), driver("qcow2").unwrap().format);
    let settings = "cluster_size=2M,backing_file=base.raw,backing_fmt=raw";
    target.settings = diskimg::Setting::parse_list(settings).unwrap();
    let sink = target.create(Some(4 << 20)).unwrap();
    sink.write_at(2 << 20, &painted(9, 1 << 20)).unwrap();
    sink.finish().unwrap();
    let mut image = file.bytes();
    let late = 1 << 20;
    image[late..late + 8].copy_from_slice(b"base.raw");
    image[8..16].copy_from_slice(&(late as u64).to_be_bytes());
    image
}

#[test]
fn name_after_the_first_bytes_is_followed_or_denied_like_in_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    let image = with_a_late_backing_name(directory);
    std::fs::write(directory.join("top.qcow2"), &image).unwrap();
    let mut follows = Opener::new();
    follows.resolver = Arc::new(WithinDirectory::new(directory).unwrap());
    let mut given = Opener::new();
    let parent: Arc<dyn diskimg::BlockSource> = Arc::new(diskimg::Memory::new(painted(5, 4 << 20)));
    given.parents = vec![parent.into()];
    let whole = read_all(&follows.open(directory.join("top.qcow2")).unwrap()).unwrap();
    assert_eq!(whole[..2 << 20], painted(5, 2 << 20));
    for opener in [&follows, &given] {
        for chunk in [1000, 1 << 20] {
            assert!(converted(opener, &image, chunk).unwrap() == whole, "by {chunk}");
        }
        let stream = std::io::Cursor::new(image.clone());
        let input = opener.stream(stream).unwrap();
        assert!(!input.streams(WriteOrder::Any), "it has to be spooled");
        assert!(read_all(&input.into_disk(&()).unwrap()).unwrap() == whole);
        let mut nowhere = opener.clone();
        nowhere.spool = Spool::Never;
        assert_eq!(converted(&nowhere, &image, 5000).unwrap_err().kind(), ErrorKind::NeedsSeek);
    }
    for spool in [Spool::Never, Spool::default()] {
        let mut denies = Opener::new();
        denies.spool = spool;
        let error = converted(&denies, &image, 5000).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Denied, Some(1 << 20)), "{error}");
    }
}
