//! Builds small images field by field.

use std::sync::Arc;

use diskimg_core::conformance::painted;
use diskimg_core::{BlockSource, CheckReport, Error, ErrorKind, ImageInfo, Limits, Memory, OpenOptions};
use diskimg_vdi::{DRIVER, Vdi, inspect};

/// Bytes of a block.
pub(crate) const BLOCK: u64 = 4096;
/// The number of blocks of the disk.
pub(crate) const BLOCKS: u32 = 256;
/// Virtual size in bytes.
pub(crate) const SIZE: u64 = BLOCK * BLOCKS as u64;
/// The offset of the map of a version 1 image.
pub(crate) const MAP: u64 = 512;
/// The offset of the blocks of a version 1 image.
pub(crate) const DATA: u64 = 2048;
pub(crate) const FREE: u32 = 0xFFFF_FFFF;
pub(crate) const ZERO: u32 = 0xFFFF_FFFE;

/// The offsets of the fields of a version 1 header.
pub(crate) const HEADER_BYTES: u64 = 72;
pub(crate) const TYPE: u64 = 76;
pub(crate) const FLAGS: u64 = 80;
pub(crate) const MAP_OFFSET: u64 = 340;
pub(crate) const DATA_OFFSET: u64 = 344;
pub(crate) const SECTOR: u64 = 360;
pub(crate) const DISK: u64 = 368;
pub(crate) const BLOCK_SIZE: u64 = 376;
pub(crate) const EXTRA: u64 = 380;
pub(crate) const COUNT: u64 = 384;
pub(crate) const ALLOCATED: u64 = 388;
pub(crate) const UUIDS: u64 = 392;

/// The bytes of an image. At first it has one block of painted data, the first of the disk.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) map: u64,
    pub(crate) data: u64,
    pub(crate) extra: u64,
}

impl Image {
    /// A dynamic image of version 1.1 with a header of 384 bytes. The other blocks are free.
    pub(crate) fn new() -> Self {
        let mut image = Self { bytes: vec![0; DATA as usize], map: MAP, data: DATA, extra: 0 };
        image.put(0, b"<<< an image built field by field >>>\n");
        image.put(64, &[0x7F, 0x10, 0xDA, 0xBE]);
        let fields = [
            (68, 0x0001_0001),
            (HEADER_BYTES, 384),
            (TYPE, 1),
            (MAP_OFFSET, MAP as u32),
            (DATA_OFFSET, DATA as u32),
            (SECTOR, 512),
            (BLOCK_SIZE, BLOCK as u32),
            (COUNT, BLOCKS),
        ];
        fields.iter().for_each(|(at, value)| image.u32(*at, *value));
        image.u64(DISK, SIZE);
        image.put(UUIDS, &[0x11; 16]);
        image.put(UUIDS + 16, &[0x22; 16]);
        (0..BLOCKS).for_each(|block| image.entry(block, FREE));
        image.block(0, &painted(0, BLOCK as usize));
        image
    }

    /// A dynamic image of version 0.2: the map follows the header, the blocks follow the map.
    pub(crate) fn v0() -> Self {
        let (map, data) = (420, 420 + 4 * u64::from(BLOCKS));
        let mut image = Self { bytes: vec![0; data as usize], map, data, extra: 0 };
        image.put(0, b"<<< innotek VirtualBox Disk Image >>>\n");
        image.put(64, &[0x7F, 0x10, 0xDA, 0xBE]);
        for (at, value) in [(68, 2), (72, 1), (348, 512), (360, BLOCK as u32), (364, BLOCKS)] {
            image.u32(at, value);
        }
        image.u64(352, SIZE);
        image.put(372, &[0x11; 16]);
        image.put(388, &[0x22; 16]);
        (0..BLOCKS).for_each(|block| image.entry(block, FREE));
        image.add(&painted(0, BLOCK as usize));
        image.u32(368, 1);
        image.entry(0, 0);
        image
    }

