//! Shared helpers: the images of the repository, qemu-img, and whole disks as bytes.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "../../../../tests/qemu/tools.rs"]
mod tools;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg::{
    BlockSink, BlockSource, ConvertOptions, Converted, Opener, Progress, Result, SnapshotSelector,
    StreamInput, Target, WithinDirectory, driver,
};
use sha2::{Digest, Sha256};

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub(crate) use tools::{have_qemu, qemu, qemu_io, run};

/// The directory of checked-in images: `good` or `bad`.
pub(crate) fn images(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images").join(directory)
}

/// The rows of a tab-separated table with a heading.
pub(crate) fn table(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// A row of `good/IMAGES.tsv`.
pub(crate) struct Good {
    pub(crate) file: String,
    pub(crate) format: String,
    pub(crate) wrapper: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) how: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl Good {
    pub(crate) fn path(&self) -> PathBuf {
        images("good").join(&self.file)
    }

    /// An opener with the permissions that this image needs.
    pub(crate) fn opener(&self) -> Opener {
        let mut opener = opener_for(&self.how, &self.path());
        if let Some(name) = self.how.strip_prefix("snapshot=") {
            opener.snapshot = Some(SnapshotSelector::Name(name.to_owned()));
        }
        opener
    }
}

/// An opener with the permissions in the column `how`.
pub(crate) fn opener_for(how: &str, path: &Path) -> Opener {
    let mut opener = Opener::new();
    match how {
        "raw" => opener.format = Some(driver("raw").unwrap().format),
        "files" => opener.resolver = Arc::new(WithinDirectory::of_image(path).unwrap()),
        _ => {}
    }
    opener
}

/// All good images.
pub(crate) fn good() -> Vec<Good> {
    let some = |text: &String| (text != "-").then(|| text.clone());
    table(&images("good").join("IMAGES.tsv"))
        .into_iter()
        .map(|row| Good {
            file: row[0].clone(),
            format: row[1].clone(),
            wrapper: some(&row[2]),
            content: some(&row[3]),
            how: row[4].clone(),
            size: row[5].parse().unwrap(),
            sha256: row[6].clone(),
        })
        .collect()
}

/// Reads all bytes of a disk.
pub(crate) fn read_all(disk: &dyn BlockSource) -> Result<Vec<u8>> {
    let mut bytes = vec![0xA5; usize::try_from(disk.size()).unwrap()];
    for (index, part) in bytes.chunks_mut(1 << 20).enumerate() {
        disk.read_at((index as u64) << 20, part)?;
    }
    Ok(bytes)
}

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// An OVA of these files: a tar whose first member is a descriptor.
pub(crate) fn ova(files: &[(&str, &[u8])]) -> Vec<u8> {
    let descriptor: (&str, &[u8]) = ("box.ovf", b"<Envelope/>");
    let mut bytes: Vec<u8> = std::iter::once(&descriptor).chain(files).flat_map(tar_member).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// The header and the padded bytes of a file in a tar archive.
pub(crate) fn tar_member((name, data): &(&str, &[u8])) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    bytes[148..156].fill(b' ');
    bytes[156] = b'0';
    bytes[257..263].copy_from_slice(b"ustar\0");
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Converts a stream into a sink of raw bytes.
pub(crate) fn convert_stream(
    input: StreamInput,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    let target = Target::sink(sink, driver("raw")?.format);
    input.convert_to(&target, options, progress)
}
