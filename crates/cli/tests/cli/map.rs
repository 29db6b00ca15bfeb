//! `diskimg map` prints the rows that `qemu-img map` prints.

use serde_json::Value;

use crate::tools::{Workshop, mixed_disk};

#[track_caller]
fn agree(shop: &Workshop, more: &[&str], image: &str) {
    shop.settle();
    let theirs = shop.img(&[&["map", "--output=json"], more, &[image]].concat());
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    let ours = shop.ok(&[&["map", "--output=json", "--follow"], more, &[image]].concat()).json();
    assert_eq!(ours, theirs, "{image} {more:?}");
}

#[track_caller]
fn agree_in_text(shop: &Workshop, image: &str) {
    shop.settle();
    assert_eq!(shop.ok(&["map", "--follow", image]).text(), shop.img(&["map", image]));
}

const WRITES: [&str; 4] = ["write -P 1 1M 256k", "write -P 2 3M 64k", "write -z 2M 128k", "write -P 3 7M 1M"];

#[test]
fn rows_of_qcow2_are_those_of_qemu_img() {
    let Some(shop) = Workshop::with_qemu() else { return };
    for options in ["compat=v3", "compat=v2", "cluster_size=4k", "extended_l2=on,cluster_size=64k"] {
        shop.img(&["create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", "8M"]);
        shop.io("disk.qcow2", &WRITES);
        agree(&shop, &[], "disk.qcow2");
        agree(&shop, &["--start-offset=1M", "--max-length=3M"], "disk.qcow2");
        agree(&shop, &["--start-offset=1234944"], "disk.qcow2");
        agree_in_text(&shop, "disk.qcow2");
    }
}

/// Zeros over clusters that stay allocated, in whole and in part, and clusters of which a part was written. All
/// is written by 64 KiB, for where zeros are stored file systems change their mind about holes.
const PREALLOCATED_ZEROS: [&str; 5] = [
    "write -P 1 1M 512k",
    "write -z 1M 128k",
    "write -z 1216k 64k",
    "write -z 1344k 64k",
    "write -P 2 6M 64k",
];

#[test]
fn zeros_with_room_set_aside_tell_where_it_is() {
    let Some(shop) = Workshop::with_qemu() else { return };
    for options in [
        "compat=v3",
        "compat=v2",
        "cluster_size=512",
        "extended_l2=on,cluster_size=16k",
        "extended_l2=on,cluster_size=128k",
        "extended_l2=on,cluster_size=2M",
        "preallocation=metadata",
        "preallocation=metadata,extended_l2=on",
        "data_file=data.raw",
        "data_file=data.raw,data_file_raw=on",
        "data_file=data.raw,data_file_raw=on,preallocation=metadata",
        "data_file=data.raw,extended_l2=on",
    ] {
        shop.img(&["create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", "8M"]);
        shop.io("disk.qcow2", &PREALLOCATED_ZEROS);
        shop.io("disk.qcow2", &["write -z 0 64k"]);
        agree(&shop, &[], "disk.qcow2");
        agree(&shop, &["--start-offset=1060864", "--max-length=300k"], "disk.qcow2");
        agree_in_text(&shop, "disk.qcow2");
        for name in ["disk.qcow2", "data.raw"] {
            std::fs::remove_file(shop.path(name)).or_else(ignore_absent).unwrap();
        }
    }
}

fn ignore_absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[test]
fn room_in_a_layer_below_is_told_of_that_layer() {
    let Some(shop) = Workshop::with_qemu() else { return };
    for options in ["cluster_size=64k", "extended_l2=on"] {
        shop.img(&["create", "-q", "-f", "qcow2", "-o", options, "base.qcow2", "8M"]);
        shop.io("base.qcow2", &PREALLOCATED_ZEROS);
        let top = ["-q", "-f", "qcow2", "-o", options, "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", "9M"];
        shop.img(&[&["create"], &top[..]].concat());
        shop.io("top.qcow2", &["write -P 3 1M 64k", "write -z 1M 64k", "write -P 4 3M 64k"]);
        agree(&shop, &[], "top.qcow2");
    }
}

#[test]
fn rows_of_vmdk_and_vdi_are_those_of_qemu_img() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    shop.io("disk.qcow2", &WRITES);
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse,zeroed_grain=on"),
        ("vmdk", "subformat=streamOptimized"),
        ("vdi", "static=on"),
    ] {
        shop.img(&["convert", "-O", format, "-o", options, "disk.qcow2", "disk.image"]);
        agree(&shop, &[], "disk.image");
    }
}

