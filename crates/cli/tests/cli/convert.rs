//! `diskimg convert`: the content of the disk stays the same for all formats and options.

use crate::tools::{ScratchDir, mixed_disk};

#[test]
fn images_of_qemu_img_convert_to_the_same_bytes() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let disk = mixed_disk(4 << 20);
    dir.write("disk.raw", &disk);
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
        dir.img(&made);
        dir.ok(&["convert", "--force", "-O", "raw", "disk.qcow2", "out.raw"]);
        assert!(dir.read("out.raw") == disk, "{options:?}");
    }
}

#[test]
fn written_images_are_valid_for_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(4 << 20));
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
        dir.ok(&args);
        dir.img(&["compare", "-q", "-f", "raw", "-F", "qcow2", "disk.raw", "disk.qcow2"]);
        dir.img(&["check", "-q", "-f", "qcow2", "disk.qcow2"]);
    }
}

#[test]
fn chain_and_data_file_are_opened_on_request() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(2 << 20));
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "middle.qcow2"]);
    dir.io("middle.qcow2", &["write -P 1 64k 64k"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2", "3M"]);
    dir.io("top.qcow2", &["write -P 2 1M 10k", "write -z 0 4k"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "data.qcow2", "2M"]);
    dir.io("data.qcow2", &["write -P 5 300k 100k"]);
    for image in ["top.qcow2", "data.qcow2"] {
        dir.img(&["convert", "-O", "raw", image, "theirs.raw"]);
        dir.run(&["convert", image, "ours.raw"]).fails_with(1, &[image, "hint: ", "--follow"]);
        assert!(!dir.exists("ours.raw"));
        dir.ok(&["convert", "--follow", image, "ours.raw"]);
        assert!(dir.read("ours.raw") == dir.read("theirs.raw"), "{image}");
        assert_eq!(dir.ok(&["compare", "--follow", "-F", "raw", image, "ours.raw"]).code, 0);
        std::fs::remove_file(dir.path("ours.raw")).unwrap();
    }
}

#[test]
fn snapshot_is_selected_by_id_or_name() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "1M"]);
    dir.io("disk.qcow2", &["write -P 1 0 1M"]);
    dir.img(&["snapshot", "-c", "before", "disk.qcow2"]);
    dir.io("disk.qcow2", &["write -P 2 0 1M"]);
    for how in ["before", "1", "snapshot.id=1", "snapshot.name=before"] {
        dir.ok(&["convert", "--force", "-l", how, "disk.qcow2", "out.raw"]);
        assert!(dir.read("out.raw") == vec![1; 1 << 20], "{how}");
    }
    dir.ok(&["convert", "--force", "disk.qcow2", "out.raw"]);
    assert!(dir.read("out.raw") == vec![2; 1 << 20]);
    for how in ["after", "snapshot.id=before", "snapshot.name=1"] {
        dir.run(&["convert", "-l", how, "disk.qcow2", "none.raw"]).fails_with(1, &["snapshot"]);
    }
    assert!(!dir.exists("none.raw"));
}

#[test]
fn existing_file_is_replaced_only_with_force() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.write("target", b"precious");
    for format in ["raw", "qcow2"] {
        let args = ["convert", "-O", format, "disk.raw", "target"];
        dir.run(&args).fails_with(1, &["'target'", "exists", "--force"]);
        assert_eq!(dir.read("target"), b"precious");
    }
    // Reported before the stream is read, because it can be read only once.
    dir.run(&["convert", "-f", "raw", "-O", "qcow2", "-", "target"]).fails_with(1, &["'target'"]);
    dir.ok(&["convert", "--force", "disk.raw", "target"]);
    assert!(dir.read("target") == dir.read("disk.raw"));
    assert_eq!(dir.names(), ["disk.raw", "target"]);
}

