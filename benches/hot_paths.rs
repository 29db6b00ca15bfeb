//! One bench for each hot path: reading each kind of cluster, grain and block, mapping, writing, streaming,
//! decompressing, searching for zeros.
//!
//!     cargo bench -p diskimg
//!
//! The disk of 64 MiB is generated: text-like and noisy parts with holes between them.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at an error")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diskimg::core::CreateOptions;
use diskimg::{
    BlockSource, ConvertOptions, Disk, Extents, Memory, MemorySink, Opener, Setting, StreamConvert, convert,
    driver,
};

const SIZE: usize = 64 << 20;
const STEP: usize = 1 << 20;

fn disk() -> Memory {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = vec![0; SIZE];
    for (index, piece) in bytes.chunks_mut(256 << 10).enumerate() {
        if index % 4 == 3 {
            continue;
        }
        for word in piece.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Every third part is noise. The others repeat a small alphabet, like text.
            let value =
                if index % 3 == 0 { state } else { state & 0x0707_0707_0707_0707 | 0x6060_6060_6060_6060 };
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
    Memory::new(bytes)
}

fn image(source: &Memory, kind: &Kind) -> Vec<u8> {
    let options = CreateOptions {
        virtual_size: source.size(),
        compress: kind.compress,
        level: None,
        settings: Setting::parse_list(kind.settings).unwrap(),
        siblings: None,
    };
    let file = MemorySink::new(1 << 30);
    let create = driver(kind.format).unwrap().create.unwrap();
    let sink = create(Box::new(file.clone()), &options).unwrap();
    convert(source, sink, &ConvertOptions::default(), &()).unwrap();
    file.bytes()
}

fn open(image: Vec<u8>) -> Disk {
    Opener::new().open_source(Arc::new(Memory::new(image))).unwrap()
}

struct Kind {
    name: &'static str,
    format: &'static str,
    compress: bool,
    settings: &'static str,
}

const fn kind(name: &'static str, format: &'static str, compress: bool, settings: &'static str) -> Kind {
    Kind { name, format, compress, settings }
}

const KINDS: [Kind; 8] = [
    kind("qcow2", "qcow2", false, ""),
    kind("qcow2-deflate", "qcow2", true, ""),
    kind("qcow2-zstd", "qcow2", true, "compression_type=zstd"),
    kind("qcow2-4k", "qcow2", false, "cluster_size=4k"),
    kind("qcow2-deflate-2M", "qcow2", true, "cluster_size=2M"),
    kind("vmdk-sparse", "vmdk", false, ""),
    kind("vmdk-stream", "vmdk", false, "subformat=streamOptimized"),
    kind("vdi", "vdi", false, ""),
];

fn read(c: &mut Criterion) {
    let source = disk();
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(10);
    for kind in KINDS {
        let disk = open(image(&source, &kind));
        let mut buf = vec![0; STEP];
        group.bench_function(BenchmarkId::from_parameter(kind.name), |b| {
            b.iter(|| {
                for offset in (0..SIZE as u64).step_by(STEP) {
                    disk.read_at(offset, &mut buf).unwrap();
                }
            });
        });
    }
    group.finish();
}

fn map(c: &mut Criterion) {
    let source = disk();
    let mut group = c.benchmark_group("map");
    for kind in KINDS {
        let disk = open(image(&source, &kind));
        group.bench_function(BenchmarkId::from_parameter(kind.name), |b| {
            b.iter(|| Extents::new(&disk, 0..disk.size()).filter(|e| black_box(e).is_ok()).count());
        });
    }
    group.finish();
}

fn write(c: &mut Criterion) {
    let source = disk();
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(10);
    for kind in KINDS {
        group.bench_function(BenchmarkId::from_parameter(kind.name), |b| {
            b.iter(|| black_box(image(&source, &kind)));
        });
    }
    group.finish();
}

fn stream(c: &mut Criterion) {
    let source = disk();
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(10);
    for kind in KINDS.iter().filter(|kind| kind.name != "vmdk-sparse") {
        let file = image(&source, kind);
        group.bench_function(BenchmarkId::from_parameter(kind.name), |b| {
            b.iter(|| {
                let sink = Box::new(MemorySink::new(1 << 30));
                let mut conversion = StreamConvert::new(&Opener::new(), sink);
                file.chunks(STEP).for_each(|piece| conversion.push(piece).unwrap());
                black_box(conversion.finish(&()).unwrap())
            });
        });
    }
    group.finish();
}

fn decompress(c: &mut Criterion) {
    let source = disk();
    let mut bytes = vec![0; SIZE];
    source.read_at(0, &mut bytes).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gz.write_all(&bytes).unwrap();
    let gz = gz.finish().unwrap();
    let mut group = c.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(10);
    let mut opener = Opener::new();
    opener.allow_raw = true;
    group.bench_function("gzip", |b| {
        b.iter(|| opener.inspect_stream(std::io::Cursor::new(gz.clone())).unwrap());
    });
    group.finish();
}

fn zeros(c: &mut Criterion) {
    let zeros = vec![0; STEP];
    let mut group = c.benchmark_group("zeros");
    group.throughput(Throughput::Bytes(STEP as u64));
    group.bench_function("runs", |b| {
        b.iter(|| {
            let mut runs = Vec::new();
            diskimg_core::zeros::runs(black_box(&zeros), 4096, 0, &mut runs);
            runs
        });
    });
    group.finish();
}

criterion_group!(benches, read, map, write, stream, decompress, zeros);
criterion_main!(benches);
