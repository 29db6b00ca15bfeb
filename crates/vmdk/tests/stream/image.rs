//! A small stream in the layout of each writer, and its decoding.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_codec::cluster::ZlibEncoder;
use diskimg_core::conformance::painted;
use diskimg_core::{BlockSink, Error, ErrorKind, Limits, MemorySink, Result, SinkProperties, WriteOrder};
use diskimg_vmdk::DRIVER;

/// Sectors of a grain.
pub(crate) const GRAIN: u64 = 8;
/// Entries of a grain table: few, so that a small disk has several tables.
pub(crate) const ENTRIES: u64 = 4;
/// Sectors of the disk: 11 grains, the last of 5 sectors.
pub(crate) const CAPACITY: u64 = 10 * GRAIN + 5;
/// The grains that have data: two in the first table, none in the second, and two at the end.
pub(crate) const GRAINS: [u64; 4] = [0, 3, 9, 10];
/// Sectors before the grains.
pub(crate) const OVERHEAD: u64 = 16;

pub(crate) const DIRECTORY_SECTORS: u64 = 56;

/// The program whose layout the image has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writer {
    /// vSphere, VirtualBox: tables after the grains, found through the footer.
    Footer,
    /// Older ovftool: as [`Writer::Footer`], with the directory in the header too.
    KnownDirectory,
    /// QEMU: tables before the grains, no markers, zeros at the end.
    Qemu,
    /// open-vmdk: tables before the grains, and an end-of-stream marker.
    OpenVmdk,
}

pub(crate) const WRITERS: [Writer; 4] =
    [Writer::Footer, Writer::KnownDirectory, Writer::Qemu, Writer::OpenVmdk];

impl Writer {
    pub(crate) fn in_front(self) -> bool {
        matches!(self, Self::Qemu | Self::OpenVmdk)
    }
}

/// The guest bytes of a grain, up to the end of the disk.
pub(crate) fn guest(grain: u64) -> Vec<u8> {
    let sectors = GRAIN.min(CAPACITY - grain * GRAIN);
    painted(grain * 1000, 512 * sectors as usize)
}

/// The bytes of an image, and the offsets of its structures.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    /// Byte offsets of the grains' markers, in the order they were written.
    pub(crate) grains: Vec<usize>,
    /// Byte offsets of the tables, without markers; 0 for a missing table.
    pub(crate) tables: Vec<usize>,
    /// Byte offset of the grain directory, without its marker.
    pub(crate) directory: usize,
    /// Byte offset of the footer, without its marker.
    pub(crate) footer: usize,
}

impl Image {
    /// The disk with [`GRAINS`], in the order of the disk.
    pub(crate) fn new(writer: Writer) -> Self {
        Self::of(writer, &GRAINS)
    }

    /// The disk with these grains, in this order.
    pub(crate) fn of(writer: Writer, grains: &[u64]) -> Self {
        let streams: Vec<_> = grains.iter().map(|grain| (*grain, zlib(&guest(*grain)))).collect();
        Self::with_streams(writer, &streams)
    }

    /// The disk with grains of these compressed bytes, in this order.
    pub(crate) fn with_streams(writer: Writer, grains: &[(u64, Vec<u8>)]) -> Self {
        let mut image = Self {
            bytes: header(writer),
            grains: Vec::new(),
            tables: vec![0; CAPACITY.div_ceil(GRAIN * ENTRIES) as usize],
            directory: 0,
            footer: 0,
        };
        image.put(512, DESCRIPTOR.as_bytes());
        image.bytes.resize(512 * OVERHEAD as usize, 0);
        let mut entries = vec![0_u32; image.tables.len() * ENTRIES as usize];
        for (grain, stream) in grains {
            entries[*grain as usize] = (image.bytes.len() / 512) as u32;
            image.grain(*grain * GRAIN, stream);
        }
        if writer.in_front() {
            image.tables_in_front(&entries);
        } else {
            image.tables_after(&entries);
        }
        match writer {
            Writer::Footer | Writer::KnownDirectory => {
                image.marker(1, 3);
                image.footer = image.bytes.len();
                let mut footer = header(writer);
                let sector = (image.directory / 512) as u64;
                footer[56..64].copy_from_slice(&sector.to_le_bytes());
                image.bytes.extend(footer);
                if writer == Writer::KnownDirectory {
                    image.put(DIRECTORY_SECTORS as usize, &sector.to_le_bytes());
                }
                image.marker(0, 0);
            }
            Writer::OpenVmdk => image.marker(0, 0),
            Writer::Qemu => image.bytes.extend([0; 3 * 512]),
        }
        image
    }

    fn tables_in_front(&mut self, entries: &[u32]) {
        self.directory = 2 * 512;
        for (index, table) in entries.chunks(ENTRIES as usize).enumerate() {
            let at = (3 + index) * 512;
            self.tables[index] = at;
            self.u32(self.directory + 4 * index, (at / 512) as u32);
            table.iter().enumerate().for_each(|(slot, entry)| self.u32(at + 4 * slot, *entry));
        }
    }

