//! `diskimg compare -s`: the results of `qemu-img compare -s`, except where those depend on implementation details.

use crate::tools::{ScratchDir, mixed_disk};

/// The last cluster is data after a hole. It is one extent for every driver, of the smallest unit of QEMU.
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

fn ours(dir: &ScratchDir, a: &str, b: &str) -> (i32, String) {
    let ran = dir.run(&[&arguments(a, b)[..], &["--follow"]].concat());
    (ran.code, ran.text().to_owned())
}

fn theirs(dir: &ScratchDir, a: &str, b: &str) -> (i32, String) {
    let (code, text) = dir.img_may_fail(&arguments(a, b));
    (code, String::from_utf8(text).unwrap())
}

/// Checks that both commands agree, in either order of the images. Returns their output.
#[track_caller]
fn agree(dir: &ScratchDir, a: &str, b: &str) -> String {
    dir.settle();
    assert_eq!(ours(dir, b, a), theirs(dir, b, a), "{b} {a}");
    let (code, text) = ours(dir, a, b);
    assert_eq!((code, &text), (theirs(dir, a, b).0, &theirs(dir, a, b).1), "{a} {b}");
    assert_eq!(code == 0, text == SAME, "{a} {b}: {text}");
    text
}

const SAME: &str = "Images are identical.\n";

fn mismatch(offset: u64) -> String {
    format!("Strict mode: Offset {offset} block status mismatch!\n")
}

fn create(dir: &ScratchDir, name: &str, options: &str, commands: &[&str]) {
    dir.img(&["create", "-q", "-f", "qcow2", "-o", options, name, "8M"]);
    dir.io(name, commands);
}

fn convert(dir: &ScratchDir, from: &str, to: &str, more: &[&str]) {
    dir.img(&[&["convert", "-O", format(to)], more, &[from, to]].concat());
}

const MIB: u64 = 1 << 20;

#[test]
fn qcow2_layouts_with_the_same_clusters_are_identical() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "a.qcow2", "cluster_size=64k", &DISK);
    for options in ["cluster_size=4k", "refcount_bits=1", "data_file=data"] {
        create(&dir, "b.qcow2", options, &DISK);
        assert_eq!(agree(&dir, "a.qcow2", "b.qcow2"), SAME, "{options}");
    }
    // The rest of a partly stored cluster has reserved space.
    create(&dir, "b.qcow2", "extended_l2=on,cluster_size=128k", &DISK);
    assert_eq!(agree(&dir, "a.qcow2", "b.qcow2"), mismatch(3 * MIB + 65_536));
}

#[test]
fn zero_preallocated_and_unallocated_clusters_differ() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "zeros.qcow2", "cluster_size=64k", &DISK);
    let mut commands = DISK.to_vec();
    commands.insert(0, "write -P 9 2M 128k");
    create(&dir, "room.qcow2", "cluster_size=64k", &commands);
    commands = DISK.into_iter().filter(|command| !command.contains("-z")).collect();
    create(&dir, "none.qcow2", "cluster_size=64k", &commands);
    for (a, b) in [("zeros.qcow2", "room.qcow2"), ("zeros.qcow2", "none.qcow2"), ("room.qcow2", "none.qcow2")]
    {
        assert_eq!(agree(&dir, a, b), mismatch(2 * MIB), "{a} {b}");
    }
}

#[test]
fn raw_hole_equals_a_preallocated_zero_cluster_only() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "room.qcow2", "cluster_size=64k", &["write -P 9 0 8M", "write -z 0 4M", "write -P 5 4M 4M"]);
    // QEMU stores the first block of each file that it creates.
    dir.write("a.raw", &[]);
    let file = std::fs::File::options().write(true).open(dir.path("a.raw")).unwrap();
    file.set_len(4 << 20).unwrap();
    dir.img(&["resize", "-q", "-f", "raw", "a.raw", "8M"]);
    dir.io_as("raw", "a.raw", &["write -P 5 4M 4M"]);
    assert_eq!(agree(&dir, "room.qcow2", "a.raw"), SAME);
    create(&dir, "none.qcow2", "cluster_size=64k", &["write -P 5 4M 4M"]);
    assert_eq!(agree(&dir, "none.qcow2", "a.raw"), mismatch(0));
    convert(&dir, "a.raw", "b.raw", &["-f", "raw"]);
    assert_eq!(agree(&dir, "a.raw", "b.raw"), mismatch(0));
    dir.write("full.raw", &dir.read("a.raw"));
    assert_eq!(agree(&dir, "full.raw", "a.raw"), mismatch(0));
}

