//! Differencing and undo images.

use std::sync::Arc;

use diskimg_core::conformance::{painted, source};
use diskimg_core::{Chain, ErrorKind, Identity, Image as _, Memory, ReferenceRole, Severity};

use crate::image::*;

/// The UUID 00112233-4455-6677-8899-aabbccddeeff in the byte order of the file and of its text.
const IN_FILE: [u8; 16] =
    [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF];
const IN_TEXT: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF];

fn child(kind: u32) -> Image {
    Image::new().with(|image| {
        image.u32(TYPE, kind);
        image.put(UUIDS + 32, &IN_FILE);
        image.put(UUIDS + 48, &[0x44; 16]);
    })
}

#[test]
fn differencing_image_reports_its_parent_and_opens_nothing() {
    for (kind, name) in [(3, "undo"), (4, "differencing")] {
        let info = child(kind).inspected();
        assert_eq!(info.subformat.as_deref(), Some(name));
        let [reference] = &info.references[..] else { panic!("{:?}", info.references) };
        assert_eq!(reference.role, ReferenceRole::Parent);
        assert_eq!((reference.name.len(), reference.format.as_deref()), (0, Some("vdi")));
        assert_eq!((reference.offset, reference.found_in), (Some(424), diskimg_vdi::FORMAT));
        let identity =
            Identity { content_id: None, uuid: Some(IN_TEXT), modification_uuid: Some([0x44; 16]) };
        assert_eq!(reference.identity, identity);
        let finding = &info.findings[0];
        assert_eq!((finding.check, finding.severity), ("parent", Severity::Unsafe));
        assert!(finding.message.contains("00112233-4455-6677-8899-aabbccddeeff"), "{}", finding.message);
        assert_eq!(*child(kind).open().unwrap().info(), info);
    }
}

#[test]
fn parent_uuid_is_a_parent_in_an_image_of_any_type() {
    for (at, uuid) in [(UUIDS + 32, IN_FILE), (UUIDS + 48, [1; 16])] {
        let info = Image::new().with(|image| image.put(at, &uuid)).inspected();
        assert_eq!(info.references.len(), 1);
    }
    let info = Image::new().with(|image| image.u32(TYPE, 4)).inspected();
    assert_eq!(info.references[0].identity, Identity::default(), "a parent without a UUID");
    assert!(Image::new().inspected().references.is_empty());
    assert!(Image::fixed().inspected().references.is_empty());
}

#[test]
fn version_0_identifies_its_parent_by_one_uuid() {
    let image = Image::v0().with(|image| {
        image.u32(72, 4);
        image.put(404, &IN_FILE);
    });
    let info = image.inspected();
    let identity = Identity { uuid: Some(IN_TEXT), ..Identity::default() };
    assert_eq!((&info.references[0].identity, info.references[0].offset), (&identity, Some(404)));
}

#[test]
fn free_blocks_read_from_the_parent_and_zero_blocks_as_zeros() {
    let mut top = child(4);
    top.entry(2, ZERO);
    let base = Memory::new(vec![9; SIZE as usize]);
    let chain = Chain::new(vec![Arc::new(top.open().unwrap()), Arc::new(base)]).unwrap();
    let mut bytes = painted(0, BLOCK as usize);
    bytes.resize(2 * BLOCK as usize, 9);
    bytes.resize(3 * BLOCK as usize, 0);
    bytes.resize(SIZE as usize, 9);
    source(&chain, &bytes);
}

#[test]
fn parent_is_accepted_by_the_identity_in_its_child() {
    let parent = Image::new().with(|image| {
        image.put(UUIDS, &IN_FILE);
        image.put(UUIDS + 16, &[0x44; 16]);
    });
    let child = child(4).inspected();
    assert!(child.references[0].identity.accepts(&parent.inspected().identity).is_ok());
    let changed = parent.with(|image| image.put(UUIDS + 16, &[0x45; 16]));
    let error = child.references[0].identity.accepts(&changed.inspected().identity).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
