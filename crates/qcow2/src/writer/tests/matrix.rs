//! Every combination of options, checked with `qemu-img check` and compared byte for byte.

use super::qemu::{Qemu, clean, qemu_io, run, text};
use super::*;
use crate::{BackingName, ClusterPreallocation, Compression, Version};

const CLUSTERS: [u64; 5] = [512, 4096, 65_536, 1 << 20, 2 << 20];

fn methods() -> [(bool, Compression); 3] {
    [(false, Compression::Deflate), (true, Compression::Deflate), (true, Compression::Zstd)]
}

/// Checks all combinations for one cluster size, with a mixed disk of an odd length.
fn check_every_combination(cluster_size: u64) {
    let qemu = Qemu::find();
    let disk = mixed(3_000_000 + usize::try_from(cluster_size).unwrap() + 77, cluster_size);
    let expected = in_sectors(&disk);
    for (compress, compression_type) in methods() {
        for refcount_bits in [1, 2, 8, 16, 64] {
            for (version, extended_l2) in [(Version::V2, false), (Version::V3, false), (Version::V3, true)] {
                let v2_cannot = refcount_bits != 16 || compression_type == Compression::Zstd;
                if version == Version::V2 && v2_cannot || extended_l2 && cluster_size < 16_384 {
                    continue;
                }
                let options = WriterOptions {
                    version,
                    cluster_size,
                    compress,
                    compression_type,
                    refcount_bits,
                    extended_l2,
                    ..options_for(&disk)
                };
                let what = format!("{options:?}");
                let bytes = image(&options, |writer| batched(writer, &disk, 2 << 20, 2));
                assert_eq!(bytes.len() as u64 % cluster_size, 0, "{what}: ends with a whole cluster");
                assert!(guest(bytes.clone()) == expected, "{what}: the reader of this crate differs");
                if let Some(qemu) = &qemu {
                    qemu.approves(&bytes, &expected, &what);
                }
            }
        }
    }
}

#[test]
fn images_with_clusters_of_512_bytes_pass_qemu_img() {
    check_every_combination(CLUSTERS[0]);
}

#[test]
fn images_with_clusters_of_4_kib_pass_qemu_img() {
    check_every_combination(CLUSTERS[1]);
}

#[test]
fn images_with_clusters_of_64_kib_pass_qemu_img() {
    check_every_combination(CLUSTERS[2]);
}

#[test]
fn images_with_clusters_of_1_mib_pass_qemu_img() {
    check_every_combination(CLUSTERS[3]);
}

#[test]
fn images_with_clusters_of_2_mib_pass_qemu_img() {
    check_every_combination(CLUSTERS[4]);
}

#[test]
fn uniform_disks_of_every_boundary_size_pass_qemu_img() {
    let Some(qemu) = Qemu::find() else { return };
    type Pattern = fn(usize) -> Vec<u8>;
    let patterns: [(&str, Pattern); 4] = [
        ("zeros", |len| vec![0; len]),
        ("text", |len| b"0123456789abcde\n".repeat(len / 16 + 1)[..len].to_vec()),
        ("noise", noise),
        ("sparse", |len| {
            let mut disk = vec![0; len];
            disk.iter_mut().step_by(400_000).for_each(|byte| *byte = 1);
            disk
        }),
    ];
    // One L2 table of 4 KiB clusters maps 2 MiB.
    let sizes = [0, 1, 511, 512, 4095, 4096, 4097, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5_000_000];
    for (name, pattern) in patterns {
        for size in sizes {
            let disk = pattern(size);
            for (compress, compression_type) in methods() {
                let options =
                    WriterOptions { cluster_size: 4096, compress, compression_type, ..options_for(&disk) };
                let bytes = image(&options, |writer| writer.write_at(0, &disk).unwrap());
                qemu.approves(&bytes, &in_sectors(&disk), &format!("{name} {size} {compression_type:?}"));
            }
        }
    }
}

