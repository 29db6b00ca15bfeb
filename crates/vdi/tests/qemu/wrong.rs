//! Images that QEMU reads wrong or refuses.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind};

use crate::tools::Workshop;

const BLOCK: usize = 1 << 20;

/// Creates an image of four painted blocks in the layout of QEMU: the map at 512, the blocks at 1024.
fn make(shop: &Workshop) {
    std::fs::write(shop.path("painted.raw"), painted(0, 4 * BLOCK)).unwrap();
    shop.img(&["convert", "-f", "raw", "-O", "vdi", "painted.raw", "disk.vdi"]);
}

#[test]
fn block_past_the_end_of_the_file_is_truncated_where_qemu_reads_zeros() {
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
fn extra_bytes_are_skipped_where_qemu_reads_them() {
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
    let by_qemu = shop.guest_bytes("extra.vdi", &[]);
    assert_eq!(by_qemu[..512], [0xEE; 512], "exit status 0 and bytes of no guest");
    source(&shop.open_image("extra.vdi"), &painted(0, 4 * BLOCK));
}

#[test]
fn odd_size_is_kept_where_qemu_rounds_it_up() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    let size = 3 * BLOCK as u64 + 1000;
    shop.patch("disk.vdi", 368, &size.to_le_bytes());
    shop.patch("disk.vdi", 384, &4_u32.to_le_bytes());
    let by_qemu = shop.guest_bytes("disk.vdi", &[]);
    assert_eq!(by_qemu.len() as u64, size.next_multiple_of(512));
    source(&shop.open_image("disk.vdi"), &by_qemu[..size as usize]);
}

#[test]
fn blocks_of_2_mib_and_parents_are_read_where_qemu_refuses_them() {
    let Some(shop) = Workshop::open() else { return };
    make(&shop);
    // Two blocks of 2 MiB in the place of four of 1 MiB.
    shop.patch("disk.vdi", 376, &(2 * BLOCK as u32).to_le_bytes());
    shop.patch("disk.vdi", 384, &2_u32.to_le_bytes());
    shop.patch("disk.vdi", 388, &2_u32.to_le_bytes());
    let refused = |what: &str| {
        let (status, output) =
            shop.img_may_fail(&["convert", "-f", "vdi", "-O", "raw", "disk.vdi", "out.raw"]);
        assert!(status != 0 && output.contains(what), "{output}");
    };
    refused("block size");
    source(&shop.open_image("disk.vdi"), &painted(0, 4 * BLOCK));
    make(&shop);
    shop.patch("disk.vdi", 424, &[7; 16]);
    refused("link UUID");
    source(&shop.open_image("disk.vdi"), &painted(0, 4 * BLOCK));
}