#[test]
fn compressed_and_stored_clusters_differ_whatever_the_method() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "plain.qcow2", "cluster_size=64k", &DISK);
    convert(&dir, "plain.qcow2", "deflate.qcow2", &["-c"]);
    convert(&dir, "plain.qcow2", "zstd.qcow2", &["-c", "-o", "compression_type=zstd"]);
    convert(&dir, "plain.qcow2", "stream.vmdk", &["-o", "subformat=streamOptimized"]);
    assert_eq!(agree(&dir, "plain.qcow2", "deflate.qcow2"), mismatch(MIB));
    assert_eq!(agree(&dir, "zstd.qcow2", "deflate.qcow2"), SAME);
    assert_eq!(agree(&dir, "stream.vmdk", "deflate.qcow2"), SAME);
}

#[test]
fn grains_compare_like_clusters() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "zeros.qcow2", "cluster_size=64k", &DISK);
    convert(&dir, "zeros.qcow2", "none.qcow2", &[]);
    for options in ["subformat=monolithicSparse", "subformat=twoGbMaxExtentSparse", "zeroed_grain=on"] {
        convert(&dir, "none.qcow2", "a.vmdk", &["-o", options]);
        assert_eq!(agree(&dir, "none.qcow2", "a.vmdk"), SAME, "{options}");
        assert_eq!(agree(&dir, "zeros.qcow2", "a.vmdk"), mismatch(2 * MIB), "{options}");
    }
    dir.io_as("vmdk", "a.vmdk", &DISK[2..3]);
    assert_eq!(agree(&dir, "zeros.qcow2", "a.vmdk"), SAME);
    assert_eq!(agree(&dir, "none.qcow2", "a.vmdk"), mismatch(2 * MIB));
}

#[test]
fn dynamic_vdis_with_the_same_blocks_are_identical() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "a.qcow2", "cluster_size=1M", &DISK);
    convert(&dir, "a.qcow2", "a.vdi", &[]);
    convert(&dir, "a.vdi", "b.vdi", &[]);
    assert_eq!(agree(&dir, "a.vdi", "b.vdi"), SAME);
    create(&dir, "less.qcow2", "cluster_size=1M", &DISK[..4]);
    convert(&dir, "less.qcow2", "less.vdi", &[]);
    assert_eq!(agree(&dir, "a.vdi", "less.vdi"), mismatch(7 * MIB));
}

#[test]
fn allocation_in_a_layer_below_counts() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "flat.qcow2", "cluster_size=64k", &DISK);
    create(&dir, "base.qcow2", "cluster_size=64k", &DISK[..3]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    dir.io("top.qcow2", &DISK[3..]);
    assert_eq!(agree(&dir, "flat.qcow2", "top.qcow2"), SAME);
    dir.io("top.qcow2", &["write -z 1M 64k"]);
    assert_eq!(agree(&dir, "flat.qcow2", "top.qcow2"), mismatch(MIB));
}

#[test]
fn range_past_a_short_backing_file_counts_as_its_zeros() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &[vec![0; 1 << 20], vec![7; 1 << 20]].concat());
    let top = ["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2", "8M"];
    dir.img(&top);
    dir.io("top.qcow2", &["write -P 4 0 1M", "write -P 4 8128k 64k"]);
    let data = ["write -P 4 0 1M", "write -P 7 1M 1M", "write -P 4 8128k 64k"];
    create(&dir, "none.qcow2", "cluster_size=64k", &data);
    assert_eq!(agree(&dir, "none.qcow2", "top.qcow2"), mismatch(2 * MIB));
    create(&dir, "zeros.qcow2", "cluster_size=64k", &[&data[..], &["write -z 2M 6080k"]].concat());
    assert_eq!(agree(&dir, "zeros.qcow2", "top.qcow2"), SAME);
}

#[test]
fn first_difference_of_any_kind_is_reported() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "a.qcow2", "cluster_size=64k", &DISK);
    for (change, run) in [
        ("write -P 9 1M 4k", "Content mismatch at offset 1048576!\n".to_owned()),
        ("write -P 9 3M 4k", "Content mismatch at offset 3145728!\n".to_owned()),
        ("write -P 9 5767168 4k", "Content mismatch at offset 5767168!\n".to_owned()),
        ("write -P 9 4M 4k", mismatch(4 * MIB)),
        ("write -z 4M 64k", mismatch(4 * MIB)),
        ("write -z 3M 64k", mismatch(3 * MIB)),
    ] {
        dir.write("b.qcow2", &dir.read("a.qcow2"));
        dir.io("b.qcow2", &[change]);
        assert_eq!(agree(&dir, "a.qcow2", "b.qcow2"), run, "{change}");
    }
    dir.img(&["resize", "-q", "b.qcow2", "9M"]);
    assert_eq!(agree(&dir, "a.qcow2", "b.qcow2"), "Strict mode: Image size mismatch!\n");
}