#[test]
fn target_is_written_in_place_on_request() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.write("target", &vec![0xee; 2 << 20]);
    dir.ok(&["convert", "-n", "disk.raw", "target"]);
    let written = dir.read("target");
    assert_eq!(written.len(), 2 << 20);
    assert!(written[..1 << 20] == disk[..]);
    assert!(written[1 << 20..].iter().all(|byte| *byte == 0xee));
    dir.write("small", &[0; 4096]);
    dir.run(&["convert", "-n", "disk.raw", "small"]).fails_with(1, &["'small'", "4096", "1048576"]);
    assert_eq!(dir.read("small"), [0; 4096]);
    dir.run(&["convert", "-n", "disk.raw", "disk.raw"]).fails_with(1, &["it is the source"]);
    dir.run(&["convert", "--target-is-zero", "disk.raw", "new"]).fails_with(1, &["requires -n"]);
    dir.run(&["convert", "-n", "disk.raw", "new"]).fails_with(1, &["new"]);
    assert!(dir.read("disk.raw") == disk);
}

#[test]
fn source_is_never_written_in_place() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "disk.raw", "flat.vmdk"]);
    let follow = ["convert", "--follow", "-n", "flat.vmdk", "flat-flat.vmdk"];
    dir.run(&follow).fails_with(1, &["'flat-flat.vmdk'", "its own source"]);
    assert!(dir.read("flat-flat.vmdk") == disk);
    std::os::unix::fs::symlink(dir.path("disk.raw"), dir.path("other")).unwrap();
    dir.run(&["convert", "-n", "disk.raw", "other"]).fails_with(1, &["it is the source"]);
    assert!(dir.read("disk.raw") == disk);
}

#[cfg(target_os = "linux")]
#[test]
fn preallocation_reserves_the_space_of_a_raw_file() {
    use std::os::unix::fs::MetadataExt;
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(4 << 20));
    let blocks = |how: &str| {
        let option = format!("preallocation={how}");
        dir.ok(&["convert", "--force", "-S", "4k", "-o", &option, "disk.raw", "out.raw"]);
        dir.settle();
        assert!(dir.read("out.raw") == dir.read("disk.raw"), "{how}");
        dir.path("out.raw").metadata().unwrap().blocks() * 512
    };
    let sparse = blocks("off");
    let (falloc, full) = (blocks("falloc"), blocks("full"));
    assert!(sparse < 4 << 20, "{sparse}");
    assert!(falloc >= 4 << 20 && full >= 4 << 20, "{falloc} {full}");
    let args = ["convert", "--force", "-f", "raw", "-o", "preallocation=falloc", "-", "out.raw"];
    let run = dir.run_fed(&args, &dir.read("disk.raw"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(dir.read("out.raw") == dir.read("disk.raw"));
    dir.ok(&["convert", "--force", "-S", "0", "disk.raw", "out.raw"]);
    assert!(dir.path("out.raw").metadata().unwrap().blocks() * 512 >= 4 << 20, "-S 0 leaves no holes");
    let run = dir.run(&["convert", "-o", "preallocation=metadata", "disk.raw", "other.raw"]);
    run.fails_with(1, &["Unsupported preallocation mode"]);
}

#[test]
fn invalid_options_are_refused_and_leave_no_file() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for args in [
        &["-O", "nonsense"][..],
        &["-O", "raw", "-c"],
        &["-O", "raw", "-o", "cluster_size=4k"],
        &["-O", "qcow2", "-o", "no_such=1"],
        &["-O", "qcow2", "-o", "cluster_size"],
        &["-S", "1000"],
        &["--max-size", "4k"],
    ] {
        dir.run(&[&["convert"], args, &["disk.raw", "target"]].concat()).fails_with(1, &[]);
        assert_eq!(dir.names(), ["disk.raw"], "{args:?}");
    }
}

#[test]
fn verbose_conversion_prints_a_summary() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let run = dir.run(&["-v", "convert", "disk.raw", "b.raw"]);
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("b.raw: 1 MiB read, "), "{run:?}");
}

#[test]
fn disk_that_looks_like_an_image_gives_a_warning() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "inner.qcow2"]);
    dir.ok(&["convert", "-f", "raw", "-O", "qcow2", "inner.qcow2", "outer.qcow2"]);
    let run = dir.run(&["convert", "outer.qcow2", "out.raw"]);
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("warning: the content looks like qcow2"), "{run:?}");
    assert!(dir.read("out.raw")[..4] == *b"QFI\xfb");
    assert_eq!(dir.run(&["convert", "-O", "qcow2", "outer.qcow2", "same.qcow2"]).stderr, "");
}

