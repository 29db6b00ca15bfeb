//! Compressed files as other programs write them: bytes after the end, frames without content, large windows.

use std::process::{Command, Stdio};

use crate::tools::{RunResult, ScratchDir, gz, mixed_disk};

/// The metadata that OpenWrt appends to a compressed image.
const METADATA: &[u8] = b"{\"metadata_version\": \"1.1\"}\n\0\0FWx0\x12\x34";

/// The result of the command with an image as a file, and as standard input.
fn both_ways(dir: &ScratchDir, args: &[&str], image: &str) -> [RunResult; 2] {
    let with = |name| {
        let args = args.iter().map(|arg| if *arg == "IMAGE" { name } else { *arg });
        args.collect::<Vec<&str>>()
    };
    [dir.run(&with(image)), dir.run_fed(&with("-"), &dir.read(image))]
}

#[track_caller]
fn refused_both_ways(dir: &ScratchDir, args: &[&str], words: &[&str]) {
    for run in both_ways(dir, args, "disk.raw.gz") {
        run.fails_with(1, words);
    }
}

fn warning(data: &[u8], tail: &[u8]) -> String {
    let (end, len) = (data.len(), tail.len());
    format!("diskimg: warning: the gzip data ends at byte {end}, and the {len} bytes after it were ignored\n")
}

#[test]
fn metadata_after_the_gzip_data_is_ignored_with_a_warning() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    for source in ["disk.raw", "disk.qcow2"] {
        let data = gz(&dir.read(source));
        dir.write("image.gz", &[&data, METADATA].concat());
        let warning = warning(&data, METADATA);
        for run in both_ways(&dir, &["convert", "--force", "-O", "raw", "IMAGE", "out.raw"], "image.gz") {
            assert_eq!((run.code, &run.stderr), (0, &warning), "{source}");
            assert!(dir.read("out.raw") == disk, "{source}");
        }
        for run in both_ways(&dir, &["cat", "IMAGE"], "image.gz") {
            assert_eq!((run.code, &run.stderr, run.stdout == disk), (0, &warning, true), "{source}");
        }
        for run in both_ways(&dir, &["cat", "-q", "IMAGE"], "image.gz") {
            assert_eq!((run.code, run.stderr.as_str(), run.stdout == disk), (0, "", true), "{source}");
        }
        let run = dir.run(&["measure", "-O", "qcow2", "image.gz"]);
        assert_eq!((run.code, &run.stderr), (0, &warning), "{source}");
        let run = dir.run(&["compare", "image.gz", "disk.raw"]);
        assert_eq!(
            (run.code, run.stderr),
            (0, warning.replace("warning:", "warning: image.gz:")),
            "{source}"
        );
        for args in [["convert", "--strict", "-O", "raw", "IMAGE", "strict.raw"]] {
            for run in both_ways(&dir, &args, "image.gz") {
                run.fails_with(1, &["trailing_data", "were ignored"]);
                assert!(!dir.exists("strict.raw"));
            }
        }
    }
}

#[test]
fn metadata_after_the_gzip_data_of_a_raw_disk_is_a_finding() {
    let dir = ScratchDir::new();
    let data = gz(&mixed_disk(1 << 20));
    dir.write("disk.raw.gz", &[&data, METADATA].concat());
    for run in both_ways(&dir, &["probe", "IMAGE"], "disk.raw.gz") {
        assert_eq!((run.code, run.text()), (0, "raw+gzip 1048576\n"));
    }
    for run in both_ways(&dir, &["inspect", "--json", "IMAGE"], "disk.raw.gz") {
        let findings = &run.json()["findings"];
        assert_eq!((run.code, &run.json()["safe"]), (2, &false.into()), "{run:?}");
        assert_eq!(
            (&findings[0]["check"], &findings[0]["offset"]),
            (&"trailing_data".into(), &data.len().into())
        );
    }
    for run in both_ways(&dir, &["info", "--json", "IMAGE"], "disk.raw.gz") {
        assert_eq!(run.json()["diskimg"]["findings"][0]["check"], "trailing_data", "{run:?}");
    }
}

#[test]
fn zeros_after_the_gzip_data_are_silent() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw.gz", &[&gz(&disk)[..], &[0; 5000]].concat());
    for run in both_ways(&dir, &["cat", "--strict", "IMAGE"], "disk.raw.gz") {
        assert_eq!((run.code, run.stderr.as_str(), run.stdout == disk), (0, "", true));
    }
    for run in both_ways(&dir, &["inspect", "IMAGE"], "disk.raw.gz") {
        assert_eq!((run.code, run.text()), (0, "safe: raw, 1048576 bytes\n"));
    }
}

