//! Every subformat of `qemu-img`, before and after writes of a guest.

use crate::tools::Workshop;

/// A disk that ends inside a grain.
const SIZE: u64 = (5 << 20) + 1536;

fn compare(options: &str, writable: bool) {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", SIZE);
    let options = format!("subformat={options}");
    shop.img(&["convert", "-f", "raw", "-O", "vmdk", "-o", &options, "mixed.raw", "disk.vmdk"]);
    shop.compare("disk.vmdk");
    if writable {
        let commands = [
            "write -P 0xa1 65024 1024",
            "write -P 0xa2 0 512",
            "write -z 131072 65536",
            "write -P 0xa3 5243904 512",
        ];
        shop.io("disk.vmdk", &commands);
        shop.compare("disk.vmdk");
    }
}

macro_rules! matrix {
    ($($name:ident: $options:expr, $writable:expr;)*) => {
        $(#[test] fn $name() { compare($options, $writable); })*
    };
}

matrix! {
    sparse_image_reads_as_in_qemu: "monolithicSparse", true;
    sparse_image_for_workstation_6_reads_as_in_qemu: "monolithicSparse,compat6=on", true;
    sparse_image_with_zeroed_grains_reads_as_in_qemu: "monolithicSparse,zeroed_grain=on", true;
    sparse_image_of_newer_hardware_reads_as_in_qemu: "monolithicSparse,hwversion=13", true;
    stream_optimised_image_reads_as_in_qemu: "streamOptimized", false;
    flat_image_reads_as_in_qemu: "monolithicFlat", true;
    split_flat_image_reads_as_in_qemu: "twoGbMaxExtentFlat", true;
    split_sparse_image_reads_as_in_qemu: "twoGbMaxExtentSparse", true;
}

#[test]
fn image_of_several_files_reads_as_in_qemu_across_their_borders() {
    let Some(shop) = Workshop::open() else { return };
    for kind in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let options = format!("subformat={kind}");
        shop.img(&["create", "-f", "vmdk", "-o", &options, "disk.vmdk", "4100M"]);
        // Both sides of the borders between files.
        shop.io("disk.vmdk", &["write -P 1 2147483136 1024", "write -P 2 4294966784 1024"]);
        let disk = shop.open_image("disk.vmdk");
        assert_eq!(diskimg_core::BlockSource::size(&disk), 4100 << 20);
        for (at, pattern) in [(2_147_483_136, 1), (4_294_966_784, 2)] {
            let mut bytes = vec![0xEE; 131_072];
            diskimg_core::BlockSource::read_at(&disk, at - 65_536, &mut bytes).unwrap();
            let mut expected = vec![0; 131_072];
            expected[65_536..][..1024].fill(pattern);
            assert!(bytes == expected, "{kind} at {at}");
        }
    }
}

#[test]
fn stream_written_out_of_order_reads_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", 16 << 20);
    let options = ["-O", "vmdk", "-o", "subformat=streamOptimized"];
    shop.img(
        &[&["convert", "-W", "-m", "8", "-f", "raw"], &options[..], &["mixed.raw", "disk.vmdk"]].concat(),
    );
    shop.compare("disk.vmdk");
}

#[test]
fn child_over_its_parent_reads_as_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", SIZE);
    shop.img(&["convert", "-f", "raw", "-O", "vmdk", "mixed.raw", "base.vmdk"]);
    shop.img(&["create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk"]);
    shop.io("child.vmdk", &["write -P 7 100000 5000", "write -P 8 1048576 65536"]);
    let (child, base) = (shop.open_image("child.vmdk"), shop.open_image("base.vmdk"));
    let (child_info, base_info) =
        (diskimg_core::Image::info(&child).clone(), diskimg_core::Image::info(&base).clone());
    let parent = &child_info.references[0];
    assert_eq!((parent.role, &parent.name[..]), (diskimg_core::ReferenceRole::Parent, &b"base.vmdk"[..]));
    parent.identity.accepts(&base_info.identity).unwrap();
    let chain = diskimg_core::Chain::new(vec![
        std::sync::Arc::new(child) as std::sync::Arc<dyn diskimg_core::BlockSource>,
        std::sync::Arc::new(base),
    ]);
    diskimg_core::conformance::source(&chain.unwrap(), &shop.guest_bytes("child.vmdk", &[]));
}
