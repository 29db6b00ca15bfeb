//! The files depend only on the bytes and the options, and any order of writes makes the same disk.

use super::folder::Pipe;
use super::tools::{approved_as, has};
use super::*;

fn sparse_variants(disk: &[u8]) -> Vec<WriterOptions> {
    let sparse = options_for(disk, Subformat::MonolithicSparse);
    let split = options_for(disk, Subformat::TwoGbMaxExtentSparse);
    vec![
        WriterOptions { grain_size: 4096, zeroed_grain: true, ..sparse.clone() },
        sparse,
        WriterOptions { grain_size: 8192, ..split },
    ]
}

fn batch_variants(disk: &[u8]) -> Vec<WriterOptions> {
    let stream = options_for(disk, Subformat::StreamOptimized);
    let mut variants = sparse_variants(disk);
    variants.push(WriterOptions { grain_size: 4096, level: Some(1), ..stream.clone() });
    variants.push(stream);
    variants
}

#[test]
fn image_bytes_do_not_depend_on_threads_or_segments() {
    let disk = mixed(8_000_123, 5);
    for options in batch_variants(&disk) {
        let one = image(&options, |writer| batched(writer, &disk, 1 << 20, 1)).files();
        for (segment, workers) in [(1 << 20, 2), (1 << 20, 5), (65_536, 1), (65_536, 5), (4 << 20, 2)] {
            let other = image(&options, |writer| batched(writer, &disk, segment, workers)).files();
            assert!(one == other, "{workers} workers, segments of {segment}: {options:?}");
        }
    }
}

#[test]
fn batch_and_ordered_direct_writes_make_the_same_files() {
    let disk = mixed(3_000_001, 6);
    for options in batch_variants(&disk) {
        let batch = image(&options, |writer| batched(writer, &disk, 1 << 20, 2)).files();
        for step in [196_608, 65_536, 5000] {
            if step == 5000 && options.subformat != Subformat::StreamOptimized {
                // A direct write of part of a grain allocates it even if the whole grain is zeros.
                continue;
            }
            let direct = image(&options, |writer| {
                for (index, piece) in disk.chunks(step).enumerate() {
                    writer.write_at((index * step) as u64, piece).unwrap();
                }
            });
            assert!(batch == direct.files(), "steps of {step}: {options:?}");
        }
    }
}

#[test]
fn stream_optimized_pipe_and_file_have_equal_bytes() {
    let disk = mixed(5_000_001, 7);
    for grain_size in [4096, 65_536] {
        let options = WriterOptions { grain_size, ..options_for(&disk, Subformat::StreamOptimized) };
        let file = image(&options, |writer| batched(writer, &disk, 1 << 18, 3)).read(NAME);
        let by_batch = Pipe::default();
        let writer = ImageWriter::new(Box::new(by_batch.clone()), &options, None).unwrap();
        batched(&writer, &disk, 1 << 18, 3);
        Box::new(writer).finish().unwrap();
        assert!(by_batch.bytes() == file, "by batch, grains of {grain_size}");
        let direct = Pipe::default();
        let writer = ImageWriter::new(Box::new(direct.clone()), &options, None).unwrap();
        for (index, piece) in disk.chunks(100_000).enumerate() {
            if zeros::is_zero(piece) {
                let start = index as u64 * 100_000;
                writer.zero(start..start + piece.len() as u64).unwrap();
            } else {
                writer.write_at(index as u64 * 100_000, piece).unwrap();
            }
        }
        Box::new(writer).finish().unwrap();
        assert!(direct.bytes() == file, "directly, grains of {grain_size}");
    }
}

#[test]
fn rewrites_in_any_order_are_read_by_qemu() {
    if !has("qemu-img") {
        return;
    }
    let len = 3_000_001;
    let mut variants = sparse_variants(&vec![0; len]);
    variants.push(options_for(&vec![0; len], Subformat::MonolithicFlat));
    for options in variants {
        let mut disk = vec![0; len];
        let mut numbers = Numbers::new(len as u64);
        let folder = image(&options, |writer| {
            for turn in 0..60 {
                let at = usize::try_from(numbers.below(len as u64)).unwrap();
                let end = (at + usize::try_from(numbers.below(200_000)).unwrap()).min(len);
                if turn % 3 == 2 {
                    disk[at..end].fill(0);
                    writer.zero(at as u64..end as u64).unwrap();
                } else {
                    disk[at..end].copy_from_slice(&painted(turn, end - at));
                    writer.write_at(at as u64, &disk[at..end]).unwrap();
                }
            }
        });
        approved_as(&folder, &options, &disk);
    }
}

#[test]
fn direct_writes_from_many_threads_are_all_stored() {
    if !has("qemu-img") {
        return;
    }
    let disk = mixed(6_000_000, 8);
    for options in sparse_variants(&disk) {
        let folder = image(&options, |writer| {
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
        approved_as(&folder, &options, &disk);
    }
}

#[test]
fn flat_files_are_copied_from_host_files() {
    let disk = mixed(1_000_448, 4);
    let source = Folder::new();
    std::fs::write(source.path("raw"), &disk).unwrap();
    let file = std::fs::File::open(source.path("raw")).unwrap();
    for subformat in [Subformat::MonolithicFlat, Subformat::Vmfs, Subformat::TwoGbMaxExtentFlat] {
        let folder = image(&options_for(&disk, subformat), |writer| {
            let from = |offset, len| diskimg_core::HostRange { file: &file, offset, len };
            assert!(writer.copy_from(0, from(0, 500_000)).unwrap());
            assert!(writer.copy_from(500_000, from(500_000, 500_448)).unwrap());
        });
        let name =
            if subformat == Subformat::TwoGbMaxExtentFlat { "disk-f001.vmdk" } else { "disk-flat.vmdk" };
        assert!(folder.read(name) == disk, "{subformat:?}");
    }
}