    fn tables_after(&mut self, entries: &[u32]) {
        for (index, table) in entries.chunks(ENTRIES as usize).enumerate() {
            if table.iter().any(|entry| *entry != 0) {
                self.marker(1, 1);
                self.tables[index] = self.bytes.len();
                let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
                self.sectors(&bytes);
            }
        }
        self.marker(1, 2);
        self.directory = self.bytes.len();
        let bytes: Vec<u8> = self.tables.iter().flat_map(|at| ((at / 512) as u32).to_le_bytes()).collect();
        self.sectors(&bytes);
    }

    /// Appends a grain.
    pub(crate) fn grain(&mut self, lba: u64, stream: &[u8]) {
        self.grains.push(self.bytes.len());
        let mut unit = lba.to_le_bytes().to_vec();
        unit.extend((stream.len() as u32).to_le_bytes());
        unit.extend(stream);
        self.sectors(&unit);
    }

    /// Appends a marker of metadata.
    pub(crate) fn marker(&mut self, sectors: u64, kind: u32) {
        let mut bytes = sectors.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(kind.to_le_bytes());
        self.sectors(&bytes);
    }

    pub(crate) fn sectors(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    /// Overwrites the bytes at `at`.
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = self.bytes.len().max(at + bytes.len());
        self.bytes.resize(end, 0);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// The image with a change.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The decoded guest bytes.
    pub(crate) fn decode(&self) -> Result<Vec<u8>> {
        decode(&self.bytes, usize::MAX)
    }

    /// The error of decoding the image.
    #[track_caller]
    pub(crate) fn refused(&self) -> Error {
        self.decode().map(|_| ()).expect_err("decoding fails")
    }
}

fn header(writer: Writer) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"KDMV");
    let directory = if writer.in_front() { 2 } else { u64::MAX };
    for (at, value) in [(4, 3), (8, 0x3_0001), (44, ENTRIES as u32)] {
        put(at, &value.to_le_bytes());
    }
    for (at, value) in [(12, CAPACITY), (20, GRAIN), (28, 1), (36, 1), (56, directory), (64, OVERHEAD)] {
        put(at, &value.to_le_bytes());
    }
    put(73, b"\n \r\n\x01");
    bytes
}

const DESCRIPTOR: &str = "# Disk DescriptorFile\nversion=1 \nCID=00000007\nparentCID=ffffffff\n\
    createType=\"streamOptimized\"\nRDONLY 85 SPARSE \"generated-stream.vmdk\"\n";

/// The guest bytes of a disk with these grains.
pub(crate) fn disk(grains: &[u64]) -> Vec<u8> {
    let mut disk = vec![0; 512 * CAPACITY as usize];
    for grain in grains {
        let bytes = guest(*grain);
        disk[512 * (grain * GRAIN) as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    disk
}

/// A zlib stream of `bytes`.
pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; ZlibEncoder::max_len(bytes.len())];
    let len = ZlibEncoder::new(None).unwrap().encode(bytes, &mut out).unwrap().expect("room enough");
    out.truncate(len);
    out
}

/// A disk in memory that accepts writes in ascending order only, without gaps.
pub(crate) struct Pipe {
    pub(crate) disk: MemorySink,
    next: Mutex<u64>,
}

impl Pipe {
    pub(crate) fn new() -> Self {
        Self { disk: MemorySink::new(64 << 20), next: Mutex::new(0) }
    }

    fn forward(&self, range: Range<u64>) {
        let mut next = self.next.lock().unwrap();
        assert_eq!(range.start, *next, "no gap and no step back");
        *next = range.end;
    }
}

impl BlockSink for Pipe {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.forward(offset..offset + data.len() as u64);
        self.disk.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.forward(range.clone());
        self.disk.zero(range)
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() }
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Decodes `image`, pushed in chunks of `step` bytes, into memory.
pub(crate) fn decode(image: &[u8], step: usize) -> Result<Vec<u8>> {
    let sink = MemorySink::new(64 << 20);
    let size = decode_into(image, step, &Limits::default(), &sink)?;
    let bytes = sink.bytes();
    assert_eq!(bytes.len() as u64, size, "the sink has the size of the disk");
    Ok(bytes)
}

pub(crate) fn decode_into(image: &[u8], step: usize, limits: &Limits, sink: &dyn BlockSink) -> Result<u64> {
    let mut decoder = (DRIVER.stream.expect("streams are decoded"))(limits)?;
    for chunk in image.chunks(step) {
        decoder.push(chunk, sink)?;
    }
    decoder.finish(sink)
}

/// Checks kind and offset of an error, and that every chunking gives the same one.
#[track_caller]
pub(crate) fn assert_refused(image: &Image, kind: ErrorKind, at: usize) -> Error {
    let error = image.refused();
    assert_eq!((error.kind(), error.offset()), (kind, Some(at as u64)), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("vmdk: ") && !message.ends_with('.'), "{message}");
    for step in [1, 511, 512, 513] {
        let again = decode(&image.bytes, step).map(|_| ()).unwrap_err();
        assert_eq!(again.to_string(), message, "in chunks of {step}");
    }
    error
}
