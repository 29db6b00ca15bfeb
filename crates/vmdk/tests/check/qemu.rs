//! Images made and checked by `qemu-img`.

#[path = "../../../../tests/qemu/tools.rs"]
mod tools;

use diskimg_core::OpenOptions;

use crate::image::check;
use tools::{have_qemu, qemu};

#[test]
fn image_that_qemu_img_finds_clean_is_clean() {
    if !have_qemu() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for size in [512, 65_536, (33 << 20) + 1536] {
        let bytes: Vec<u8> =
            (0..size).map(|at: usize| if at % 300_000 < 200_000 { 0 } else { (at % 251) as u8 }).collect();
        std::fs::write(path.join("disk.raw"), &bytes).unwrap();
        for options in [
            "monolithicSparse",
            "streamOptimized",
            "monolithicSparse,zeroed_grain=on",
            "monolithicSparse,compat6=on",
        ] {
            let options = format!("subformat={options}");
            let convert = ["convert", "-f", "raw", "-O", "vmdk", "-o", &options, "disk.raw", "disk.vmdk"];
            qemu(path, "qemu-img", &convert);
            qemu(path, "qemu-img", &["check", "-f", "vmdk", "disk.vmdk"]);
            let image = std::fs::read(path.join("disk.vmdk")).unwrap();
            let report = check(&image, &OpenOptions::default()).unwrap();
            assert!(report.is_clean(), "{size} {options}: {:#?}", report.problems);
            let grains = bytes.chunks(65_536);
            let used = grains.clone().filter(|grain| grain.iter().any(|byte| *byte != 0)).count() as u64;
            assert_eq!(report.total_units, Some(grains.len() as u64), "{size} {options}");
            assert_eq!(report.allocated_units, Some(used), "{size} {options}");
            let compressed = if options.contains("stream") { used } else { 0 };
            assert_eq!(report.compressed_units, compressed);
        }
    }
}
