//! Tests of archives, and archives in memory for them.

mod catalog;
mod manifest;
mod ovf;
mod sparse;
mod tar;

use std::io::Write;
use std::sync::Arc;

use diskimg_core::{Error, ImageInfo, Memory, MemorySink, Result};

use crate::{ConvertOptions, Opener, StreamConvert, Target, driver};

/// A tar header for a member of this name, length and kind.
pub(super) fn header(name: &str, len: u64, kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    fix_checksum(&mut block);
    block
}

/// Updates the checksum of a header.
pub(super) fn fix_checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

pub(super) fn member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = header(name, bytes.len() as u64, kind);
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

pub(super) fn qcow2(len: usize) -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
    bytes.resize(len, 0);
    bytes
}

pub(super) fn archive(parts: &[Vec<u8>]) -> Memory {
    Memory::new([parts.concat(), vec![0; 1024]].concat())
}

/// A record of an extended header.
pub(super) fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (rest.len()..).find(|len| len.to_string().len() + rest.len() == *len).unwrap();
    format!("{len}{rest}").into_bytes()
}

/// An archive of files, in order.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let members: Vec<Vec<u8>> = files.iter().map(|(name, bytes)| member(name, b'0', bytes)).collect();
    [members.concat(), vec![0; 1024]].concat()
}

/// A raw disk with a partition table.
pub(super) fn mbr_disk(len: usize) -> Vec<u8> {
    let mut disk: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    disk[446..510].fill(0);
    (disk[450], disk[454], disk[458]) = (0x83, 1, 8);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn naming(member: &str) -> Opener {
    Opener { member: Some(member.to_owned()), ..Opener::new() }
}

/// Converts the disk of an archive from a file, a reader, and pushed in chunks. The results must be the same.
pub(super) fn convert(opener: &Opener, archive: &[u8]) -> Result<Vec<u8>> {
    let options = ConvertOptions::default();
    let into_sink = |run: &dyn Fn(Target) -> Result<()>| {
        let sink = MemorySink::new(64 << 20);
        run(Target::sink(Box::new(sink.clone()), driver("raw")?.format)).map(|()| sink.bytes())
    };
    let file = into_sink(&|target| {
        let disk = opener.open_source(Arc::new(Memory::new(archive.to_vec())))?;
        disk.convert_to(&target, &options, &()).map(|_| ())
    });
    let reader = into_sink(&|target| {
        let input = opener.stream(std::io::Cursor::new(archive.to_vec()))?;
        input.convert_to(&target, &options, &()).map(|_| ())
    });
    same(&file, &reader);
    for chunk in [1, 700, 1 << 20].into_iter().filter(|chunk| *chunk > 1 || archive.len() < 100_000) {
        let sink = MemorySink::new(64 << 20);
        let mut conversion = StreamConvert::new(opener, Box::new(sink.clone()));
        let pushed = archive.chunks(chunk).try_for_each(|chunk| conversion.push(chunk));
        let pushed = pushed.and_then(|()| conversion.finish(&())).map(|_| sink.bytes());
        same(&file, &pushed);
    }
    file
}

/// Describes the disk of an archive in a file and in a stream. The results must be the same.
pub(super) fn inspect(opener: &Opener, archive: &[u8]) -> Result<ImageInfo> {
    let file = opener.inspect_source(&Memory::new(archive.to_vec()));
    let stream = opener.inspect_whole_stream(archive, &());
    let facts = |inspection: &crate::Inspection| (inspection.info.clone(), inspection.archive.clone());
    same(&file.as_ref().map(facts).map_err(Clone::clone), &stream.as_ref().map(facts).map_err(Clone::clone));
    file.map(|inspection| inspection.info)
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(file: &Result<T>, stream: &Result<T>) {
    match (file, stream) {
        (Ok(file), Ok(stream)) => assert!(file == stream, "the stream differs"),
        _ => assert_eq!(text(file.as_ref().err()), text(stream.as_ref().err())),
    }
}

fn text(error: Option<&Error>) -> String {
    error.map_or(String::new(), |error| format!("{:?} {error}", error.kind()))
}

/// The checks of all findings, and their messages.
pub(super) fn findings(info: &ImageInfo) -> Vec<(&'static str, String)> {
    info.findings.iter().map(|finding| (finding.check, finding.message.clone())).collect()
}
