//! The file depends only on the bytes and the options.

use super::*;

#[test]
fn image_bytes_do_not_depend_on_threads_or_segments() {
    let disk = mixed(9_000_123, 5);
    for options in variants(&disk) {
        let one = image(&options, |writer| batched(writer, &disk, 1 << 20, 1));
        for (segment, workers) in [(1 << 20, 2), (1 << 20, 5), (2 << 20, 3), (4 << 20, 2)] {
            let other = image(&options, |writer| batched(writer, &disk, segment, workers));
            assert!(one == other, "{workers} workers, segments of {segment}: {options:?}");
        }
        assert!(guest(one) == in_sectors(&disk), "{options:?}");
    }
}

#[test]
fn batch_and_ordered_direct_writes_make_the_same_file() {
    let disk = mixed(5_000_001, 6);
    for options in variants(&disk) {
        let batch = image(&options, |writer| batched(writer, &disk, 1 << 20, 2));
        let direct = image(&options, |writer| {
            for (index, piece) in disk.chunks(1 << 20).enumerate() {
                writer.write_at((index as u64) << 20, piece).unwrap();
            }
        });
        assert!(batch == direct, "{options:?}");
    }
}

#[test]
fn direct_writes_from_many_threads_are_all_stored() {
    let disk = mixed(6_000_000, 8);
    for options in variants(&disk) {
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
        for options in variants(&[]) {
            let file = std::sync::Mutex::new(MemorySink::new(ROOM));
            diskimg_core::conformance::sink(
                u64::next_multiple_of(size, 512),
                options.block_size,
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

#[test]
fn missing_uuids_are_random() {
    let options = WriterOptions { virtual_size: 1 << 20, ..WriterOptions::default() };
    let identity = || diskimg_core::Image::info(&open(image(&options, |_| ()))).identity.clone();
    let (one, other) = (identity(), identity());
    assert!(one.uuid.is_some() && one.modification_uuid.is_some());
    assert_ne!(one.uuid, other.uuid);
    assert_ne!(one.modification_uuid, other.modification_uuid);
    assert_ne!(one.uuid, one.modification_uuid);
}
