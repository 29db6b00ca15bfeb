//! The file depends only on the bytes and the options.

use super::*;
use crate::{BackingName, ClusterPreallocation, Compression};

fn variants(disk: &[u8]) -> Vec<WriterOptions> {
    let plain = WriterOptions { cluster_size: 4096, ..options_for(disk) };
    let deflate = WriterOptions { compress: true, ..plain.clone() };
    let zstd = WriterOptions { compression_type: Compression::Zstd, refcount_bits: 2, ..deflate.clone() };
    let backing = Some(BackingName { name: "base".into(), format: None });
    vec![
        WriterOptions { backing, ..deflate.clone() },
        WriterOptions { preallocation: ClusterPreallocation::Metadata, ..plain.clone() },
        WriterOptions { cluster_size: 65_536, extended_l2: true, ..deflate.clone() },
        plain,
        deflate,
        zstd,
    ]
}

#[test]
fn image_bytes_do_not_depend_on_threads_or_segments() {
    let disk = mixed(8_000_123, 5);
    for options in variants(&disk) {
        let one = image(&options, |writer| batched(writer, &disk, 1 << 20, 1));
        for (segment, workers) in [(1 << 20, 2), (1 << 20, 5), (65_536, 1), (65_536, 5), (4 << 20, 2)] {
            let other = image(&options, |writer| batched(writer, &disk, segment, workers));
            assert!(one == other, "{workers} workers, segments of {segment}: {options:?}");
        }
    }
}

#[test]
fn batch_and_ordered_direct_writes_make_the_same_file() {
    let disk = mixed(3_000_001, 6);
    for options in variants(&disk).into_iter().filter(|options| options.backing.is_none()) {
        let batch = image(&options, |writer| batched(writer, &disk, 1 << 20, 2));
        let direct = image(&options, |writer| {
            for (index, piece) in disk.chunks(196_608).enumerate() {
                writer.write_at(index as u64 * 196_608, piece).unwrap();
            }
        });
        if options.preallocation == ClusterPreallocation::Off {
            // Tables are written at other times, but to the same offsets.
            assert!(batch == direct, "{options:?}");
        }
        assert!(guest(direct) == in_sectors(&disk), "{options:?}");
    }
}

#[test]
fn direct_writes_from_many_threads_are_all_stored() {
    let disk = mixed(6_000_000, 8);
    for options in variants(&disk).into_iter().filter(|options| options.backing.is_none()) {
        let bytes = image(&options, |writer| {
            std::thread::scope(|scope| {
                for worker in 0..4 {
                    let disk = &disk;
                    scope.spawn(move || {
                        for (index, piece) in disk.chunks(100_000).enumerate().skip(worker).step_by(4) {
                            writer.write_at(index as u64 * 100_000, piece).unwrap();
                        }
                    });
                }
            });
        });
        assert!(guest(bytes) == in_sectors(&disk), "{options:?}");
    }
}

#[test]
fn writer_passes_the_sink_conformance_suite() {
    for size in [1, 513, 300_000, 3_000_001] {
        for options in variants(&[]).into_iter().filter(|options| options.backing.is_none()) {
            let file = std::sync::Mutex::new(MemorySink::new(ROOM));
            let options = WriterOptions { compress: false, ..options };
            let in_header = u64::next_multiple_of(size, 512);
            diskimg_core::conformance::sink(
                in_header,
                options.cluster_size,
                &|virtual_size| {
                    *file.lock().unwrap() = MemorySink::new(ROOM);
                    let lower = Box::new(file.lock().unwrap().clone());
                    Box::new(
                        ImageWriter::new(lower, &WriterOptions { virtual_size, ..options.clone() }).unwrap(),
                    )
                },
                &|| Box::new(open(file.lock().unwrap().bytes())),
            );
        }
    }
}