/// QEMU compares the flag "up to the end of the disk" of two extents, and each grain is an extent.
#[test]
fn extent_boundaries_are_not_a_difference() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "a.qcow2", "cluster_size=64k", &["write -P 1 6M 2M"]);
    convert(&dir, "a.qcow2", "a.vmdk", &[]);
    assert_eq!(theirs(&dir, "a.qcow2", "a.vmdk"), (1, mismatch(6 * MIB)));
    assert_eq!(ours(&dir, "a.qcow2", "a.vmdk"), (0, SAME.to_owned()));
}

/// QEMU reports a free block as allocated zeros. In a differencing VDI it is read from the parent.
#[test]
fn free_block_of_a_vdi_equals_an_unallocated_cluster() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let whole = ["write -P 1 1M 1M", "write -P 4 7M 1M"];
    create(&dir, "none.qcow2", "cluster_size=1M", &whole);
    convert(&dir, "none.qcow2", "a.vdi", &[]);
    create(
        &dir,
        "zeros.qcow2",
        "cluster_size=1M",
        &[&whole[..], &["write -z 0 1M", "write -z 2M 5M"]].concat(),
    );
    let (same, differs) = ((0, SAME.to_owned()), (1, mismatch(0)));
    assert_eq!(theirs(&dir, "none.qcow2", "a.vdi"), differs);
    assert_eq!(ours(&dir, "none.qcow2", "a.vdi"), same);
    assert_eq!(theirs(&dir, "zeros.qcow2", "a.vdi"), same);
    assert_eq!(ours(&dir, "zeros.qcow2", "a.vdi"), differs);
}

/// QEMU looks for holes below allocated clusters of some images only.
#[test]
fn hole_of_the_file_below_allocated_data_is_not_a_difference() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    create(&dir, "a.qcow2", "cluster_size=1M", &DISK);
    convert(&dir, "a.qcow2", "fixed.vdi", &["-o", "static=on"]);
    dir.settle();
    dir.write("full.vdi", &dir.read("fixed.vdi"));
    dir.settle();
    assert!(theirs(&dir, "fixed.vdi", "full.vdi").1.ends_with("block status mismatch!\n"));
    assert_eq!(ours(&dir, "fixed.vdi", "full.vdi"), (0, SAME.to_owned()));
    // In a flat file, as in a raw file, only holes distinguish zeros from data.
    convert(&dir, "a.qcow2", "flat.vmdk", &["-o", "subformat=monolithicFlat"]);
    convert(&dir, "a.qcow2", "a.raw", &[]);
    dir.settle();
    assert!(theirs(&dir, "flat.vmdk", "a.raw").1.ends_with("block status mismatch!\n"));
    assert_eq!(ours(&dir, "flat.vmdk", "a.raw"), (0, SAME.to_owned()));
}

#[test]
fn json_has_kind_and_offset_of_the_difference() {
    let dir = ScratchDir::new();
    let mut disk = mixed_disk(2 << 20);
    dir.write("disk.raw", &disk);
    for (name, more) in [("stored.qcow2", None), ("packed.qcow2", Some("-c"))] {
        let more: Vec<&str> = more.into_iter().collect();
        dir.ok(&[&["convert", "-O", "qcow2"], &more[..], &["disk.raw", name]].concat());
    }
    let run = dir.run(&["compare", "-s", "--json", "stored.qcow2", "packed.qcow2"]);
    let json = run.json();
    assert_eq!((run.code, &json["identical"], &json["difference"]), (1, &false.into(), &"status".into()));
    let offset = usize::try_from(json["first-difference"].as_u64().unwrap()).unwrap();
    assert_eq!(offset % 65_536, 0, "{json}");
    let status = |compressed: bool| {
        serde_json::json!({
            "present": true, "zero": false, "data": true, "compressed": compressed, "reserved": false,
        })
    };
    assert_eq!(json["statuses"], serde_json::json!([status(false), status(true)]));

    disk[5] ^= 1;
    dir.write("other.raw", &disk);
    let json = dir.run(&["compare", "-s", "--json", "disk.raw", "other.raw"]).json();
    assert_eq!((&json["difference"], &json["first-difference"]), (&"content".into(), &5.into()));
    assert!(json.get("statuses").is_none());
    dir.write("longer.raw", &[disk, vec![0; 512]].concat());
    let json = dir.run(&["compare", "-s", "--json", "disk.raw", "longer.raw"]).json();
    assert_eq!((&json["difference"], &json["first-difference"]), (&"size".into(), &serde_json::Value::Null));
    let json = dir.ok(&["compare", "-s", "--json", "disk.raw", "disk.raw"]).json();
    assert_eq!((&json["identical"], &json["difference"]), (&true.into(), &serde_json::Value::Null));
}
