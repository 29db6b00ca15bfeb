//! `diskimg create`: empty images that `qemu-img` reads and finds clean, alone or over a base.

use serde_json::Value;

use crate::tools::{Workshop, file_len, mixed_disk};

#[test]
fn an_empty_image_of_every_format_is_what_it_was_asked_to_be() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "raw", "zeros.raw", "10M"]);
    for (format, options) in [
        ("raw", &[][..]),
        ("qcow2", &[]),
        ("qcow2", &["-o", "cluster_size=4k,compat=v2"]),
        ("qcow2", &["-o", "extended_l2=on", "-o", "preallocation=metadata"]),
        ("vmdk", &[]),
        ("vmdk", &["-o", "subformat=monolithicFlat"]),
        ("vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]),
        ("vdi", &[]),
        ("vdi", &["-o", "static=on"]),
    ] {
        let told = shop.ok(&[&["create", "--force", "-f", format], options, &["disk", "10M"]].concat());
        assert_eq!(told.text(), "", "{format} {options:?}");
        let info: Value =
            serde_json::from_str(&shop.img(&["info", "--output=json", "-f", format, "disk"])).unwrap();
        assert_eq!((&info["format"], &info["virtual-size"]), (&format.into(), &(10 << 20).into()));
        shop.img(&["compare", "-q", "-f", format, "-F", "raw", "disk", "zeros.raw"]);
        if format != "raw" {
            assert_eq!(
                shop.run(&["check", "--follow", "-f", format, "disk"]).code,
                0,
                "{format} {options:?}"
            );
        }
        if format == "qcow2" {
            shop.img(&["check", "-q", "-f", "qcow2", "disk"]);
        }
    }
    assert_eq!(shop.ok(&["create", "-f", "qcow2", "one.qcow2", "1T"]).code, 0);
    assert!(file_len(&shop.path("one.qcow2")) < 1 << 20);
}

#[test]
fn an_overlay_reads_as_its_base_and_what_is_written_stays_in_it() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("base.raw", &mixed_disk(2 << 20));
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        let base = format!("base.{format}");
        if format != "raw" {
            shop.ok(&["convert", "-O", format, "base.raw", &base]);
        }
        let before = shop.read(&base);
        for options in ["compat=v3", "compat=v2", "cluster_size=512", "extended_l2=on"] {
            let args =
                ["create", "--force", "-f", "qcow2", "-o", options, "-b", &base, "-F", format, "top.qcow2"];
            shop.ok(&args);
            shop.img(&["check", "-q", "-f", "qcow2", "top.qcow2"]);
            shop.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "top.qcow2", "base.raw"]);
            let info: Value =
                serde_json::from_str(&shop.img(&["info", "--output=json", "top.qcow2"])).unwrap();
            assert_eq!(info["backing-filename"], base.as_str(), "{options}");
            assert_eq!(
                (&info["backing-filename-format"], &info["virtual-size"]),
                (&format.into(), &(2 << 20).into())
            );
        }
        shop.io("top.qcow2", &["write -P 9 100k 300k"]);
        shop.img(&["check", "-q", "-f", "qcow2", "top.qcow2"]);
        shop.ok(&["convert", "--force", "--follow", "top.qcow2", "whole.raw"]);
        let mut whole = shop.read("base.raw");
        whole[100 << 10..400 << 10].fill(9);
        assert!(shop.read("whole.raw") == whole, "{format}");
        assert!(shop.read(&base) == before, "{format}: a base is never written");
    }
}

#[test]
fn a_base_is_seen_from_the_directory_of_the_image() {
    let Some(shop) = Workshop::with_qemu() else { return };
    std::fs::create_dir(shop.path("disks")).unwrap();
    shop.write("disks/base.raw", &mixed_disk((1 << 20) + 100));
    shop.write("base.raw", &mixed_disk(3 << 20));
    shop.ok(&["create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "disks/top.qcow2"]);
    let info = shop.ok(&["info", "--json", "disks/top.qcow2"]).json();
    assert_eq!(info["virtual-size"], (1 << 20) + 512, "whole sectors, as QEMU sees the base");
    shop.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "disks/top.qcow2", "disks/base.raw"]);
    let base = shop.path("base.raw");
    let args =
        ["create", "-f", "qcow2", "-b", base.to_str().unwrap(), "-F", "raw", "disks/other.qcow2", "4M"];
    shop.ok(&args);
    let info = shop.ok(&["info", "--json", "disks/other.qcow2"]).json();
    assert_eq!(
        (&info["virtual-size"], &info["backing-filename"]),
        (&(4 << 20).into(), &base.to_str().into())
    );
    shop.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "disks/other.qcow2", "base.raw"]);
}

#[test]
fn a_base_without_its_format_is_refused_as_by_qemu_img() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("base.raw", &mixed_disk(1 << 20));
    for args in [&["-b", "base.raw"][..], &["-o", "backing_file=base.raw"]] {
        let args = [&["create", "-f", "qcow2"], args, &["top.qcow2"]].concat();
        assert_eq!(shop.img_may_fail(&args).0, 1, "{args:?}");
        shop.run(&args).fails_with(1, &["without its format", "(-F FORMAT)"]);
    }
    shop.ok(&["create", "-f", "qcow2", "-o", "backing_file=base.raw,backing_fmt=raw", "top.qcow2"]);
    shop.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "top.qcow2", "base.raw"]);
}

