//! Streamed VMDKs: defects of their ends and headers are reported like those of a file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use diskimg::core::CreateOptions;
use diskimg::{ImageInfo, Memory, MemorySink, Opener, Prober, Setting, driver};
use diskimg_core::conformance::painted;

/// A VMDK of this subformat with a megabyte of noise.
fn noisy_vmdk(subformat: &str) -> Vec<u8> {
    let file = MemorySink::new(8 << 20);
    let options = CreateOptions {
        virtual_size: 2 << 20,
        settings: Setting::parse_list(&format!("subformat={subformat}")).unwrap(),
        ..CreateOptions::default()
    };
    let sink = driver("vmdk").unwrap().create.unwrap()(Box::new(file.clone()), &options).unwrap();
    let mut noise = painted(0, 1 << 20);
    let mut state = 1_u64;
    noise.iter_mut().for_each(|byte| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        *byte ^= (state >> 56) as u8;
    });
    sink.write_at(0, &noise).unwrap();
    sink.finish().unwrap();
    let bytes = file.bytes();
    assert!(bytes.len() > 512 << 10);
    bytes
}

fn described(bytes: &[u8], chunk: usize) -> ImageInfo {
    let mut prober = Prober::new();
    for piece in bytes.chunks(chunk) {
        prober.push(piece);
    }
    prober.finish().image.unwrap()
}

#[test]
fn footer_before_trailing_zeros_is_found_in_a_stream_as_in_a_file() {
    let whole = noisy_vmdk("streamOptimized");
    for zeros in [0, 1, 511, 512, 1024, 2048, 65_536, 129_536, 130_047, 130_048, 130_560, 131_072, 200_000] {
        let mut bytes = whole.clone();
        bytes.resize(bytes.len() + zeros, 0);
        let expected = Opener::new().inspect_source(&Memory::new(bytes.clone())).unwrap().info;
        assert_eq!(expected.findings.is_empty(), zeros < 130_048, "{zeros}: {:?}", expected.findings);
        for chunk in [511, 512, 513, 64 << 10, 1 << 20, usize::MAX] {
            assert_eq!(described(&bytes, chunk), expected, "{zeros} zeros, by {chunk}");
        }
    }
}

#[test]
fn other_bytes_after_a_footer_are_reported_the_same() {
    let whole = noisy_vmdk("streamOptimized");
    for len in [1, 511, 512, 3000, 100_000] {
        let bytes = [whole.clone(), vec![7; len]].concat();
        let expected = Opener::new().inspect_source(&Memory::new(bytes.clone())).unwrap().info;
        assert_eq!(expected.findings.is_empty(), len < 512, "{len}: {:?}", expected.findings);
        for chunk in [1000, usize::MAX] {
            assert_eq!(described(&bytes, chunk), expected, "{len} bytes, by {chunk}");
        }
    }
}

#[test]
fn contradiction_of_header_and_tables_is_reported_like_the_file() {
    let sound = noisy_vmdk("monolithicSparse");
    let directory = usize::try_from(u64::from_le_bytes(sound[56..64].try_into().unwrap())).unwrap() * 512;
    let damages: [(usize, &[u8], &str); 6] = [
        (12, &(4096_u64 + 128).to_le_bytes(), "size_mismatch"),
        (12, &(4096_u64 - 8).to_le_bytes(), "size_mismatch"),
        (56, &[0; 8], "grain_directory"),
        (56, &(1_u64 << 40).to_le_bytes(), "grain_directory"),
        (48, &(1_u64 << 40).to_le_bytes(), "grain_directory"),
        (directory, &u32::MAX.to_le_bytes(), "grain_directory"),
    ];
    assert!(described(&sound, 1000).findings.is_empty());
    for (at, damage, check) in damages {
        let mut bytes = sound.clone();
        bytes[at..at + damage.len()].copy_from_slice(damage);
        let expected = Opener::new().inspect_source(&Memory::new(bytes.clone())).unwrap().info;
        let checks: Vec<_> = expected.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, [check], "{at}");
        for chunk in [1, 511, 512, 513, 64 << 10, 1 << 20] {
            assert_eq!(described(&bytes, chunk), expected, "{at} by {chunk}");
        }
    }
}
