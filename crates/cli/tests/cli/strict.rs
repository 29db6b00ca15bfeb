//! `diskimg compare -s` judges, word by word, as `qemu-img compare -s` does; where that hangs on an accident, it
//! does not.

use crate::tools::{Workshop, mixed_disk};

/// The last cluster is data behind a hole: one answer of any driver, as large as QEMU's smallest.
const DISK: [&str; 5] = [
    "write -P 1 1M 256k",
    "write -P 2 3M 64k",
    "write -z 2M 128k",
    "write -P 3 5M 1M",
    "write -P 4 8128k 64k",
];

fn format(name: &str) -> &str {
    name.rsplit_once('.').unwrap().1
}

fn arguments<'a>(a: &'a str, b: &'a str) -> Vec<&'a str> {
    vec!["compare", "-s", "-f", format(a), "-F", format(b), a, b]
}

fn ours(shop: &Workshop, a: &str, b: &str) -> (i32, String) {
    let ran = shop.run(&[&arguments(a, b)[..], &["--follow"]].concat());
    (ran.code, ran.text().to_owned())
}

fn theirs(shop: &Workshop, a: &str, b: &str) -> (i32, String) {
    let (code, text) = shop.img_may_fail(&arguments(a, b));
    (code, String::from_utf8(text).unwrap())
}

/// Both agree, in either order of the images; returns what they say.
#[track_caller]
fn agree(shop: &Workshop, a: &str, b: &str) -> String {
    shop.settle();
    assert_eq!(ours(shop, b, a), theirs(shop, b, a), "{b} {a}");
    let (code, text) = ours(shop, a, b);
    assert_eq!((code, &text), (theirs(shop, a, b).0, &theirs(shop, a, b).1), "{a} {b}");
    assert_eq!(code == 0, text == SAME, "{a} {b}: {text}");
    text
}

const SAME: &str = "Images are identical.\n";

fn mismatch(offset: u64) -> String {
    format!("Strict mode: Offset {offset} block status mismatch!\n")
}

fn create(shop: &Workshop, name: &str, options: &str, commands: &[&str]) {
    shop.img(&["create", "-q", "-f", "qcow2", "-o", options, name, "8M"]);
    shop.io(name, commands);
}

fn convert(shop: &Workshop, from: &str, to: &str, more: &[&str]) {
    shop.img(&[&["convert", "-O", format(to)], more, &[from, to]].concat());
}

const MIB: u64 = 1 << 20;

#[test]
fn qcow2_of_any_layout_with_the_same_clusters_is_the_same() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "a.qcow2", "cluster_size=64k", &DISK);
    for options in ["cluster_size=4k", "refcount_bits=1", "data_file=data"] {
        create(&shop, "b.qcow2", options, &DISK);
        assert_eq!(agree(&shop, "a.qcow2", "b.qcow2"), SAME, "{options}");
    }
    // The rest of a cluster of which a part is stored has room.
    create(&shop, "b.qcow2", "extended_l2=on,cluster_size=128k", &DISK);
    assert_eq!(agree(&shop, "a.qcow2", "b.qcow2"), mismatch(3 * MIB + 65_536));
}

#[test]
fn zero_clusters_preallocated_ones_and_none_differ() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "zeros.qcow2", "cluster_size=64k", &DISK);
    let mut commands = DISK.to_vec();
    commands.insert(0, "write -P 9 2M 128k");
    create(&shop, "room.qcow2", "cluster_size=64k", &commands);
    commands = DISK.into_iter().filter(|command| !command.contains("-z")).collect();
    create(&shop, "none.qcow2", "cluster_size=64k", &commands);
    for (a, b) in [("zeros.qcow2", "room.qcow2"), ("zeros.qcow2", "none.qcow2"), ("room.qcow2", "none.qcow2")]
    {
        assert_eq!(agree(&shop, a, b), mismatch(2 * MIB), "{a} {b}");
    }
}

#[test]
fn a_raw_hole_is_like_a_preallocated_zero_cluster_and_not_like_other_holes() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(
        &shop,
        "room.qcow2",
        "cluster_size=64k",
        &["write -P 9 0 8M", "write -z 0 4M", "write -P 5 4M 4M"],
    );
    // QEMU stores the first block of each file that it makes.
    shop.write("a.raw", &[]);
    let file = std::fs::File::options().write(true).open(shop.path("a.raw")).unwrap();
    file.set_len(4 << 20).unwrap();
    shop.img(&["resize", "-q", "-f", "raw", "a.raw", "8M"]);
    shop.io_as("raw", "a.raw", &["write -P 5 4M 4M"]);
    assert_eq!(agree(&shop, "room.qcow2", "a.raw"), SAME);
    create(&shop, "none.qcow2", "cluster_size=64k", &["write -P 5 4M 4M"]);
    assert_eq!(agree(&shop, "none.qcow2", "a.raw"), mismatch(0));
    convert(&shop, "a.raw", "b.raw", &["-f", "raw"]);
    assert_eq!(agree(&shop, "a.raw", "b.raw"), mismatch(0));
    shop.write("full.raw", &shop.read("a.raw"));
    assert_eq!(agree(&shop, "full.raw", "a.raw"), mismatch(0));
}