#[test]
fn a_base_that_is_not_what_it_is_said_to_be_is_refused_and_nothing_is_made() {
    let shop = Workshop::new();
    shop.write("base.raw", &mixed_disk(1 << 20));
    shop.write("a:b.raw", &mixed_disk(1 << 20));
    let create = |more: &[&str]| shop.run(&[&["create", "-f", "qcow2"], more].concat());
    create(&["-b", "absent", "-F", "raw", "top"]).fails_with(1, &["absent"]);
    create(&["-b", "absent", "-F", "raw", "top", "1M"]).fails_with(1, &["absent"]);
    create(&["-b", "base.raw", "-F", "qcow2", "top"]).fails_with(1, &["base.raw", "magic"]);
    create(&["-b", "base.raw", "-F", "nonsense", "top"]).fails_with(1, &["nonsense"]);
    create(&["-b", "a:b.raw", "-F", "raw", "top"]).fails_with(1, &["a:b.raw", "./"]);
    create(&["-b", "nbd://localhost", "-F", "raw", "top"]).fails_with(1, &["protocol"]);
    create(&["-b", "base.raw", "-F", "raw", "--force", "base.raw"]).fails_with(1, &["based on itself"]);
    create(&["-b", &"x".repeat(1024), "-F", "raw", "-u", "top", "1M"]).fails_with(1, &["1023"]);
    create(&["-F", "raw", "top", "1M"]).fails_with(1, &["no base"]);
    create(&["top"]).fails_with(1, &["size"]);
    create(&["-u", "-b", "absent", "-F", "raw", "top"]).fails_with(1, &["size"]);
    for format in ["raw", "vmdk", "vdi"] {
        let args = ["create", "-f", format, "-b", "base.raw", "-F", "raw", "top"];
        shop.run(&args).fails_with(1, &[format, "based on another"]);
    }
    assert_eq!(shop.names(), ["a:b.raw", "base.raw"]);
    assert_eq!(create(&["-b", "./a:b.raw", "-F", "raw", "colon"]).code, 0);
    assert_eq!(create(&["-u", "-b", "later.raw", "-F", "raw", "early", "1M"]).code, 0);
    let info = shop.ok(&["info", "--json", "early"]).json();
    assert_eq!((&info["backing-filename"], &info["virtual-size"]), (&"later.raw".into(), &(1 << 20).into()));
}

#[test]
fn a_base_that_looks_like_an_image_and_is_said_to_be_raw_is_warned_of() {
    let shop = Workshop::new();
    shop.ok(&["create", "-f", "qcow2", "base.qcow2", "1M"]);
    let told = shop.run(&["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "raw", "top.qcow2"]);
    assert_eq!((told.code, told.stdout.len()), (0, 0), "{told:?}");
    assert!(told.stderr.contains("warning: base.qcow2 looks like qcow2"), "{told:?}");
    assert_eq!(told.stderr.lines().count(), 1, "{told:?}");
}

#[test]
fn what_exists_is_replaced_only_by_force() {
    let shop = Workshop::new();
    shop.write("target", b"precious");
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        shop.run(&["create", "-f", format, "target", "1M"]).fails_with(1, &["'target'", "exists", "--force"]);
        assert_eq!(shop.read("target"), b"precious");
    }
    let told = shop.run(&["create", "--json", "-f", "qcow2", "target", "1M"]);
    let error: Value = serde_json::from_str(&told.stderr).unwrap();
    assert_eq!((told.code, &error["error"]["status"]), (1, &"invalid-input".into()));
    shop.ok(&["create", "--force", "target", "1M"]);
    assert_eq!(shop.read("target"), vec![0; 1 << 20]);
    shop.ok(&["create", "--force", "-f", "qcow2", "target", "1M"]);
    assert_eq!(shop.ok(&["info", "--json", "target"]).json()["format"], "qcow2");
    assert_eq!(shop.names(), ["target"]);
}

#[test]
fn options_without_sense_are_refused_and_leave_nothing() {
    let shop = Workshop::new();
    for args in [
        &["-f", "nonsense", "disk", "1M"][..],
        &["-f", "raw", "-o", "cluster_size=4k", "disk", "1M"],
        &["-f", "raw", "-o", "preallocation=metadata", "disk", "1M"],
        &["-f", "qcow2", "-o", "cluster_size=3", "disk", "1M"],
        &["-f", "vmdk", "disk", "0"],
        &["-f", "qcow2", "-", "1M"],
        &["-f", "qcow2", "no/such/directory", "1M"],
    ] {
        shop.run(&[&["create"], args].concat()).fails_with(1, &[]);
        assert!(shop.names().is_empty(), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn preallocation_gives_a_raw_file_its_space() {
    use std::os::unix::fs::MetadataExt;
    let shop = Workshop::new();
    for (how, least) in [("off", 0), ("falloc", 4 << 20), ("full", 4 << 20)] {
        let option = format!("preallocation={how}");
        shop.ok(&["create", "--force", "-o", &option, "disk.raw", "4M"]);
        shop.settle();
        let there = shop.path("disk.raw").metadata().unwrap();
        assert_eq!(there.len(), 4 << 20, "{how}");
        assert!(there.blocks() * 512 >= least, "{how}");
    }
}

#[test]
fn an_image_that_can_be_streamed_goes_to_standard_output() {
    let shop = Workshop::new();
    assert_eq!(shop.ok(&["create", "-", "1M"]).stdout, vec![0; 1 << 20]);
    let vmdk = shop.ok(&["create", "-f", "vmdk", "-o", "subformat=streamOptimized", "-", "1M"]);
    shop.write("disk.vmdk", &vmdk.stdout);
    shop.ok(&["convert", "disk.vmdk", "disk.raw"]);
    assert_eq!(shop.read("disk.raw"), vec![0; 1 << 20]);
}
