//! Corruptions that `qemu-img check` counts, and others.

use diskimg_core::{CheckReport, OpenOptions};
use diskimg_vdi::DRIVER;

use crate::tools::{HostFile, Workshop};

fn our_report(shop: &Workshop) -> CheckReport {
    (DRIVER.check.unwrap())(HostFile::open(&shop.path("disk.vdi")), &OpenOptions::default()).unwrap()
}

/// The number of corruptions that `qemu-img check` counts.
fn qemu_corruptions(shop: &Workshop) -> u64 {
    let (_, output) = shop.img_may_fail(&["check", "-f", "vdi", "--output=json", "disk.vdi"]);
    match output.split_once("\"corruptions\": ") {
        None => 0,
        Some((_, rest)) => rest.split([',', '\n']).next().unwrap().trim().parse().unwrap(),
    }
}

/// Creates an image of eight blocks and writes the first five.
fn make(shop: &Workshop) {
    shop.img(&["create", "-f", "vdi", "disk.vdi", "8M"]);
    shop.io("disk.vdi", &["write -P 1 0 5M"]);
}

/// The offset of a map entry in images of QEMU.
fn entry(block: u64) -> u64 {
    512 + 4 * block
}

#[test]
fn corruptions_are_counted_as_by_qemu_img() {
    let Some(shop) = Workshop::open() else { return };
    let damage: [(u64, u32, u64); 5] = [
        (entry(1), 1, 0),
        // Used twice; the count remains correct.
        (entry(1), 3, 1),
        // Missing; the count is wrong too.
        (entry(2), 8, 2),
        (entry(4), u32::MAX, 1),
        // The header's count.
        (388, 6, 1),
    ];
    for (at, value, corruptions) in damage {
        make(&shop);
        shop.patch("disk.vdi", at, &value.to_le_bytes());
        assert_eq!(qemu_corruptions(&shop), corruptions, "qemu-img, {value} at {at}");
        assert_eq!(our_report(&shop).corruptions, corruptions, "{value} at {at}: {:?}", our_report(&shop));
    }
}

#[test]
fn valid_image_is_clean_and_its_blocks_are_counted() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    let report = our_report(&shop);
    assert!(report.is_clean() && qemu_corruptions(&shop) == 0, "{report:?}");
    assert_eq!((report.total_units, report.allocated_units), (Some(8), Some(5)));
}

#[test]
fn truncated_block_is_a_corruption_unlike_in_qemu_img_check() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    shop.set_len("disk.vdi", 1024 + (3 << 20));
    assert_eq!(qemu_corruptions(&shop), 0);
    assert_eq!(our_report(&shop).corruptions, 2);
}
