//! Details compared with `qemu-img info`.

use diskimg_core::{Detail, Image};

use crate::tools::Workshop;

/// Prints our details in the form of `format-specific`, `data` in `qemu-img info`, without file names: QEMU
/// prints paths.
fn lines(name: &str, detail: &Detail, out: &mut Vec<String>) {
    match detail {
        Detail::Flag(flag) => out.push(format!("\"{name}\": {flag}")),
        Detail::Number(number) => out.push(format!("\"{name}\": {number}")),
        Detail::File(_) => {}
        Detail::Text(words) => out.push(format!("\"{name}\": \"{words}\"")),
        Detail::List(items) => items.iter().for_each(|item| lines(name, item, out)),
        Detail::Table(rows) => rows.iter().for_each(|(name, value)| lines(name, value, out)),
    }
}

#[test]
fn details_equal_those_of_qemu_img() {
    let Some(shop) = Workshop::open() else { return };
    for options in [
        "monolithicSparse",
        "monolithicSparse,zeroed_grain=on",
        "streamOptimized",
        "monolithicFlat",
        "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat",
    ] {
        let options = format!("subformat={options}");
        shop.img(&["create", "-f", "vmdk", "-o", &options, "disk.vmdk", "4100M"]);
        let disk = shop.open_image("disk.vmdk");
        let info = disk.info();
        let theirs = shop.img(&["info", "--output=json", "disk.vmdk"]);
        let (_, specific) = theirs.rsplit_once("\"type\": \"vmdk\"").unwrap();
        let mut printed: Vec<&str> = specific.lines().map(|line| line.trim().trim_end_matches(',')).collect();
        printed.retain(|line| line.starts_with('"') && !line.ends_with(['{', '[']));
        printed.retain(|line| !line.starts_with("\"filename\"") && !line.starts_with("\"dirty-flag\""));
        let mut ours = Vec::new();
        lines("", &Detail::Table(info.details.clone()), &mut ours);
        assert_eq!(ours, printed, "{options}");
        assert!(theirs.contains(&format!("\n    \"virtual-size\": {},", info.virtual_size)));
        let unit = info.allocation_unit.map(|unit| format!("\n    \"cluster-size\": {unit},"));
        assert!(unit.is_none_or(|unit| theirs.contains(&unit)), "{theirs}");
    }
}
