//! The description of an image.

use diskimg_core::{Detail, Identity, Image as _, Limits};
use diskimg_vdi::DRIVER;

use crate::image::*;

#[test]
fn details_have_a_fixed_order() {
    let image = Image::new().with(|image| {
        image.put(84, b"a comment\0and older bytes");
        image.put(UUIDS + 48, &[0x44; 16]);
    });
    let info = image.inspected();
    assert_eq!((info.format.name(), info.subformat.as_deref()), ("vdi", Some("dynamic")));
    assert_eq!((info.virtual_size, info.allocation_unit, info.version), (SIZE, Some(BLOCK), Some(1)));
    let uuid =
        |digit: char| Detail::Text("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".replace('x', &digit.to_string()));
    let expected = [
        ("version", Detail::Text("1.1".into())),
        ("blocks", Detail::Number(BLOCKS.into())),
        ("allocated-blocks", Detail::Number(1)),
        ("uuid", uuid('1')),
        ("modification-uuid", uuid('2')),
        ("parent-modification-uuid", uuid('4')),
        ("comment", Detail::Text("a comment".into())),
    ];
    let details: Vec<_> = info.details.iter().map(|(name, detail)| (name.as_str(), detail.clone())).collect();
    assert_eq!(details, expected);
    assert_eq!(*image.open().unwrap().info(), info);
}

#[test]
fn identity_has_the_uuids_of_the_header_unless_nil() {
    let identity = Identity { content_id: None, uuid: Some([0x11; 16]), modification_uuid: Some([0x22; 16]) };
    assert_eq!(Image::new().inspected().identity, identity);
    let nil = Image::new().with(|image| image.put(UUIDS, &[0; 32]));
    assert!(nil.inspected().identity.is_empty());
}

#[test]
fn subformat_and_extra_bytes_are_described() {
    assert_eq!(Image::fixed().inspected().subformat.as_deref(), Some("fixed"));
    let details = Image::with_extra(512).inspected().details;
    assert!(details.contains(&("block-extra".into(), Detail::Number(512))), "{details:?}");
}

#[test]
fn image_with_usual_blocks_has_no_findings() {
    let image = Image::new().with(|image| {
        image.u32(BLOCK_SIZE, 1 << 20);
        image.u64(DISK, 1 << 20);
        image.u32(COUNT, 1);
        image.bytes.resize((DATA + (1 << 20)) as usize, 0);
    });
    assert_eq!(checks(&image.inspected()), Vec::<&str>::new());
}

#[test]
fn impossible_count_of_allocated_blocks_is_a_finding() {
    let image = Image::new().with(|image| image.u32(ALLOCATED, BLOCKS + 1));
    assert_eq!(checks(&image.inspected()), ["truncated", "blocks_allocated", "block_size"]);
    assert!(image.open().is_ok(), "reading does not need it");
}

#[test]
fn survey_names_the_first_block_that_the_file_does_not_contain() {
    let survey = |image: &Image, limits: &Limits| {
        let info = image.inspected();
        let found = (DRIVER.survey.unwrap())(image.memory().as_ref(), &info, limits);
        found.into_iter().map(|found| (found.check, found.offset, found.message)).collect::<Vec<_>>()
    };
    let limits = Limits::default();
    assert!(survey(&Image::new(), &limits).is_empty());
    // The header counts one block, so it does not show that the second is missing.
    let missing = Image::new().with(|image| image.entry(7, 1));
    let found = survey(&missing, &limits);
    assert_eq!((found[0].0, found[0].1), ("truncated", Some(MAP + 28)));
    assert_eq!(found[0].2, "vdi: block at byte 6144 for guest offset 28672: the file ends at byte 6144");
    let invalid = Image::new().with(|image| image.entry(7, BLOCKS));
    assert_eq!(survey(&invalid, &limits)[0].0, "corrupt");
    let few = Limits { metadata_cache: 28, ..Limits::default() };
    assert_eq!(survey(&missing, &few)[0].0, "tables_not_compared");
    let past = Image::new().with(|image| {
        image.u64(DISK, SIZE - BLOCK);
        image.entry(BLOCKS - 1, BLOCKS + 7);
    });
    assert!(survey(&past, &limits).is_empty());
}
