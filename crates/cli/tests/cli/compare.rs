//! `diskimg compare` judges, and exits, as `qemu-img compare` does.

use crate::tools::{Workshop, mixed_disk};

fn disks(shop: &Workshop) {
    let disk = mixed_disk(2 << 20);
    shop.write("disk.raw", &disk);
    shop.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    shop.write("longer.raw", &[disk.clone(), vec![0; 1 << 20]].concat());
    shop.write("longer-with-data.raw", &[disk.clone(), vec![1; 1 << 20]].concat());
    let mut other = disk;
    other[1_234_567] ^= 1;
    shop.write("other.raw", &other);
}

#[test]
fn exit_codes_are_those_of_qemu_img() {
    let Some(shop) = Workshop::with_qemu() else { return };
    disks(&shop);
    let others = ["disk.qcow2", "disk.raw", "other.raw", "longer.raw", "longer-with-data.raw", "absent"];
    for other in others {
        let args = ["compare", "disk.raw", other];
        assert_eq!(shop.run(&args).code, shop.img_may_fail(&args).0, "{args:?}");
        let args = ["compare", "-s", "disk.raw", other];
        assert_eq!(shop.run(&args).code, shop.img_may_fail(&args).0, "{args:?}");
    }
}

#[test]
fn the_first_difference_is_told() {
    let shop = Workshop::new();
    disks(&shop);
    let told = shop.run(&["compare", "disk.qcow2", "other.raw"]);
    assert_eq!((told.code, told.text()), (1, "Content mismatch at offset 1234567!\n"));
    let told = shop.run(&["compare", "--json", "disk.qcow2", "other.raw"]);
    assert_eq!(told.code, 1);
    assert_eq!(told.json()["identical"], false);
    assert_eq!(told.json()["first-difference"], 1_234_567);
}

#[test]
fn a_longer_tail_of_zeros_is_the_same_unless_strict() {
    let shop = Workshop::new();
    disks(&shop);
    let told = shop.run(&["compare", "disk.qcow2", "longer.raw"]);
    assert_eq!((told.code, told.text()), (0, "Warning: Image size mismatch!\nImages are identical.\n"));
    assert_eq!(shop.run(&["compare", "-s", "disk.qcow2", "longer.raw"]).code, 1);
    assert_eq!(shop.run(&["compare", "disk.qcow2", "longer-with-data.raw"]).code, 1);
}

#[test]
fn no_failure_reads_as_a_difference() {
    let shop = Workshop::new();
    disks(&shop);
    shop.run(&["compare", "disk.raw", "absent"]).fails_with(2, &["absent"]);
    shop.run(&["compare", "-f", "no-such-format", "disk.raw", "disk.raw"]).fails_with(2, &["no-such-format"]);
    assert_eq!(shop.run(&["compare", "disk.raw"]).code, 2);
    assert_eq!(shop.run(&["--color", "never", "compare", "--no-such-flag"]).code, 2);
    // A cluster that cannot be decoded.
    let mut broken = shop.read("disk.qcow2");
    let len = broken.len();
    broken.truncate(len / 2);
    shop.write("broken.qcow2", &broken);
    shop.run(&["compare", "-q", "disk.raw", "broken.qcow2"]).fails_with(4, &["qcow2"]);
}
