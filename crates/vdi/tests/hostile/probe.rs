//! Recognition by the first bytes.

use diskimg_core::Verdict;
use diskimg_vdi::DRIVER;

use crate::image::*;

fn probe(bytes: &[u8]) -> Verdict {
    (DRIVER.probe)(bytes)
}

#[test]
fn images_of_every_version_are_recognised() {
    for image in [Image::new(), Image::v0(), Image::fixed(), Image::with_extra(512)] {
        assert_eq!(probe(&image.bytes[..68]), Verdict::Yes);
        let other_text = image.with(|image| image.put(0, &[0x90; 64]));
        assert_eq!(probe(&other_text.bytes[..512]), Verdict::Yes);
    }
}

#[test]
fn probe_requests_only_the_bytes_that_decide() {
    let plain = Image::new().with(|image| image.put(0, &[0; 64]));
    for (len, verdict) in [
        (0, Verdict::NeedBytes(68)),
        (67, Verdict::NeedBytes(68)),
        (68, Verdict::NeedBytes(72)),
        (72, Verdict::NeedBytes(456)),
        (455, Verdict::NeedBytes(456)),
        (456, Verdict::Yes),
    ] {
        assert_eq!(probe(&plain.bytes[..len]), verdict, "{len} bytes");
    }
    let v0 = Image::v0().with(|image| image.put(0, &[0; 64]));
    assert_eq!(probe(&v0.bytes[..72]), Verdict::NeedBytes(420));
    assert_eq!(probe(&v0.bytes[..420]), Verdict::Yes);
    for len in 0..456 {
        assert!(matches!(probe(&plain.bytes[..len]), Verdict::NeedBytes(more) if more > len), "{len} bytes");
    }
}

#[test]
fn signature_in_boot_code_is_not_vdi() {
    let mut disk = vec![0x90; 512];
    disk[..3].copy_from_slice(&[0xEB, 0x63, 0x90]);
    disk[64..68].copy_from_slice(&[0x7F, 0x10, 0xDA, 0xBE]);
    disk[510..].copy_from_slice(&[0x55, 0xAA]);
    assert_eq!(probe(&disk), Verdict::No);
    for version in [0, 1_u32 << 16, 0x0001_0001, 2] {
        disk[68..72].copy_from_slice(&version.to_le_bytes());
        assert_eq!(probe(&disk), Verdict::No, "version {version:#x}");
    }
    disk[68..510].fill(0);
    assert_eq!(probe(&disk), Verdict::No);
}

#[test]
fn damaged_image_without_its_text_is_recognised_unless_a_boot_sector() {
    for (at, value) in [(68, 0x0002_0000), (68, 0x9090_9090), (TYPE, 5), (BLOCK_SIZE, 3), (SECTOR, 0)] {
        for text in [0, 0x90, 0xFF] {
            let image = Image::new().with(|image| {
                image.put(0, &[text; 64]);
                image.u32(at, value);
            });
            assert_eq!(probe(&image.bytes[..511]), Verdict::NeedBytes(512));
            assert_eq!(probe(&image.bytes[..512]), Verdict::Yes);
            assert_eq!(probe(&image.bytes), Verdict::Yes);
            assert_eq!(image.refused().offset(), Some(at));
            let boots = image.with(|image| image.put(510, &[0x55, 0xAA]));
            assert_eq!(probe(&boots.bytes), Verdict::No);
        }
    }
}

#[test]
fn damaged_image_with_its_text_is_recognised_and_refused_by_opening() {
    for (at, value) in [(68, 0x0002_0000), (TYPE, 5), (BLOCK_SIZE, 3)] {
        let image = Image::new().with(|image| image.u32(at, value));
        assert_eq!(probe(&image.bytes), Verdict::Yes);
        assert_eq!(image.refused().offset(), Some(at));
    }
}

#[test]
fn other_signatures_are_refused_at_the_first_different_byte() {
    let mut bytes = Image::new().bytes;
    bytes[65] = 0x11;
    assert_eq!(probe(&bytes[..65]), Verdict::NeedBytes(68));
    assert_eq!(probe(&bytes[..66]), Verdict::No);
}
