//! Where QEMU is silently wrong, or refuses: each difference by name.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind};

use crate::tools::Workshop;

const BLOCK: usize = 1 << 20;

/// An image of four painted blocks, in QEMU's layout: the map at 512, the blocks at 1024.
fn make(shop: &Workshop) {
    std::fs::write(shop.path("painted.raw"), painted(0, 4 * BLOCK)).unwrap();
    shop.img(&["convert", "-f", "raw", "-O", "vdi", "painted.raw", "disk.vdi"]);
}

#[test]
fn qemu_reads_zeros_past_the_end_of_the_file_where_we_say_truncated() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    shop.set_len("disk.vdi", 1024 + 2 * BLOCK as u64);
    let mut zeros = painted(0, 2 * BLOCK);
    zeros.resize(4 * BLOCK, 0);
    assert!(shop.guest_bytes("disk.vdi", &[]) == zeros, "exit status 0 and zeros");
    let error = shop.open_image("disk.vdi").read_at(2 * BLOCK as u64, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(
        (error.offset(), error.guest_offset()),
        (Some(1024 + 2 * BLOCK as u64), Some(2 * BLOCK as u64))
    );
}

#[test]
fn qemu_ignores_extra_bytes_in_front_of_blocks_where_we_skip_them() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    let good = std::fs::read(shop.path("disk.vdi")).unwrap();
    let mut bytes = good[..1024].to_vec();
    bytes[380..384].copy_from_slice(&512_u32.to_le_bytes());
    for block in good[1024..].chunks(BLOCK) {
        bytes.extend([0xEE; 512]);
        bytes.extend(block);
    }
    std::fs::write(shop.path("extra.vdi"), bytes).unwrap();
    let theirs = shop.guest_bytes("extra.vdi", &[]);
    assert_eq!(theirs[..512], [0xEE; 512], "exit status 0 and bytes that are not the guest's");
    source(&shop.open_image("extra.vdi"), &painted(0, 4 * BLOCK));
}

#[test]
fn qemu_rounds_an_odd_size_up_where_we_keep_it_to_the_byte() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    let size = 3 * BLOCK as u64 + 1000;
    shop.patch("disk.vdi", 368, &size.to_le_bytes());
    shop.patch("disk.vdi", 384, &4_u32.to_le_bytes());
    let theirs = shop.guest_bytes("disk.vdi", &[]);
    assert_eq!(theirs.len() as u64, size.next_multiple_of(512));
    source(&shop.open_image("disk.vdi"), &theirs[..size as usize]);
}

#[test]
fn qemu_refuses_blocks_of_2_mib_and_parents_where_we_read_them() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    // Two blocks of 2 MiB, which lie as the four of 1 MiB did.
    shop.patch("disk.vdi", 376, &(2 * BLOCK as u32).to_le_bytes());
    shop.patch("disk.vdi", 384, &2_u32.to_le_bytes());
    shop.patch("disk.vdi", 388, &2_u32.to_le_bytes());
    let refused = |what: &str| {
        let (status, told) = shop.img_may_fail(&["convert", "-f", "vdi", "-O", "raw", "disk.vdi", "out.raw"]);
        assert!(status != 0 && told.contains(what), "{told}");
    };
    refused("block size");
    source(&shop.open_image("disk.vdi"), &painted(0, 4 * BLOCK));
    make(&shop);
    shop.patch("disk.vdi", 424, &[7; 16]);
    refused("link UUID");
    source(&shop.open_image("disk.vdi"), &painted(0, 4 * BLOCK));
}
