//! Our images, checked and read by qemu-img.

use std::path::Path;

use diskimg::{BlockSource, ConvertOptions, Memory, Setting, Sparse, Target, convert, driver};

use crate::common::{have_qemu, qemu, read_all};
use crate::map::same_map;
use crate::patterns::{mixed, writes};
use crate::{Compression, Layout, open};

/// The target `name`, a qcow2 image of this layout.
pub(crate) fn target(directory: &Path, name: &str, layout: Layout, more: &str) -> Target {
    let mut target = Target::file(directory.join(name), driver("qcow2").unwrap().format);
    target.compress = layout.compressed();
    target.settings = Setting::parse_list(&format!("{}{more}", layout.options())).unwrap();
    (target.overwrite, target.durable) = (true, false);
    target
}

/// Checks one of our images with qemu-img and compares its content.
#[track_caller]
pub(crate) fn whole_and_same(directory: &Path, name: &str, expected: &[u8]) {
    let printed = qemu(directory, "qemu-img", &["check", "-f", "qcow2", name]);
    assert!(printed.contains("No errors were found"), "{name}: {printed}");
    std::fs::write(directory.join("expected.raw"), expected).unwrap();
    let arguments = ["compare", "-f", "raw", "-F", "qcow2", "expected.raw", name];
    qemu(directory, "qemu-img", &arguments);
    let disk = open(directory, name);
    assert!(read_all(&disk).unwrap() == expected, "{name}: we read something else");
    same_map(directory, name, &disk);
}

#[test]
fn written_layout_passes_the_check_of_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for (seed, layout) in (1..).zip(Layout::all()) {
        for sparse in [Sparse::Auto, Sparse::Never] {
            println!("{layout:?} {sparse:?}");
            let bytes = mixed(seed, layout.size() - 512);
            let target = target(directory, "image.qcow2", layout, "");
            let sink = target.create(Some(bytes.len() as u64)).unwrap();
            let mut options = ConvertOptions::default();
            options.sparse = sparse;
            convert(&Memory::new(bytes.clone()), sink, &options, &()).unwrap();
            whole_and_same(directory, "image.qcow2", &bytes);
        }
    }
}

#[test]
fn written_setting_passes_the_check_of_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    let layout =
        Layout { compat: "v3", cluster_size: 4096, extended_l2: false, compression: Compression::None };
    let bytes = mixed(9, 500_224);
    let refcounts = ["1", "2", "4", "8", "16", "32", "64"].map(|bits| format!(",refcount_bits={bits}"));
    let others = [",lazy_refcounts=on", ",preallocation=metadata"].map(str::to_owned);
    for more in refcounts.iter().chain(&others) {
        println!("{more}");
        let sink = target(directory, "image.qcow2", layout, more).create(Some(bytes.len() as u64)).unwrap();
        convert(&Memory::new(bytes.clone()), sink, &ConvertOptions::default(), &()).unwrap();
        whole_and_same(directory, "image.qcow2", &bytes);
    }
}

#[test]
fn image_of_qemu_is_the_same_after_a_conversion() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    let size = "2M";
    qemu(
        directory,
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "from.qcow2", size],
    );
    crate::patterns::write_all(directory, "from.qcow2", &writes(31, 2 << 20, 4096, 40));
    let disk = open(directory, "from.qcow2");
    let bytes = read_all(&disk).unwrap();
    for layout in Layout::all() {
        println!("{layout:?}");
        let sink = target(directory, "image.qcow2", layout, "").create(Some(disk.size())).unwrap();
        convert(&disk, sink, &ConvertOptions::default(), &()).unwrap();
        whole_and_same(directory, "image.qcow2", &bytes);
    }
}

#[test]
fn written_image_can_be_changed_by_qemu() {
    if !have_qemu() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    for (seed, layout) in (1..).zip(Layout::all()) {
        println!("{layout:?}");
        let bytes = mixed(seed, layout.size());
        let sink = target(directory, "image.qcow2", layout, "").create(Some(bytes.len() as u64)).unwrap();
        convert(&Memory::new(bytes), sink, &ConvertOptions::default(), &()).unwrap();
        crate::patterns::write_all(
            directory,
            "image.qcow2",
            &writes(seed, layout.size(), layout.cluster_size, 12),
        );
        qemu(directory, "qemu-img", &["snapshot", "-c", "now", "image.qcow2"]);
        let printed = qemu(directory, "qemu-img", &["check", "-f", "qcow2", "image.qcow2"]);
        assert!(printed.contains("No errors were found"), "{layout:?}: {printed}");
    }
}
