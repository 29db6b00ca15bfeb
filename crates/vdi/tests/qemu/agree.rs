//! Bytes, extents and sizes that agree with QEMU.

use diskimg_core::conformance::source;
use diskimg_core::{BlockSource, ExtentKind, Extents, Image, Limits, MemorySink};
use diskimg_vdi::DRIVER;

use crate::tools::Workshop;

/// A run of data: guest offset, length, host offset.
type DataRun = (u64, u64, u64);

fn merged(runs: impl Iterator<Item = DataRun>) -> Vec<DataRun> {
    let mut all: Vec<DataRun> = Vec::new();
    for (start, len, host) in runs {
        match all.last_mut() {
            Some(last) if last.0 + last.1 == start && last.2 + last.1 == host => last.1 += len,
            _ => all.push((start, len, host)),
        }
    }
    all
}

/// The data runs in the output of `qemu-img map --output=json`. What it reports of other runs depends on the file below.
fn qemu_runs(printed: &str) -> Vec<DataRun> {
    let number = |line: &str, name: &str| -> u64 {
        let (_, rest) = line.split_once(&format!("\"{name}\": ")).unwrap();
        rest.split([',', '}', ' ']).next().unwrap().parse().unwrap()
    };
    let runs = printed.lines().filter(|line| line.contains("\"offset\""));
    merged(runs.map(|line| (number(line, "start"), number(line, "length"), number(line, "offset"))))
}

fn our_runs(disk: &dyn BlockSource) -> Vec<DataRun> {
    let data = Extents::new(disk, 0..disk.size())
        .map(|extent| extent.unwrap())
        .filter(|e| e.kind == ExtentKind::Data);
    merged(data.map(|extent| (extent.offset, extent.len, extent.location.host.unwrap().offset)))
}

/// Compares an image as read by QEMU, from a file and from a stream.
fn compare(shop: &Workshop, image: &str) {
    let disk = shop.open_image(image);
    let bytes = shop.guest_bytes(image, &[]);
    source(&disk, &bytes);
    assert_eq!(our_runs(&disk), qemu_runs(&shop.img(&["map", "-f", "vdi", "--output=json", image])));
    let info = shop.img(&["info", "--output=json", image]);
    assert!(info.contains("\"format\": \"vdi\""), "{info}");
    assert!(info.contains(&format!("\"virtual-size\": {},", disk.info().virtual_size)), "{info}");
    let sink = MemorySink::new(bytes.len() as u64);
    let mut decoder = (DRIVER.stream.unwrap())(&Limits::default()).unwrap();
    for chunk in std::fs::read(shop.path(image)).unwrap().chunks(100_000) {
        decoder.push(chunk, &sink).unwrap();
    }
    assert_eq!(decoder.finish(&sink).unwrap(), bytes.len() as u64);
    assert!(sink.bytes() == bytes, "the stream differs");
}

#[test]
fn images_of_every_kind_and_size_read_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    for options in ["static=off", "static=on"] {
        for size in [512, (1 << 20) - 512, 1 << 20, (9 << 20) + 1536] {
            let disk = shop.write_blocks("mixed.raw", size);
            shop.img(&["convert", "-f", "raw", "-O", "vdi", "-o", options, "mixed.raw", "disk.vdi"]);
            compare(&shop, "disk.vdi");
            assert!(shop.guest_bytes("disk.vdi", &[]) == disk);
        }
    }
}

#[test]
fn images_written_in_any_order_read_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    for options in ["static=off", "static=on"] {
        shop.img(&["create", "-f", "vdi", "-o", options, "disk.vdi", "20972032"]);
        compare(&shop, "disk.vdi");
        let commands = [
            "write -P 0xa1 18M 1M",
            "write -P 0xa2 5000k 1000k",
            "write -P 0xa3 512 1024",
            "write -z 5200k 100k",
            "write -P 0xa4 20971520 512",
            "write -P 0xa5 1048064 1024",
        ];
        shop.io("disk.vdi", &commands);
        compare(&shop, "disk.vdi");
    }
}

#[test]
fn empty_disk_reads_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.img(&["create", "-f", "vdi", "disk.vdi", "0"]);
    source(&shop.open_image("disk.vdi"), &[]);
}

#[test]
fn flags_that_qemu_ignores_are_read() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_blocks("mixed.raw", 5 << 20);
    shop.img(&["convert", "-f", "raw", "-O", "vdi", "mixed.raw", "disk.vdi"]);
    for flags in [0x1_u32, 0x100, 0x1_0000] {
        shop.patch("disk.vdi", 80, &flags.to_le_bytes());
        compare(&shop, "disk.vdi");
    }
}

#[test]
fn map_entry_past_the_end_of_the_disk_is_ignored() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_blocks("mixed.raw", 5 << 20);
    shop.img(&["convert", "-f", "raw", "-O", "vdi", "mixed.raw", "disk.vdi"]);
    // The map has five entries for a disk of three blocks and a sector.
    shop.patch("disk.vdi", 368, &((3_u64 << 20) + 512).to_le_bytes());
    for entry in [77_u32, 4, 0] {
        shop.patch("disk.vdi", 512 + 4 * 4, &entry.to_le_bytes());
        compare(&shop, "disk.vdi");
    }
}
