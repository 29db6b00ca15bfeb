//! `diskimg convert`: the guest sees the same bytes, whatever the way.

use crate::tools::{Workshop, mixed_disk};

#[test]
fn images_of_qemu_img_convert_to_the_same_bytes() {
    let Some(shop) = Workshop::with_qemu() else { return };
    let disk = mixed_disk(4 << 20);
    shop.write("disk.raw", &disk);
    for options in [
        &["-o", "compat=v2"][..],
        &["-o", "compat=v3"],
        &["-o", "cluster_size=512"],
        &["-o", "extended_l2=on"],
        &["-o", "preallocation=metadata"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
    ] {
        let made = [&["convert", "-f", "raw", "-O", "qcow2"], options, &["disk.raw", "disk.qcow2"]].concat();
        shop.img(&made);
        shop.ok(&["convert", "--force", "-O", "raw", "disk.qcow2", "out.raw"]);
        assert!(shop.read("out.raw") == disk, "{options:?}");
    }
}

#[test]
fn qemu_img_reads_what_is_written() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("disk.raw", &mixed_disk(4 << 20));
    for options in [
        &[][..],
        &["-o", "compat=v2"],
        &["-o", "cluster_size=4k,refcount_bits=8"],
        &["-o", "extended_l2=on,lazy_refcounts=on"],
        &["-o", "preallocation=metadata"],
        &["-c"],
        &["-c", "-m", "3", "--memory", "4M"],
        &["-c", "--level", "9"],
        &["-c", "-o", "compression_type=zstd", "--level", "3"],
        &["-W", "-t", "none", "-T", "none"],
        &["-t", "unsafe", "-S", "64k"],
        &["-S", "0"],
    ] {
        let args = [&["convert", "--force", "-O", "qcow2"], options, &["disk.raw", "disk.qcow2"]].concat();
        shop.ok(&args);
        shop.img(&["compare", "-q", "-f", "raw", "-F", "qcow2", "disk.raw", "disk.qcow2"]);
        shop.img(&["check", "-q", "-f", "qcow2", "disk.qcow2"]);
    }
}

#[test]
fn a_chain_and_a_data_file_are_followed_when_told_to() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("base.raw", &mixed_disk(2 << 20));
    shop.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "middle.qcow2"]);
    shop.io("middle.qcow2", &["write -P 1 64k 64k"]);
    shop.img(&["create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2", "3M"]);
    shop.io("top.qcow2", &["write -P 2 1M 10k", "write -z 0 4k"]);
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "data.qcow2", "2M"]);
    shop.io("data.qcow2", &["write -P 5 300k 100k"]);
    for image in ["top.qcow2", "data.qcow2"] {
        shop.img(&["convert", "-O", "raw", image, "theirs.raw"]);
        shop.run(&["convert", image, "ours.raw"]).fails_with(1, &[image, "hint: ", "(--follow)"]);
        assert!(!shop.exists("ours.raw"));
        shop.ok(&["convert", "--follow", image, "ours.raw"]);
        assert!(shop.read("ours.raw") == shop.read("theirs.raw"), "{image}");
        assert_eq!(shop.ok(&["compare", "--follow", "-F", "raw", image, "ours.raw"]).code, 0);
        std::fs::remove_file(shop.path("ours.raw")).unwrap();
    }
}

#[test]
fn a_snapshot_is_chosen_in_each_of_three_ways() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "1M"]);
    shop.io("disk.qcow2", &["write -P 1 0 1M"]);
    shop.img(&["snapshot", "-c", "before", "disk.qcow2"]);
    shop.io("disk.qcow2", &["write -P 2 0 1M"]);
    for how in ["before", "1", "snapshot.id=1", "snapshot.name=before"] {
        shop.ok(&["convert", "--force", "-l", how, "disk.qcow2", "out.raw"]);
        assert!(shop.read("out.raw") == vec![1; 1 << 20], "{how}");
    }
    shop.ok(&["convert", "--force", "disk.qcow2", "out.raw"]);
    assert!(shop.read("out.raw") == vec![2; 1 << 20]);
    for how in ["after", "snapshot.id=before", "snapshot.name=1"] {
        shop.run(&["convert", "-l", how, "disk.qcow2", "none.raw"]).fails_with(1, &["snapshot"]);
    }
    assert!(!shop.exists("none.raw"));
}

#[test]
fn a_file_that_exists_is_replaced_only_by_force() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.write("target", b"precious");
    for format in ["raw", "qcow2"] {
        let args = ["convert", "-O", format, "disk.raw", "target"];
        shop.run(&args).fails_with(1, &["'target'", "exists", "--force"]);
        assert_eq!(shop.read("target"), b"precious");
    }
    // Told before a stream is read that comes only once.
    shop.run(&["convert", "-f", "raw", "-O", "qcow2", "-", "target"]).fails_with(1, &["'target'"]);
    shop.ok(&["convert", "--force", "disk.raw", "target"]);
    assert!(shop.read("target") == shop.read("disk.raw"));
    assert_eq!(shop.names(), ["disk.raw", "target"]);
}

