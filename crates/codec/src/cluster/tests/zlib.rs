//! zlib grains.

use diskimg_core::ErrorKind;

use super::super::{Inflater, ZlibEncoder};
use super::{echo, wide, words};

#[test]
fn grain_shorter_than_the_output_returns_its_length() {
    let grain = words(10, 40_000);
    let mut packed = wide(&grain, true);
    packed.extend_from_slice(&[0; 300]);
    let mut back = vec![0; 65536];
    let len = Inflater::new().zlib(&packed, &mut back).unwrap();
    assert!(back[..len] == grain);
}

#[test]
fn invalid_grain_is_corrupt() {
    let grain = words(11, 65536);
    let packed = wide(&grain, true);
    let mut back = vec![0; 65536];
    let mut wrong_sum = packed.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    for bad in [&wrong_sum[..], &packed[..packed.len() - 1], &packed[..100], &[], b"not zlib at all"] {
        assert_eq!(Inflater::new().zlib(bad, &mut back).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let error = Inflater::new().zlib(&packed, &mut back[..65535]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), "the zlib stream does not end within 65535 bytes of output");
}

#[test]
fn grain_survives_every_level_and_fits_max_len() {
    for grain in [words(1, 65536), echo(60_000, 65536), vec![0; 1 << 20], words(2, 512), vec![9], vec![]] {
        for level in 1..=9 {
            let mut encoder = ZlibEncoder::new(Some(level)).unwrap();
            let mut packed = vec![0xEE; ZlibEncoder::max_len(grain.len())];
            let len = encoder.encode(&grain, &mut packed).unwrap().unwrap();
            let mut back = vec![0xEE; grain.len() + 1];
            let read = Inflater::new().zlib(&packed[..len], &mut back).unwrap();
            assert!(back[..read] == grain, "level {level}, {} bytes", grain.len());
        }
    }
}

#[test]
fn grain_encoder_output_does_not_depend_on_earlier_calls() {
    let grain = words(3, 65536);
    let mut encoder = ZlibEncoder::new(None).unwrap();
    let mut first = vec![0; 65536];
    let len = encoder.encode(&grain, &mut first).unwrap().unwrap();
    assert_eq!(encoder.encode(&grain, &mut vec![0; len - 1]).unwrap(), None);
    assert_eq!(encoder.encode(&echo(60_000, 65536), &mut [0; 100]).unwrap(), None);
    let mut again = vec![0; 65536];
    assert_eq!(encoder.encode(&grain, &mut again).unwrap(), Some(len));
    assert_eq!(first, again);
    for level in [-1, 0, 10, i32::MAX] {
        assert_eq!(ZlibEncoder::new(Some(level)).err().unwrap().kind(), ErrorKind::InvalidInput);
    }
}