#[test]
fn a_hole_under_an_allocated_grain_or_block_is_not_looked_for() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    shop.io("disk.qcow2", &WRITES);
    for (format, options) in [("vmdk", "subformat=monolithicSparse"), ("vdi", "static=off")] {
        shop.img(&["convert", "-O", format, "-o", options, "disk.qcow2", "whole"]);
        // Most of the file, for QEMU's rule of preallocation compares the two sizes.
        let bytes = shop.read("whole");
        shop.write("sparse", &[]);
        let file = std::fs::File::options().write(true).open(shop.path("sparse")).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (index, block) in bytes.chunks(4096).enumerate().filter(|(_, block)| block.iter().any(|b| *b > 3))
        {
            std::os::unix::fs::FileExt::write_all_at(&file, block, index as u64 * 4096).unwrap();
        }
        drop(file);
        shop.settle();
        let whole = shop.ok(&["map", "--json", "whole"]).json();
        assert_eq!(shop.ok(&["map", "--json", "sparse"]).json(), whole, "{format}");
        if format == "vmdk" {
            agree(&shop, &[], "sparse");
        }
    }
}

#[test]
fn preallocated_clusters_are_data_that_reads_as_zeros() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "disk.qcow2", "32M"]);
    shop.io("disk.qcow2", &["write -P 1 1M 192k", "write -z 2M 64k", "discard 4M 1M"]);
    agree(&shop, &[], "disk.qcow2");
    agree_in_text(&shop, "disk.qcow2");
    let rows = shop.ok(&["map", "--json", "disk.qcow2"]).json();
    assert_eq!((&rows[0]["zero"], &rows[0]["data"]), (&true.into(), &true.into()));
    assert!(rows[0]["offset"].is_u64());
}

#[test]
fn rows_of_raw_are_those_of_qemu_img() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    shop.io("disk.qcow2", &WRITES);
    shop.img(&["convert", "-O", "raw", "disk.qcow2", "disk.raw"]);
    shop.settle();
    let theirs: Value =
        serde_json::from_str(&shop.img(&["map", "-f", "raw", "--output=json", "disk.raw"])).unwrap();
    assert_eq!(shop.ok(&["map", "-f", "raw", "--json", "disk.raw"]).json(), theirs);
    assert_eq!(
        shop.ok(&["map", "-f", "raw", "disk.raw"]).text(),
        shop.img(&["map", "-f", "raw", "disk.raw"])
    );
}

#[test]
fn rows_of_a_chain_are_those_of_qemu_img() {
    let Some(shop) = Workshop::with_qemu() else { return };
    std::fs::create_dir(shop.path("sub")).unwrap();
    shop.write("sub/base.raw", &mixed_disk(3 << 20));
    shop.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "sub/middle.qcow2", "6M"]);
    shop.io("sub/middle.qcow2", &["write -P 1 1M 256k", "write -P 2 5M 64k"]);
    shop.img(&["create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "sub/top.qcow2", "8M"]);
    shop.io("sub/top.qcow2", &["write -P 3 2M 64k", "write -z 1M 64k"]);
    agree(&shop, &[], "sub/middle.qcow2");
    agree(&shop, &[], "sub/top.qcow2");
    agree_in_text(&shop, "sub/top.qcow2");
}

#[test]
fn data_lies_in_the_data_file() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "disk.qcow2", "8M"]);
    shop.io("disk.qcow2", &WRITES);
    agree(&shop, &[], "disk.qcow2");
    agree_in_text(&shop, "disk.qcow2");
}

#[test]
fn compressed_clusters_have_no_offset() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("disk.raw", &mixed_disk(2 << 20));
    for method in ["zlib", "zstd"] {
        let option = format!("compression_type={method}");
        shop.img(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", &option, "disk.raw", "disk.qcow2"]);
        agree(&shop, &[], "disk.qcow2");
        let told = shop.ok(&["map", "disk.qcow2"]);
        assert!(told.text().contains("encoded"), "{told:?}");
    }
}

#[test]
fn an_empty_range_is_an_empty_list() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    let rows = shop.ok(&["map", "--json", "--start-offset", "1M", "disk.raw"]).json();
    assert_eq!(rows, Value::Array(Vec::new()));
}

#[test]
fn totals_add_up_to_the_disk() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let totals = shop.ok(&["map", "--totals", "--json", "disk.qcow2"]).json();
    let bytes: u64 = totals.as_object().unwrap().values().map(|sum| sum["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, 1 << 20);
    assert!(totals["compressed"]["bytes"].as_u64().unwrap() >= 1 << 16, "{totals}");
    let text = shop.ok(&["map", "--totals", "disk.qcow2"]);
    assert_eq!(text.text().lines().count(), totals.as_object().unwrap().len());
}