#[test]
fn compressed_is_not_like_stored_and_the_method_does_not_count() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "plain.qcow2", "cluster_size=64k", &DISK);
    convert(&shop, "plain.qcow2", "deflate.qcow2", &["-c"]);
    convert(&shop, "plain.qcow2", "zstd.qcow2", &["-c", "-o", "compression_type=zstd"]);
    convert(&shop, "plain.qcow2", "stream.vmdk", &["-o", "subformat=streamOptimized"]);
    assert_eq!(agree(&shop, "plain.qcow2", "deflate.qcow2"), mismatch(MIB));
    assert_eq!(agree(&shop, "zstd.qcow2", "deflate.qcow2"), SAME);
    assert_eq!(agree(&shop, "stream.vmdk", "deflate.qcow2"), SAME);
}

#[test]
fn grains_are_kept_like_clusters() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "zeros.qcow2", "cluster_size=64k", &DISK);
    convert(&shop, "zeros.qcow2", "none.qcow2", &[]);
    for options in ["subformat=monolithicSparse", "subformat=twoGbMaxExtentSparse", "zeroed_grain=on"] {
        convert(&shop, "none.qcow2", "a.vmdk", &["-o", options]);
        assert_eq!(agree(&shop, "none.qcow2", "a.vmdk"), SAME, "{options}");
        assert_eq!(agree(&shop, "zeros.qcow2", "a.vmdk"), mismatch(2 * MIB), "{options}");
    }
    shop.io_as("vmdk", "a.vmdk", &DISK[2..3]);
    assert_eq!(agree(&shop, "zeros.qcow2", "a.vmdk"), SAME);
    assert_eq!(agree(&shop, "none.qcow2", "a.vmdk"), mismatch(2 * MIB));
}

#[test]
fn dynamic_vdis_are_like_one_another() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "a.qcow2", "cluster_size=1M", &DISK);
    convert(&shop, "a.qcow2", "a.vdi", &[]);
    convert(&shop, "a.vdi", "b.vdi", &[]);
    assert_eq!(agree(&shop, "a.vdi", "b.vdi"), SAME);
    create(&shop, "less.qcow2", "cluster_size=1M", &DISK[..4]);
    convert(&shop, "less.qcow2", "less.vdi", &[]);
    assert_eq!(agree(&shop, "a.vdi", "less.vdi"), mismatch(7 * MIB));
}

#[test]
fn what_a_layer_below_keeps_counts_as_kept() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "flat.qcow2", "cluster_size=64k", &DISK);
    create(&shop, "base.qcow2", "cluster_size=64k", &DISK[..3]);
    shop.img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    shop.io("top.qcow2", &DISK[3..]);
    assert_eq!(agree(&shop, "flat.qcow2", "top.qcow2"), SAME);
    shop.io("top.qcow2", &["write -z 1M 64k"]);
    assert_eq!(agree(&shop, "flat.qcow2", "top.qcow2"), mismatch(MIB));
}

#[test]
fn behind_the_end_of_a_short_backing_file_are_its_zeros() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("base.raw", &[vec![0; 1 << 20], vec![7; 1 << 20]].concat());
    let top = ["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2", "8M"];
    shop.img(&top);
    shop.io("top.qcow2", &["write -P 4 0 1M", "write -P 4 8128k 64k"]);
    let data = ["write -P 4 0 1M", "write -P 7 1M 1M", "write -P 4 8128k 64k"];
    create(&shop, "none.qcow2", "cluster_size=64k", &data);
    assert_eq!(agree(&shop, "none.qcow2", "top.qcow2"), mismatch(2 * MIB));
    create(&shop, "zeros.qcow2", "cluster_size=64k", &[&data[..], &["write -z 2M 6080k"]].concat());
    assert_eq!(agree(&shop, "zeros.qcow2", "top.qcow2"), SAME);
}

#[test]
fn whichever_differs_first_is_told() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "a.qcow2", "cluster_size=64k", &DISK);
    for (change, told) in [
        ("write -P 9 1M 4k", "Content mismatch at offset 1048576!\n".to_owned()),
        ("write -P 9 3M 4k", "Content mismatch at offset 3145728!\n".to_owned()),
        ("write -P 9 5767168 4k", "Content mismatch at offset 5767168!\n".to_owned()),
        ("write -P 9 4M 4k", mismatch(4 * MIB)),
        ("write -z 4M 64k", mismatch(4 * MIB)),
        ("write -z 3M 64k", mismatch(3 * MIB)),
    ] {
        shop.write("b.qcow2", &shop.read("a.qcow2"));
        shop.io("b.qcow2", &[change]);
        assert_eq!(agree(&shop, "a.qcow2", "b.qcow2"), told, "{change}");
    }
    shop.img(&["resize", "-q", "b.qcow2", "9M"]);
    assert_eq!(agree(&shop, "a.qcow2", "b.qcow2"), "Strict mode: Image size mismatch!\n");
}

