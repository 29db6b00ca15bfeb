//! Small images, built field by field, and files for their references.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use diskimg_codec::cluster::ZlibEncoder;
use diskimg_core::conformance::painted;
use diskimg_core::{
    BlockSource, Error, ErrorKind, ImageInfo, Limits, Memory, OpenOptions, Reference, Resolver, Result,
};
use diskimg_vmdk::{Vmdk, inspect};

pub(crate) const SECTOR: u64 = 512;
/// Grains of the images built here: 8 sectors, so that a grain table maps 2 MiB.
pub(crate) const GRAIN: u64 = 4096;
/// Size of the disk.
pub(crate) const SIZE: u64 = 1 << 20;
/// The first sectors of directories and tables. Each table has 4 sectors.
pub(crate) const RGD: u64 = 3;
pub(crate) const GD: u64 = 4;
pub(crate) const RGT: u64 = 5;
pub(crate) const GT: u64 = 9;
/// The first sector of the first grain, after which the file ends.
pub(crate) const DATA: u64 = 16;
pub(crate) const AT_END: u64 = u64::MAX;

/// The descriptor of an image in one file.
pub(crate) fn embedded(create_type: &str, sectors: u64) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
         createType=\"{create_type}\"\n\nRW {sectors} SPARSE \"disk.vmdk\"\n"
    )
}

/// The bytes of a file.
#[derive(Clone)]
pub(crate) struct Image(pub(crate) Vec<u8>);

impl Image {
    /// A monolithicSparse image: header, descriptor, both directories and tables, and one grain of painted
    /// data.
    pub(crate) fn new() -> Self {
        let mut image = Self(vec![0; (DATA * SECTOR) as usize]);
        image.header(1, 3, SIZE / SECTOR);
        image.text(&embedded("monolithicSparse", SIZE / SECTOR));
        image.u32(RGD * SECTOR, RGT as u32);
        image.u32(GD * SECTOR, GT as u32);
        image.u32(RGT * SECTOR, DATA as u32);
        image.u32(GT * SECTOR, DATA as u32);
        image.0.extend(painted(0, GRAIN as usize));
        image
    }

    /// One extent of several: the image without its descriptor.
    pub(crate) fn extent() -> Self {
        Self::new().with(|image| {
            image.u64(28, 0);
            image.u64(36, 0);
            image.bytes(SECTOR, &[0; 1024]);
        })
    }

    /// A stream of these grains by number. `directory` is [`GD`] for tables before the grains, [`AT_END`] for a
    /// footer, and anything else for tables after the grains without a footer.
    pub(crate) fn stream(grains: &[(u64, Vec<u8>)], directory: u64) -> Self {
        let front = directory == GD;
        let mut image = Self(vec![0; (DATA * SECTOR) as usize]);
        image.header(3, 0x30001, SIZE / SECTOR);
        image.u64(48, 0);
        image.u64(56, directory);
        image.bytes(77, &[1, 0]);
        image.text(&embedded("streamOptimized", SIZE / SECTOR));
        let mut table = vec![0; 2048];
        for (number, stream) in grains {
            let at = image.grain(number * GRAIN / SECTOR, stream);
            table[4 * *number as usize..][..4].copy_from_slice(&((at / SECTOR) as u32).to_le_bytes());
        }
        if front {
            image.u32(GD * SECTOR, GT as u32);
            image.bytes(GT * SECTOR, &table);
            return image;
        }
        let table_at = image.metadata(4, 1, &table);
        let mut first = vec![0; 512];
        first[..4].copy_from_slice(&((table_at / SECTOR) as u32).to_le_bytes());
        let directory_at = image.metadata(1, 2, &first) / SECTOR;
        if directory == AT_END {
            let mut footer = image.0[..512].to_vec();
            footer[56..64].copy_from_slice(&directory_at.to_le_bytes());
            image.metadata(1, 3, &footer);
        } else {
            image.u64(56, directory_at);
        }
        image.0.extend([0; 512]);
        image
    }

    fn header(&mut self, version: u32, flags: u32, capacity: u64) {
        self.bytes(0, b"KDMV");
        self.u32(4, version);
        self.u32(8, flags);
        for (at, value) in [(12, capacity), (20, 8), (28, 1), (36, 2), (48, RGD), (56, GD), (64, DATA)] {
            self.u64(at, value);
        }
        self.u32(44, 512);
        self.bytes(73, b"\n \r\n");
    }

    /// Appends a marker and its grain, and returns the offset of the marker.
    pub(crate) fn grain(&mut self, lba: u64, stream: &[u8]) -> u64 {
        let at = self.0.len() as u64;
        self.0.extend(lba.to_le_bytes());
        self.0.extend((stream.len() as u32).to_le_bytes());
        self.0.extend(stream);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        at
    }