#[test]
fn disk_shorter_than_its_partition_table_before_ignored_bytes_is_an_error() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    let mut gpt = disk.clone();
    gpt[446 + 4] = 0xEE;
    gpt[512..520].copy_from_slice(b"EFI PART");
    gpt[524..528].copy_from_slice(&92_u32.to_le_bytes());
    gpt[536..544].copy_from_slice(&1_u64.to_le_bytes());
    gpt[544..552].copy_from_slice(&2047_u64.to_le_bytes());
    for disk in [disk, gpt] {
        dir.write("disk.raw.gz", &[&gz(&disk[..disk.len() - 512])[..], METADATA].concat());
        let words = ["1048576 bytes", "were ignored"];
        for command in ["probe", "info", "inspect"] {
            refused_both_ways(&dir, &[command, "IMAGE"], &words);
        }
        let convert = ["convert", "-O", "raw", "IMAGE", "out.raw"];
        refused_both_ways(&dir, &convert, &words);
        let convert = ["convert", "-f", "raw", "-O", "qcow2", "IMAGE", "out.raw"];
        refused_both_ways(&dir, &convert, &words);
        dir.run(&["measure", "disk.raw.gz"]).fails_with(1, &words);
        assert!(!dir.exists("out.raw"));
        // Without the metadata, or with the whole disk, it is only a warning.
        dir.write("disk.raw.gz", &gz(&disk[..disk.len() - 512]));
        let short = dir.run(&["convert", "--force", "-O", "raw", "disk.raw.gz", "short.raw"]);
        assert_eq!(short.code, 0, "{short:?}");
        assert!(short.stderr.contains("warning: the partition table describes"), "{short:?}");
        dir.write("disk.raw.gz", &[&gz(&disk)[..], METADATA].concat());
        assert_eq!(dir.run(&["convert", "--force", "-O", "raw", "disk.raw.gz", "short.raw"]).code, 0);
    }
}

#[test]
fn image_shorter_than_its_tables_say_before_ignored_bytes_is_an_error() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(4 << 20));
    for format in ["qcow2", "vmdk", "vdi"] {
        dir.ok(&["convert", "--force", "-O", format, "disk.raw", "image"]);
        let image = dir.read("image");
        dir.write("image.gz", &[&gz(&image[..image.len() / 2])[..], METADATA].concat());
        for run in both_ways(&dir, &["convert", "-O", "raw", "IMAGE", "out.raw"], "image.gz") {
            assert_eq!(run.code, 1, "{format}: {run:?}");
            assert!(!dir.exists("out.raw"), "{format}");
        }
    }
}

#[test]
fn bytes_after_a_bgzf_block_or_after_xz_and_zst_data_are_an_error() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    let mut block = gz(&disk);
    block[3] = 4;
    block.splice(10..10, *b"\x06\0BC\x02\0\xff\x0f");
    dir.write("disk.gz", &[&block, METADATA].concat());
    dir.write("disk.raw", &disk);
    for (tool, name) in [("xz", "disk.xz"), ("zstd", "disk.zst")] {
        dir.write(name, &[&compressed(&dir, tool, &["-c", "disk.raw"]), METADATA].concat());
    }
    for image in ["disk.gz", "disk.xz", "disk.zst"] {
        for run in both_ways(&dir, &["convert", "-O", "raw", "IMAGE", "out.raw"], image) {
            run.fails_with(1, &["trailing data"]);
        }
        for run in both_ways(&dir, &["probe", "IMAGE"], image) {
            run.fails_with(1, &["trailing data"]);
        }
        assert!(!dir.exists("out.raw"));
    }
}

/// Runs a compressor in the directory. Returns its output.
fn compressed(dir: &ScratchDir, tool: &str, args: &[&str]) -> Vec<u8> {
    let run = Command::new(tool).current_dir(dir.path(".")).args(args).stderr(Stdio::inherit()).output();
    let run = run.unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(run.status.success(), "{tool} {args:?}");
    run.stdout
}