#[test]
fn a_target_is_written_in_place_when_told_to() {
    let shop = Workshop::new();
    let disk = mixed_disk(1 << 20);
    shop.write("disk.raw", &disk);
    shop.write("target", &vec![0xee; 2 << 20]);
    shop.ok(&["convert", "-n", "disk.raw", "target"]);
    let written = shop.read("target");
    assert_eq!(written.len(), 2 << 20);
    assert!(written[..1 << 20] == disk[..]);
    assert!(written[1 << 20..].iter().all(|byte| *byte == 0xee));
    shop.write("small", &[0; 4096]);
    shop.run(&["convert", "-n", "disk.raw", "small"]).fails_with(1, &["'small'", "4096", "1048576"]);
    assert_eq!(shop.read("small"), [0; 4096]);
    shop.run(&["convert", "-n", "disk.raw", "disk.raw"]).fails_with(1, &["it is the source"]);
    shop.run(&["convert", "--target-is-zero", "disk.raw", "new"]).fails_with(1, &["needs -n"]);
    shop.run(&["convert", "-n", "disk.raw", "new"]).fails_with(1, &["new"]);
    assert!(shop.read("disk.raw") == disk);
}

#[test]
fn a_file_that_is_read_from_is_never_written_in_place() {
    let shop = Workshop::new();
    let disk = mixed_disk(1 << 20);
    shop.write("disk.raw", &disk);
    shop.ok(&["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "disk.raw", "flat.vmdk"]);
    let follow = ["convert", "--follow", "-n", "flat.vmdk", "flat-flat.vmdk"];
    shop.run(&follow).fails_with(1, &["'flat-flat.vmdk'", "its own source"]);
    assert!(shop.read("flat-flat.vmdk") == disk);
    std::os::unix::fs::symlink(shop.path("disk.raw"), shop.path("other")).unwrap();
    shop.run(&["convert", "-n", "disk.raw", "other"]).fails_with(1, &["it is the source"]);
    assert!(shop.read("disk.raw") == disk);
}

#[cfg(target_os = "linux")]
#[test]
fn preallocation_gives_a_raw_file_its_space() {
    use std::os::unix::fs::MetadataExt;
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(4 << 20));
    let blocks = |how: &str| {
        let option = format!("preallocation={how}");
        shop.ok(&["convert", "--force", "-S", "4k", "-o", &option, "disk.raw", "out.raw"]);
        shop.settle();
        assert!(shop.read("out.raw") == shop.read("disk.raw"), "{how}");
        shop.path("out.raw").metadata().unwrap().blocks() * 512
    };
    let sparse = blocks("off");
    let (falloc, full) = (blocks("falloc"), blocks("full"));
    assert!(sparse < 4 << 20, "{sparse}");
    assert!(falloc >= 4 << 20 && full >= 4 << 20, "{falloc} {full}");
    let args = ["convert", "--force", "-f", "raw", "-o", "preallocation=falloc", "-", "out.raw"];
    let told = shop.run_fed(&args, &shop.read("disk.raw"));
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    assert!(shop.read("out.raw") == shop.read("disk.raw"));
    shop.ok(&["convert", "--force", "-S", "0", "disk.raw", "out.raw"]);
    assert!(shop.path("out.raw").metadata().unwrap().blocks() * 512 >= 4 << 20, "-S 0 leaves no holes");
    let told = shop.run(&["convert", "-o", "preallocation=metadata", "disk.raw", "other.raw"]);
    told.fails_with(1, &["Unsupported preallocation mode"]);
}

#[test]
fn options_without_sense_are_refused_and_leave_nothing() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    for args in [
        &["-O", "nonsense"][..],
        &["-O", "raw", "-c"],
        &["-O", "raw", "-o", "cluster_size=4k"],
        &["-O", "qcow2", "-o", "no_such=1"],
        &["-O", "qcow2", "-o", "cluster_size"],
        &["-S", "1000"],
        &["--max-size", "4k"],
    ] {
        shop.run(&[&["convert"], args, &["disk.raw", "target"]].concat()).fails_with(1, &[]);
        assert_eq!(shop.names(), ["disk.raw"], "{args:?}");
    }
}

#[test]
fn a_note_says_what_is_ignored_and_only_if_asked() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-r", "10M", "disk.raw", "a.raw"]);
    let told = shop.run(&["-v", "convert", "-r", "10M", "disk.raw", "b.raw"]);
    assert_eq!(told.code, 0);
    assert!(told.stderr.contains("-r is ignored"), "{told:?}");
    assert!(told.stderr.contains("b.raw: 1 MiB read, "), "{told:?}");
}

#[test]
fn r05_a_disk_that_looks_like_an_image_is_warned_of() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "inner.qcow2"]);
    shop.ok(&["convert", "-f", "raw", "-O", "qcow2", "inner.qcow2", "outer.qcow2"]);
    let told = shop.run(&["convert", "outer.qcow2", "out.raw"]);
    assert_eq!(told.code, 0);
    assert!(told.stderr.contains("warning: the content looks like qcow2"), "{told:?}");
    assert!(shop.read("out.raw")[..4] == *b"QFI\xfb");
    assert_eq!(shop.run(&["convert", "-O", "qcow2", "outer.qcow2", "same.qcow2"]).stderr, "");
}