    /// Appends a marker and its metadata, and returns the offset of the metadata.
    fn metadata(&mut self, sectors: u64, kind: u32, bytes: &[u8]) -> u64 {
        let mut marker = [0; 512];
        marker[..8].copy_from_slice(&sectors.to_le_bytes());
        marker[12..16].copy_from_slice(&kind.to_le_bytes());
        self.0.extend(marker);
        let at = self.0.len() as u64;
        self.0.extend(bytes);
        at
    }

    /// Overwrites the descriptor, which is two sectors.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(SECTOR, &[0; 1024]);
        self.bytes(SECTOR, text.as_bytes());
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn bytes(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) {
        self.bytes(at, &value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) {
        self.bytes(at, &value.to_le_bytes());
    }

    pub(crate) fn open(&self) -> Result<Vmdk, Error> {
        open(self.0.clone(), &Files::default())
    }

    /// The error of opening the image.
    #[track_caller]
    pub(crate) fn refused(&self) -> Error {
        refused(self.open())
    }

    /// The error of reading a guest offset of an image that opens.
    #[track_caller]
    pub(crate) fn unreadable(&self, guest: u64) -> Error {
        let image = self.open().expect("the image opens");
        image.read_at(guest, &mut [0; 512]).expect_err("reading fails")
    }

    /// The error of mapping a guest offset. Reading it must give the same kind of error.
    #[track_caller]
    pub(crate) fn unmapped(&self, guest: u64) -> Error {
        let image = self.open().expect("the image opens");
        let error = image.extent_at(guest..guest + 512).map(|e| e.range()).expect_err("mapping fails");
        assert_eq!(error.kind(), self.unreadable(guest).kind());
        error
    }

    #[track_caller]
    /// Returns the name and the offset of each finding about the length of the file.
    pub(crate) fn surveyed(&self, limits: &Limits) -> Vec<(&'static str, Option<u64>)> {
        let survey = diskimg_vmdk::DRIVER.survey.expect("the format has tables");
        let found = survey(&Memory::new(self.0.clone()), &self.inspected(), limits);
        found.into_iter().map(|finding| (finding.check, finding.offset)).collect()
    }

    pub(crate) fn inspected(&self) -> ImageInfo {
        inspect(&Memory::new(self.0.clone()), &Limits::default()).expect("the header can be read")
    }
}

/// The guest bytes of [`Image::new`].
pub(crate) fn first_grain() -> Vec<u8> {
    let mut bytes = painted(0, GRAIN as usize);
    bytes.resize(SIZE as usize, 0);
    bytes
}

/// A zlib stream.
pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; ZlibEncoder::max_len(bytes.len())];
    let len = ZlibEncoder::new(None).unwrap().encode(bytes, &mut out).unwrap().unwrap();
    out.truncate(len);
    out
}

/// Files by name, and the references that were requested.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) files: HashMap<Vec<u8>, Memory>,
    pub(crate) asked: Mutex<Vec<Reference>>,
}

impl Files {
    pub(crate) fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let files = files.iter().map(|(name, bytes)| (name.as_bytes().to_vec(), Memory::new(bytes.clone())));
        Self { files: files.collect(), asked: Mutex::default() }
    }
}

impl Resolver for Files {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        self.asked.lock().unwrap().push(reference.clone());
        match self.files.get(&reference.name) {
            Some(file) => Ok(Arc::new(file.clone())),
            None => Err(reference.denied()),
        }
    }
}

pub(crate) fn open(bytes: impl Into<Vec<u8>>, files: &Files) -> Result<Vmdk, Error> {
    let options = OpenOptions { resolver: files, ..OpenOptions::default() };
    Vmdk::open(Arc::new(Memory::new(bytes.into())), &options)
}

#[track_caller]
pub(crate) fn refused(opened: Result<Vmdk, Error>) -> Error {
    match opened {
        Ok(_) => panic!("the image opens"),
        Err(error) => error,
    }
}

/// A descriptor that is a file of its own.
pub(crate) fn text(create_type: &str, lines: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
         createType=\"{create_type}\"\n{lines}\n"
    )
}

/// Checks kind, host offset and guest offset of an error, and the form of its message.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, at: Option<u64>, guest: Option<u64>) {
    let message = error.to_string();
    assert_eq!((error.kind(), error.offset(), error.guest_offset()), (kind, at, guest), "{message}");
    assert!(message.starts_with("vmdk: "), "{message}");
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
}

/// The names of the findings, in order.
pub(crate) fn checks(info: &ImageInfo) -> Vec<&'static str> {
    info.findings.iter().map(|finding| finding.check).collect()
}