#[test]
fn zst_file_that_begins_with_a_skippable_frame_is_recognised() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    let skipped = [&b"\x5a\x2a\x4d\x18\x10\x27\0\0"[..], &[7; 10_000]].concat();
    dir.write("disk.zst", &[skipped, compressed(&dir, "zstd", &["-c", "disk.raw"])].concat());
    for run in both_ways(&dir, &["cat", "IMAGE"], "disk.zst") {
        assert_eq!((run.code, run.stderr.as_str(), run.stdout == disk), (0, "", true));
    }
    for run in both_ways(&dir, &["probe", "IMAGE"], "disk.zst") {
        assert_eq!(run.text(), "raw+zstd 1048576\n");
    }
}

/// A zst file with a window of 256 MiB whose blocks are stored, as `zstd --long=28` declares it.
fn zst_with_long_window(disk: &[u8]) -> Vec<u8> {
    let mut file = b"\x28\xb5\x2f\xfd\0".to_vec();
    file.push((28 - 10) << 3);
    let blocks = disk.chunks(100_000);
    let last = blocks.len() - 1;
    for (index, block) in blocks.enumerate() {
        let header = u32::try_from(block.len() << 3 | usize::from(index == last)).unwrap();
        file.extend(&header.to_le_bytes()[..3]);
        file.extend(block);
    }
    file
}

/// An xz file with a dictionary of 192 MiB, as `xz --lzma2=dict=192MiB` declares it.
fn xz_with_large_dictionary(dir: &ScratchDir, disk: &str) -> Vec<u8> {
    let mut file = compressed(dir, "xz", &["-T1", "-0", "-c", disk]);
    // The block header follows the stream header of 12 bytes: its size, flags, filter, and size of properties.
    let len = (usize::from(file[12]) + 1) * 4;
    assert_eq!(file[13..16], [0, 0x21, 1]);
    file[16] = 31;
    let mut crc = flate2::Crc::new();
    crc.update(&file[12..12 + len - 4]);
    file[12 + len - 4..12 + len].copy_from_slice(&crc.sum().to_le_bytes());
    file
}

#[test]
fn hint_for_a_large_window_or_dictionary_works_when_followed() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.write("disk.zst", &zst_with_long_window(&disk));
    dir.write("disk.xz", &xz_with_large_dictionary(&dir, "disk.raw"));
    for image in ["disk.zst", "disk.xz"] {
        for run in both_ways(&dir, &["cat", "IMAGE"], image) {
            run.fails_with(1, &["(limit decoder-memory)", "hint: use --limit decoder-memory=256M to raise"]);
        }
        for run in both_ways(&dir, &["cat", "--limit", "decoder-memory=256M", "IMAGE"], image) {
            assert_eq!((run.code, run.stderr.as_str(), run.stdout == disk), (0, "", true), "{image}");
        }
        for run in both_ways(&dir, &["probe", "--limit=decoder-memory=256M", "IMAGE"], image) {
            assert_eq!(run.code, 0, "{run:?}");
        }
    }
}

#[test]
fn limits_are_named_in_errors_and_can_be_changed() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.write("disk.qcow2.gz", &gz(&dir.read("disk.qcow2")));
    dir.ok(&["create", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "top.qcow2"]);
    let cases: [(&str, &str, &[&str]); 5] = [
        ("virtual-size", "1M", &["cat", "disk.qcow2"]),
        ("chain-depth", "1", &["cat", "--follow", "top.qcow2"]),
        ("chain-depth", "1", &["info", "--backing-chain", "--follow", "top.qcow2"]),
        ("header-bytes", "1M", &["info", "top.qcow2"]),
        ("temporary-files", "8M", &["cat", "--offset", "1", "disk.qcow2.gz"]),
    ];
    for (name, enough, args) in cases {
        let with = |value: &str| [args, &["--limit", &format!("{name}={value}")]].concat().join(" ");
        let run = |line: String| dir.run(&line.split(' ').collect::<Vec<_>>());
        run(with("0")).fails_with(1, &[&format!("(limit {name})"), "hint: use --"]);
        assert_eq!(run(with(enough)).code, 0, "{name}");
    }
    let run = dir.run(&["info", "--limit", "speed=1", "disk.qcow2"]);
    assert_eq!(run.code, 1, "{run:?}");
    let names = "virtual-size, metadata-cache, decoder-memory, chain-depth, snapshots, header-bytes";
    assert!(run.stderr.contains(names), "{run:?}");
    for wrong in ["decoder-memory", "decoder-memory=much", "chain-depth=5G"] {
        assert_eq!(dir.run(&["info", "--limit", wrong, "disk.qcow2"]).code, 1, "{wrong}");
    }
}