#[test]
fn metadata_preallocation_allocates_every_cluster() {
    let Some(qemu) = Qemu::find() else { return };
    for (cluster_size, extended_l2) in [(512, false), (65_536, false), (65_536, true)] {
        for fill in [false, true] {
            let disk = if fill { mixed(5_000_000, 3) } else { vec![0; 5_000_000] };
            let options = WriterOptions {
                cluster_size,
                extended_l2,
                preallocation: ClusterPreallocation::Metadata,
                ..options_for(&disk)
            };
            let in_order = image(&options, |writer| batched(writer, &disk, 1 << 20, 2));
            assert!(in_order.len() >= disk.len());
            qemu.approves(&in_order, &in_sectors(&disk), &format!("{options:?}"));
            let by_pieces = image(&options, |writer| {
                writer.write_at(4_000_000, &disk[4_000_000..]).unwrap();
                writer.write_at(0, &disk[..4_000_000]).unwrap();
            });
            qemu.approves(&by_pieces, &in_sectors(&disk), &format!("by pieces {options:?}"));
        }
    }
}

#[test]
fn backing_file_is_read_for_untouched_clusters_only() {
    let Some(qemu) = Qemu::find() else { return };
    let base = qemu.file("base.raw", &painted(0, 1 << 20));
    let name = base.to_str().unwrap().to_owned();
    for (version, cluster_size, extended_l2) in
        [(Version::V2, 4096, false), (Version::V3, 4096, false), (Version::V3, 16_384, true)]
    {
        for compress in [false, true] {
            let options = WriterOptions {
                virtual_size: 1 << 20,
                version,
                cluster_size,
                compress,
                extended_l2,
                backing: Some(BackingName { name: name.clone(), format: Some("raw".into()) }),
                ..WriterOptions::default()
            };
            let bytes = image(&options, |writer| {
                writer.write_at(65_536, &[9; 32_768]).unwrap();
                writer.write_at(131_072, &[0; 16_384]).unwrap();
                writer.zero(262_144..524_288).unwrap();
            });
            let path = qemu.file("overlay.qcow2", &bytes);
            clean(&path, &format!("{options:?}"));
            let raw = path.with_extension("raw");
            let output = run(&["convert", "-O", "raw"], &[&path, &raw]);
            assert!(output.status.success(), "{}", text(&output));
            let mut expected = painted(0, 1 << 20);
            expected[65_536..98_304].fill(9);
            expected[131_072..147_456].fill(0);
            expected[262_144..524_288].fill(0);
            assert!(std::fs::read(&raw).unwrap() == expected, "{options:?}");
        }
    }
}

#[test]
fn image_changed_by_qemu_io_passes_qemu_img() {
    let Some(qemu) = Qemu::find() else { return };
    let disk = mixed(4_000_000, 17);
    for (cluster_size, compress, extended_l2, refcount_bits) in [
        (512, true, false, 1),
        (4096, true, false, 2),
        (65_536, false, false, 16),
        (65_536, true, true, 16),
        (65_536, false, true, 64),
    ] {
        let options = WriterOptions {
            cluster_size,
            compress,
            extended_l2,
            refcount_bits,
            lazy_refcounts: refcount_bits == 16,
            ..options_for(&disk)
        };
        let path = qemu.file("image.qcow2", &image(&options, |writer| batched(writer, &disk, 1 << 20, 2)));
        let changes =
            ["write -P 5 1000k 700k", "write -z 100k 300k", "discard 2M 512k", "write -P 6 3000k 1k"];
        let output = qemu_io(&changes, &path);
        assert!(output.status.success(), "{options:?}: {}", text(&output));
        clean(&path, &format!("{options:?}"));
        let output = qemu_io(&["read -P 5 1000k 700k", "read -P 0 100k 300k", "read -P 6 3000k 1k"], &path);
        assert!(output.status.success() && !text(&output).contains("failed"), "{}", text(&output));
    }
}

#[test]
fn header_states_the_options() {
    let Some(qemu) = Qemu::find() else { return };
    let options = WriterOptions {
        virtual_size: 1000,
        compression_type: Compression::Zstd,
        extended_l2: true,
        lazy_refcounts: true,
        refcount_bits: 32,
        backing: Some(BackingName { name: "some, name".into(), format: Some("raw".into()) }),
        ..WriterOptions::default()
    };
    let path = qemu.file("image.qcow2", &image(&options, |_| ()));
    let info = text(&run(&["info", "-f", "qcow2"], &[&path]));
    for part in [
        "compat: 1.1",
        "compression type: zstd",
        "lazy refcounts: true",
        "refcount bits: 32",
        "extended l2: true",
        "backing file: some, name",
        "backing file format: raw",
        "(1024 bytes)",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
}
