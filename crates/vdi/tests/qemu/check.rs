//! What `qemu-img check` counts, and what it does not see.

use diskimg_core::{CheckReport, OpenOptions};
use diskimg_vdi::DRIVER;

use crate::tools::{HostFile, Workshop};

fn ours(shop: &Workshop) -> CheckReport {
    (DRIVER.check.unwrap())(HostFile::open(&shop.path("disk.vdi")), &OpenOptions::default()).unwrap()
}

/// The corruptions that `qemu-img check` counts.
fn theirs(shop: &Workshop) -> u64 {
    let (_, told) = shop.img_may_fail(&["check", "-f", "vdi", "--output=json", "disk.vdi"]);
    match told.split_once("\"corruptions\": ") {
        None => 0,
        Some((_, rest)) => rest.split([',', '\n']).next().unwrap().trim().parse().unwrap(),
    }
}

/// An image of eight blocks, of which the first five are written.
fn make(shop: &Workshop) {
    shop.img(&["create", "-f", "vdi", "disk.vdi", "8M"]);
    shop.io("disk.vdi", &["write -P 1 0 5M"]);
}

/// Where QEMU puts the entry of a block.
fn entry(block: u64) -> u64 {
    512 + 4 * block
}

#[test]
fn the_same_corruptions_are_counted_as_by_qemu_img() {
    let Some(shop) = Workshop::open() else { return };
    let damage: [(u64, u32, u64); 5] = [
        (entry(1), 1, 0),
        // Used twice, and so the count is still right.
        (entry(1), 3, 1),
        // Not there, and so the count is wrong too.
        (entry(2), 8, 2),
        (entry(4), u32::MAX, 1),
        // The header's count.
        (388, 6, 1),
    ];
    for (at, value, corruptions) in damage {
        make(&shop);
        shop.patch("disk.vdi", at, &value.to_le_bytes());
        assert_eq!(theirs(&shop), corruptions, "qemu-img, {value} at {at}");
        assert_eq!(ours(&shop).corruptions, corruptions, "{value} at {at}: {:?}", ours(&shop));
    }
}

#[test]
fn a_good_image_is_clean_for_both_and_all_its_blocks_are_counted() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    let report = ours(&shop);
    assert!(report.is_clean() && theirs(&shop) == 0, "{report:?}");
    assert_eq!((report.total_units, report.allocated_units), (Some(8), Some(5)));
}

#[test]
fn a_file_cut_inside_its_blocks_is_corrupt_though_qemu_img_check_finds_nothing() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    shop.set_len("disk.vdi", 1024 + (3 << 20));
    assert_eq!(theirs(&shop), 0);
    assert_eq!(ours(&shop).corruptions, 2);
}