#[test]
fn no_hint_offers_compressed_bytes_as_raw() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.write("disk.gz", &gz(&dir.read("disk.raw")));
    dir.run(&["info", "--no-unwrap", "disk.gz"]).fails_with(1, &["hint: omit --no-unwrap"]);
    dir.write("disk.xz", &compressed(&dir, "xz", &["-c", "disk.raw"]));
    dir.write("disk.zst", &compressed(&dir, "zstd", &["-c", "disk.raw"]));
    dir.write("disk.lzma", &compressed(&dir, "xz", &["--format=lzma", "-c", "disk.raw"]));
    let heads: [(&str, &[u8]); 5] = [
        ("disk.Z", b"\x1f\x9d\x90"),
        ("disk.lzo", b"\x89LZO\0\r\n\x1a\n"),
        ("disk.bz2", b"BZh9"),
        ("disk.lz", b"LZIP\x01"),
        ("old.zst", b"\x27\xb5\x2f\xfd"),
    ];
    for (name, head) in heads {
        dir.write(name, &[head, &[0xA5; 5000]].concat());
    }
    for name in dir.names().iter().filter(|name| !name.starts_with("disk.raw")) {
        for args in [&["info", "--no-unwrap"][..], &["convert", "-O", "raw", "--no-unwrap"]] {
            let target = if args[0] == "convert" { Some("out.raw") } else { None };
            let run = dir.run(&[args, &[name], target.as_slice()].concat());
            assert_eq!(run.code, 1, "{name}: {run:?}");
            assert!(!run.stderr.contains("raw if"), "{name}: {run:?}");
            assert!(!run.stderr.contains("allow-raw"), "{name}: {run:?}");
        }
    }
}

/// A zst file of `size` zeros after `head`, in blocks of one repeated byte: 4 bytes of file for 128 KiB.
fn zst_of_zeros(head: &[u8], size: usize) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let mut file = b"\x28\xb5\x2f\xfd\0".to_vec();
    file.push((20 - 10) << 3);
    file.extend(&u32::try_from(head.len() << 3).unwrap().to_le_bytes()[..3]);
    file.extend(head);
    let blocks = size / BLOCK;
    for index in 0..blocks {
        let header = u32::try_from(BLOCK << 3 | 2 | usize::from(index + 1 == blocks)).unwrap();
        file.extend(&header.to_le_bytes()[..3]);
        file.push(0);
    }
    file
}

#[test]
fn probe_of_an_unknown_compressed_stream_ends_at_its_limit() {
    let dir = ScratchDir::new();
    // 1 MB for 31 GiB of zeros.
    dir.write("zeros.zst", &zst_of_zeros(&[1; 512], 31 << 30));
    let words = ["unknown, size not determined", "1073741824 decompressed bytes", "(limit probed-bytes)"];
    for run in both_ways(&dir, &["probe", "IMAGE"], "zeros.zst") {
        run.fails_with(2, &words);
    }
    for command in ["info", "inspect"] {
        for run in both_ways(&dir, &[command, "--limit", "probed-bytes=1M", "IMAGE"], "zeros.zst") {
            run.fails_with(1, &["unknown, size not determined", "1048576 decompressed bytes", "--allow-raw"]);
        }
    }
    // The trailer of a VHD within the limit is found.
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    dir.write("disk.vhd", &[&[1; 3 << 20][..], &footer].concat());
    dir.write("disk.vhd.gz", &gz(&dir.read("disk.vhd")));
    for image in ["disk.vhd", "disk.vhd.gz"] {
        for run in both_ways(&dir, &["probe", "IMAGE"], image) {
            run.fails_with(1, &["vhd", "not supported"]);
        }
    }
}

#[test]
fn probe_reads_a_recognised_raw_disk_to_its_end() {
    let dir = ScratchDir::new();
    dir.write("disk.zst", &zst_of_zeros(&mixed_disk(512 * 64), 2 << 30));
    for run in both_ways(&dir, &["probe", "--limit", "probed-bytes=0", "IMAGE"], "disk.zst") {
        assert_eq!((run.code, run.text()), (0, "raw+zstd 2147516416\n"), "{run:?}");
    }
    dir.write("zeros.zst", &zst_of_zeros(&[1; 512], 2 << 30));
    for run in both_ways(&dir, &["probe", "--allow-raw", "--limit", "probed-bytes=0", "IMAGE"], "zeros.zst") {
        assert_eq!((run.code, run.text()), (0, "raw+zstd 2147484160\n"), "{run:?}");
    }
}
