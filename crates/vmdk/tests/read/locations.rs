//! Locations of guest bytes in host files.

use diskimg_core::{BlockSource, ExtentKind, Extents};

use crate::tools::Workshop;

#[test]
fn data_of_flat_and_sparse_images_is_located_and_compressed_data_is_not() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", 4 << 20);
    for (kind, expected) in [
        ("monolithicFlat", ExtentKind::Data),
        ("monolithicSparse", ExtentKind::Data),
        ("twoGbMaxExtentSparse", ExtentKind::Data),
        ("streamOptimized", ExtentKind::Encoded),
    ] {
        let options = format!("subformat={kind}");
        shop.img(&["convert", "-f", "raw", "-O", "vmdk", "-o", &options, "mixed.raw", "disk.vmdk"]);
        let disk = shop.open_image("disk.vmdk");
        let extents: Vec<_> = Extents::new(&disk, 0..disk.size()).collect::<Result<_, _>>().unwrap();
        assert!(extents.iter().any(|extent| extent.kind == expected), "{kind}");
        for extent in extents {
            let located = extent.location.host.is_some();
            assert_eq!(located, extent.kind == ExtentKind::Data, "{kind} at {}", extent.offset);
        }
        assert_eq!(disk.locate(0..512).host.is_some(), kind == "monolithicFlat", "{kind}");
    }
}
