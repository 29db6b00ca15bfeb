//! What follows the end of a stream-optimised VMDK: judged in a stream as it is in a file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use diskimg::{BlockSink, CreateOptions, ImageInfo, Memory, MemorySink, Opener, Prober, Setting, driver};
use diskimg_core::conformance::painted;

/// An image of 1 MiB of noise, in which the footer is far from the first bytes.
fn long_stream() -> Vec<u8> {
    let file = MemorySink::new(8 << 20);
    let options = CreateOptions {
        virtual_size: 2 << 20,
        settings: Setting::parse_list("subformat=streamOptimized").unwrap(),
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
    file.bytes()
}

fn told(bytes: &[u8], chunk: usize) -> ImageInfo {
    let mut prober = Prober::new();
    for piece in bytes.chunks(chunk) {
        prober.push(piece);
    }
    prober.finish().image.unwrap()
}

#[test]
fn m16_the_footer_of_a_stream_is_found_behind_the_zeros_that_it_is_found_behind_in_a_file() {
    let whole = long_stream();
    assert!(whole.len() > 512 << 10);
    for zeros in [0, 1, 511, 512, 1024, 2048, 65_536, 129_536, 130_047, 130_048, 200_000] {
        let mut bytes = whole.clone();
        bytes.resize(bytes.len() + zeros, 0);
        let expected = Opener::new().inspect_source(&Memory::new(bytes.clone())).unwrap();
        assert_eq!(expected.findings.is_empty(), zeros < 130_048, "{zeros}: {:?}", expected.findings);
        for chunk in [511, 512, 513, 64 << 10, 1 << 20, usize::MAX] {
            assert_eq!(told(&bytes, chunk), expected, "{zeros} zeros, by {chunk}");
        }
    }
}

#[test]
fn m16_other_bytes_behind_a_footer_are_told_of_alike() {
    let whole = long_stream();
    for len in [1, 511, 512, 3000, 100_000] {
        let bytes = [whole.clone(), vec![7; len]].concat();
        let expected = Opener::new().inspect_source(&Memory::new(bytes.clone())).unwrap();
        assert_eq!(expected.findings.is_empty(), len < 512, "{len}: {:?}", expected.findings);
        for chunk in [1000, usize::MAX] {
            assert_eq!(told(&bytes, chunk), expected, "{len} bytes, by {chunk}");
        }
    }
}