#[test]
fn existing_image_is_written_again_with_its_own_size_and_options() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["create", "-f", "qcow2", "-o", "cluster_size=4k,extended_l2=off", "target", "2M"]);
    let convert = |more: &[&str]| dir.run(&[&["convert", "-n", "-O", "qcow2"], more].concat());
    convert(&["-o", "cluster_size=64k", "disk.raw", "target"])
        .fails_with(1, &["cluster_size", "-o has no effect"]);
    assert_eq!(convert(&["-f", "raw", "disk.raw", "target"]).code, 0);
    let info = dir.ok(&["info", "--output=json", "target"]).json();
    assert_eq!((&info["virtual-size"], &info["cluster-size"]), (&(2 << 20).into(), &4096.into()));
    dir.ok(&["convert", "target", "back.raw"]);
    assert!(dir.read("back.raw") == [&disk[..], &vec![0; 1 << 20]].concat());

    let written = dir.read("target");
    convert(&["disk.raw", "target"]).fails_with(1, &["'target'", "stores data"]);
    assert!(dir.read("target") == written);
    dir.ok(&["create", "-f", "qcow2", "small", "64k"]);
    let small = dir.read("small");
    convert(&["disk.raw", "small"]).fails_with(1, &["'small'", "65536", "1048576"]);
    assert!(dir.read("small") == small);
    dir.write("other", b"");
    convert(&["disk.raw", "other"]).fails_with(1, &["'other'"]);
    convert(&["disk.raw", "disk.raw"]).fails_with(1, &["it is the source"]);
    convert(&["-f", "raw", "disk.raw", "disk.raw"]).fails_with(1, &["'disk.raw'", "it is the source"]);
    assert_eq!(dir.run_fed(&["convert", "-n", "-f", "raw", "-O", "vdi", "-", "small"], &disk).code, 1);
    assert!(dir.read("small") == small && dir.read("disk.raw") == disk);
}

#[test]
fn compressed_or_piped_source_keeps_the_length_of_a_raw_target() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    for source in [&disk, &image] {
        dir.write("target", &vec![0xee; 2 << 20]);
        let allow = if source == &disk { "--allow-raw" } else { "--verbose" };
        assert_eq!(dir.run_fed(&["convert", allow, "-n", "-", "target"], source).code, 0);
        assert!(dir.read("target") == [&disk[..], &vec![0xee; 1 << 20]].concat());
    }
    dir.write("small", &[7; 4096]);
    dir.run_fed(&["convert", "-n", "-", "small"], &image).fails_with(1, &["'small'", "4096", "1048576"]);
    assert_eq!(dir.read("small"), [7; 4096]);
    dir.run_fed(&["convert", "--allow-raw", "-n", "-", "small"], &disk)
        .fails_with(1, &["small", "target is 4096 bytes long", "the disk is larger"]);
    assert_eq!(dir.read("small").len(), 4096);
}

#[test]
fn force_is_refused_if_the_source_would_be_replaced() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "disk.raw", "x.vmdk"]);
    let names = dir.names();
    let extent = dir.read("x-s001.vmdk");
    let refused = |args: &[&str]| {
        dir.run(&[&["convert", "--force"], args].concat()).fails_with(1, &["source"]);
        assert!(dir.names() == names && dir.read("x-s001.vmdk") == extent && dir.read("disk.raw") == disk);
    };
    refused(&["-O", "qcow2", "-f", "raw", "disk.raw", "disk.raw"]);
    refused(&["--follow", "x.vmdk", "x.vmdk"]);
    refused(&["--follow", "x.vmdk", "x-s001.vmdk"]);
    refused(&["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "-f", "raw", "x-s001.vmdk", "x.vmdk"]);
}

#[test]
fn force_creates_a_target_that_does_not_exist() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        let target = format!("new.{format}");
        dir.ok(&["convert", "--force", "-O", format, "disk.raw", &target]);
        dir.ok(&["create", "--force", "-f", format, &format!("empty.{format}"), "1M"]);
        assert!(dir.exists(&target) && dir.exists(&format!("empty.{format}")));
    }
}