    /// A dynamic image of version 1.1 with `extra` bytes before each block.
    pub(crate) fn with_extra(extra: u32) -> Self {
        let mut image = Self::new();
        image.bytes.truncate(DATA as usize);
        image.u32(EXTRA, extra);
        image.u32(ALLOCATED, 0);
        image.extra = extra.into();
        image.block(0, &painted(0, BLOCK as usize));
        image
    }

    /// A fixed image. All blocks are painted.
    pub(crate) fn fixed() -> Self {
        let mut image = Self::new();
        image.bytes.truncate(DATA as usize);
        image.u32(TYPE, 2);
        image.u32(ALLOCATED, 0);
        for block in 0..BLOCKS {
            image.block(block, &painted(u64::from(block) * BLOCK, BLOCK as usize));
        }
        image
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// The offset of the map entry of a guest block.
    pub(crate) fn entry_at(&self, block: u32) -> u64 {
        self.map + 4 * u64::from(block)
    }

    pub(crate) fn entry(&mut self, block: u32, value: u32) {
        self.u32(self.entry_at(block), value);
    }

    /// Appends a file block and returns its index.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> u32 {
        let index = (self.bytes.len() as u64 - self.data) / (BLOCK + self.extra);
        self.bytes.resize(self.bytes.len() + self.extra as usize, 0xEE);
        self.bytes.extend(bytes);
        index as u32
    }

    /// Stores `bytes` as a guest block, in a new file block. Version 1 only.
    pub(crate) fn block(&mut self, block: u32, bytes: &[u8]) {
        let index = self.add(bytes);
        self.entry(block, index);
        let at = ALLOCATED as usize;
        let allocated = u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap());
        self.u32(ALLOCATED, allocated + 1);
    }

    pub(crate) fn memory(&self) -> Arc<dyn BlockSource> {
        Arc::new(Memory::new(self.bytes.clone()))
    }

    pub(crate) fn open(&self) -> Result<Vdi, Error> {
        Vdi::open(self.memory(), &OpenOptions::default())
    }

    /// Returns the error of opening the image.
    #[track_caller]
    pub(crate) fn refused(&self) -> Error {
        match self.open() {
            Ok(_) => panic!("the image opens"),
            Err(error) => error,
        }
    }

    /// Opens the image and returns the error of reading at a guest offset, which is also that of mapping.
    #[track_caller]
    pub(crate) fn unreadable(&self, guest: u64) -> Error {
        let image = self.open().expect("the image opens");
        let error = image.read_at(guest, &mut [0; 16]).expect_err("reading fails");
        let mapping = image.extent_at(guest..guest + 16).map(|e| e.range()).expect_err("mapping fails");
        assert_eq!(error.to_string(), mapping.to_string());
        error
    }

    #[track_caller]
    pub(crate) fn inspected(&self) -> ImageInfo {
        inspect(self.memory().as_ref(), &Limits::default()).expect("the header can be read")
    }

    #[track_caller]
    pub(crate) fn checked(&self) -> CheckReport {
        (DRIVER.check.unwrap())(self.memory(), &OpenOptions::default()).expect("the map can be read")
    }
}

/// The disk of an image with only its first block.
pub(crate) fn first_block_only() -> Vec<u8> {
    let mut bytes = painted(0, BLOCK as usize);
    bytes.resize(SIZE as usize, 0);
    bytes
}

/// Checks kind, host offset, guest offset and style of an error.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, at: Option<u64>, guest: Option<u64>) {
    let message = error.to_string();
    assert_eq!((error.kind(), error.offset(), error.guest_offset()), (kind, at, guest), "{message}");
    assert!(message.starts_with("vdi: "), "{message}");
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
}

/// The names of the findings, in order.
pub(crate) fn checks(info: &ImageInfo) -> Vec<&'static str> {
    info.findings.iter().map(|finding| finding.check).collect()
}
