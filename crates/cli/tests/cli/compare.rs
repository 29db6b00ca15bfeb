//! `diskimg compare`: the results and exit codes of `qemu-img compare`.

use crate::tools::{ScratchDir, mixed_disk};

fn disks(dir: &ScratchDir) {
    let disk = mixed_disk(2 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.write("longer.raw", &[disk.clone(), vec![0; 1 << 20]].concat());
    dir.write("longer-with-data.raw", &[disk.clone(), vec![1; 1 << 20]].concat());
    let mut other = disk;
    other[1_234_567] ^= 1;
    dir.write("other.raw", &other);
}

#[test]
fn exit_codes_equal_those_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    disks(&dir);
    let others = ["disk.qcow2", "disk.raw", "other.raw", "longer.raw", "longer-with-data.raw", "absent"];
    for other in others {
        let args = ["compare", "disk.raw", other];
        assert_eq!(dir.run(&args).code, dir.img_may_fail(&args).0, "{args:?}");
        let args = ["compare", "-s", "disk.raw", other];
        assert_eq!(dir.run(&args).code, dir.img_may_fail(&args).0, "{args:?}");
    }
}

#[test]
fn first_difference_is_reported() {
    let dir = ScratchDir::new();
    disks(&dir);
    let run = dir.run(&["compare", "disk.qcow2", "other.raw"]);
    assert_eq!((run.code, run.text()), (1, "Content mismatch at offset 1234567!\n"));
    let run = dir.run(&["compare", "--json", "disk.qcow2", "other.raw"]);
    assert_eq!(run.code, 1);
    assert_eq!(run.json()["identical"], false);
    assert_eq!(run.json()["first-difference"], 1_234_567);
}

#[test]
fn longer_tail_of_zeros_is_identical_unless_strict() {
    let dir = ScratchDir::new();
    disks(&dir);
    let run = dir.run(&["compare", "disk.qcow2", "longer.raw"]);
    assert_eq!((run.code, run.text()), (0, "Warning: Image size mismatch!\nImages are identical.\n"));
    assert_eq!(dir.run(&["compare", "-s", "disk.qcow2", "longer.raw"]).code, 1);
    assert_eq!(dir.run(&["compare", "disk.qcow2", "longer-with-data.raw"]).code, 1);
}

#[test]
fn failures_never_have_the_exit_code_of_a_difference() {
    let dir = ScratchDir::new();
    disks(&dir);
    dir.run(&["compare", "disk.raw", "absent"]).fails_with(2, &["absent"]);
    dir.run(&["compare", "-f", "no-such-format", "disk.raw", "disk.raw"]).fails_with(2, &["no-such-format"]);
    assert_eq!(dir.run(&["compare", "disk.raw"]).code, 2);
    assert_eq!(dir.run(&["--color", "never", "compare", "--no-such-flag"]).code, 2);
    // A cluster that cannot be decompressed.
    let mut broken = dir.read("disk.qcow2");
    let len = broken.len();
    broken.truncate(len / 2);
    dir.write("broken.qcow2", &broken);
    dir.run(&["compare", "-q", "disk.raw", "broken.qcow2"]).fails_with(4, &["qcow2"]);
}

#[test]
fn strict_comparison_refuses_an_image_that_is_read_with_a_warning() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(2 << 20);
    dir.write("disk.raw", &disk);
    // The partition table describes a longer disk.
    dir.write("part.raw", &disk[..1 << 20]);
    let run = dir.run(&["compare", "part.raw", "part.raw"]);
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("warning: part.raw: "), "{run:?}");
    for images in [["part.raw", "part.raw"], ["disk.raw", "part.raw"]] {
        dir.run(&[&["compare", "--strict"][..], &images].concat())
            .fails_with(2, &["part.raw", "partition_table"]);
    }
    assert_eq!(dir.run(&["compare", "-s", "disk.raw", "disk.raw"]).code, 0);
}