/// QEMU compares the mark "to the end of the disk" of two answers, and a grain is an answer of its own.
#[test]
fn that_one_driver_answers_up_to_the_end_and_the_other_not_is_no_difference() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "a.qcow2", "cluster_size=64k", &["write -P 1 6M 2M"]);
    convert(&shop, "a.qcow2", "a.vmdk", &[]);
    assert_eq!(theirs(&shop, "a.qcow2", "a.vmdk"), (1, mismatch(6 * MIB)));
    assert_eq!(ours(&shop, "a.qcow2", "a.vmdk"), (0, SAME.to_owned()));
}

/// QEMU calls a free block allocated zeros, which it is not: in a differencing VDI it is the parent's.
#[test]
fn a_free_block_of_a_vdi_is_like_an_unallocated_cluster() {
    let Some(shop) = Workshop::with_qemu() else { return };
    let whole = ["write -P 1 1M 1M", "write -P 4 7M 1M"];
    create(&shop, "none.qcow2", "cluster_size=1M", &whole);
    convert(&shop, "none.qcow2", "a.vdi", &[]);
    create(
        &shop,
        "zeros.qcow2",
        "cluster_size=1M",
        &[&whole[..], &["write -z 0 1M", "write -z 2M 5M"]].concat(),
    );
    let (same, differs) = ((0, SAME.to_owned()), (1, mismatch(0)));
    assert_eq!(theirs(&shop, "none.qcow2", "a.vdi"), differs);
    assert_eq!(ours(&shop, "none.qcow2", "a.vdi"), same);
    assert_eq!(theirs(&shop, "zeros.qcow2", "a.vdi"), same);
    assert_eq!(ours(&shop, "zeros.qcow2", "a.vdi"), differs);
}

/// QEMU looks for holes under allocated clusters of some images and not of others.
#[test]
fn a_hole_in_the_file_under_what_the_image_calls_data_is_no_difference() {
    let Some(shop) = Workshop::with_qemu() else { return };
    create(&shop, "a.qcow2", "cluster_size=1M", &DISK);
    convert(&shop, "a.qcow2", "fixed.vdi", &["-o", "static=on"]);
    shop.settle();
    shop.write("full.vdi", &shop.read("fixed.vdi"));
    shop.settle();
    assert!(theirs(&shop, "fixed.vdi", "full.vdi").1.ends_with("block status mismatch!\n"));
    assert_eq!(ours(&shop, "fixed.vdi", "full.vdi"), (0, SAME.to_owned()));
    // Of a flat file its holes are all that tells zeros from data, as in a raw one.
    convert(&shop, "a.qcow2", "flat.vmdk", &["-o", "subformat=monolithicFlat"]);
    convert(&shop, "a.qcow2", "a.raw", &[]);
    shop.settle();
    assert!(theirs(&shop, "flat.vmdk", "a.raw").1.ends_with("block status mismatch!\n"));
    assert_eq!(ours(&shop, "flat.vmdk", "a.raw"), (0, SAME.to_owned()));
}

#[test]
fn json_tells_what_differs_and_where() {
    let shop = Workshop::new();
    let mut disk = mixed_disk(2 << 20);
    shop.write("disk.raw", &disk);
    for (name, more) in [("stored.qcow2", None), ("packed.qcow2", Some("-c"))] {
        let more: Vec<&str> = more.into_iter().collect();
        shop.ok(&[&["convert", "-O", "qcow2"], &more[..], &["disk.raw", name]].concat());
    }
    let told = shop.run(&["compare", "-s", "--json", "stored.qcow2", "packed.qcow2"]);
    let json = told.json();
    assert_eq!((told.code, &json["identical"], &json["difference"]), (1, &false.into(), &"status".into()));
    let offset = usize::try_from(json["first-difference"].as_u64().unwrap()).unwrap();
    assert_eq!(offset % 65_536, 0, "{json}");
    let status = |compressed: bool| {
        serde_json::json!({
            "present": true, "zero": false, "data": true, "compressed": compressed, "reserved": false,
        })
    };
    assert_eq!(json["statuses"], serde_json::json!([status(false), status(true)]));

    disk[5] ^= 1;
    shop.write("other.raw", &disk);
    let json = shop.run(&["compare", "-s", "--json", "disk.raw", "other.raw"]).json();
    assert_eq!((&json["difference"], &json["first-difference"]), (&"content".into(), &5.into()));
    assert!(json.get("statuses").is_none());
    shop.write("longer.raw", &[disk, vec![0; 512]].concat());
    let json = shop.run(&["compare", "-s", "--json", "disk.raw", "longer.raw"]).json();
    assert_eq!((&json["difference"], &json["first-difference"]), (&"size".into(), &serde_json::Value::Null));
    let json = shop.ok(&["compare", "-s", "--json", "disk.raw", "disk.raw"]).json();
    assert_eq!((&json["identical"], &json["difference"]), (&true.into(), &serde_json::Value::Null));
}
