//! Optical discs, and disks that begin like one, by file and by pipe.

use std::fs;
use std::process::Command;

use crate::tools::{ScratchDir, mixed_disk};

/// Options of `xorriso` for each kind of disc.
const DISCS: [(&str, &[&str]); 7] = [
    ("plain.iso", &[]),
    ("isohybrid.iso", &["-isohybrid-mbr", "mbr.bin", "-b", "loader.bin", "-no-emul-boot"]),
    (
        "gpt.iso",
        &[
            "-isohybrid-mbr",
            "mbr.bin",
            "-b",
            "loader.bin",
            "-no-emul-boot",
            "-eltorito-alt-boot",
            "-e",
            "efi.img",
            "-no-emul-boot",
            "-isohybrid-gpt-basdat",
        ],
    ),
    ("apm.iso", &["-hfsplus", "-apm-block-size", "2048"]),
    ("efi-boot-part.iso", &["-e", "efi.img", "-no-emul-boot", "-efi-boot-part", "--efi-boot-image"]),
    ("appended.iso", &["-append_partition", "2", "0xef", "appended.img"]),
    ("appended-gpt.iso", &["-append_partition", "2", "0xef", "appended.img", "-appended_part_as_gpt"]),
];

/// Writes the discs. Returns false, and prints that the test is skipped, without `xorriso`.
fn discs(dir: &ScratchDir) -> bool {
    if Command::new("xorriso").arg("-version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "xorriso is not installed, and CI must not skip");
        eprintln!("skipped: xorriso is not installed");
        return false;
    }
    fs::create_dir(dir.path("tree")).unwrap();
    dir.write("tree/file", &mixed_disk(2 << 20));
    dir.write("tree/loader.bin", &mixed_disk(4096)[..2048]);
    dir.write("tree/efi.img", &mixed_disk(1 << 20));
    dir.write("appended.img", &mixed_disk(4 << 20));
    dir.write("mbr.bin", &[0; 432]);
    for (name, options) in DISCS {
        let args = [&["-as", "mkisofs", "-quiet", "-o", name], options, &["tree"]].concat();
        let made = Command::new("xorriso").current_dir(dir.path(".")).args(args).output().unwrap();
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    }
    true
}

/// Probes and inspects an image as a file and as a stream. Returns if it is a disc, and the findings that say that it is
/// not.
#[track_caller]
fn described(dir: &ScratchDir, name: &str) -> (bool, usize) {
    let bytes = dir.read(name);
    let from_file = dir.run(&["probe", name]);
    let from_pipe = dir.run_fed(&["probe", "-"], &bytes);
    assert_eq!((from_file.code, from_pipe.code), (0, 0), "{from_file:?}, {from_pipe:?}");
    assert_eq!(from_file.stdout, from_pipe.stdout, "{name}");
    let inspected = dir.run(&["inspect", "--json", name]);
    let piped = dir.run_fed(&["inspect", "--json", "-"], &bytes);
    assert_eq!(inspected.code, piped.code, "{name}");
    let (file, pipe) = (inspected.json(), piped.json());
    assert_eq!(file["findings"], pipe["findings"], "{name}");
    let findings = file["findings"].as_array().unwrap();
    let about = findings.iter().filter(|finding| finding["check"] == "partitioned_iso9660").count();
    (from_file.text().contains(" cdrom"), about)
}

/// Extends the disc to 64 MiB, and adds an entry for a Linux partition after its end to its MBR or GPT.
fn partition_later(dir: &ScratchDir, disc: &str) {
    let mut disk = dir.read(disc);
    let start = u32::try_from(disk.len().next_multiple_of(1 << 20) / 512).unwrap();
    disk.resize(64 << 20, 0);
    if disk[512..520] == *b"EFI PART" {
        let at = |index: usize| 1024 + index * 128;
        let free = (0..100).find(|index| disk[at(*index)..at(*index) + 16] == [0; 16]).unwrap();
        let mut entry = [0; 128];
        entry[..16].copy_from_slice(&[0xAF; 16]);
        entry[32..40].copy_from_slice(&u64::from(start).to_le_bytes());
        entry[40..48].copy_from_slice(&u64::from(start + 20_479).to_le_bytes());
        disk[at(free)..at(free) + 128].copy_from_slice(&entry);
    } else {
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        let mut entry = [0; 16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&20_480_u32.to_le_bytes());
        disk[494..510].copy_from_slice(&entry);
    }
    dir.write("stick.img", &disk);
}

#[test]
fn hybrid_discs_of_xorriso_are_discs() {
    let dir = ScratchDir::new();
    if !discs(&dir) {
        return;
    }
    for (name, _) in DISCS {
        assert_eq!(described(&dir, name), (true, 0), "{name}");
        // On a larger medium that was not partitioned later, it stays a disc.
        let mut stick = dir.read(name);
        stick.resize(64 << 20, 0);
        dir.write("stick.img", &stick);
        assert_eq!(described(&dir, "stick.img"), (true, 0), "{name} on a stick");
    }
}

#[test]
fn disc_on_a_stick_that_was_partitioned_later_is_a_disk() {
    let dir = ScratchDir::new();
    if !discs(&dir) {
        return;
    }
    for (name, _) in DISCS {
        partition_later(&dir, name);
        assert_eq!(described(&dir, "stick.img"), (false, 1), "{name}");
        assert_eq!(dir.run(&["inspect", "stick.img"]).code, 2, "{name}");
        let info = dir.ok(&["info", "--output=json", "stick.img"]).json();
        assert_eq!(info["diskimg"]["cdrom"], false, "{name}");
    }
}
