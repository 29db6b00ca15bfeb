//! Properties of the codecs, for any input.

use proptest::prelude::*;

use super::super::{Inflater, ZstdDecoder, ZstdEncoder};
use super::{deflated, wide, words};

proptest! {
    #[test]
    fn bytes_survive_every_level(data in prop::collection::vec(0..4_u8, 0..20_000), level in 1..=9, tail in 0..600_usize) {
        let mut packed = deflated(level, &data);
        packed.resize(packed.len() + tail, 0xA5);
        let mut back = vec![0xEE; data.len()];
        Inflater::new().raw_deflate(&packed, &mut back).unwrap();
        prop_assert!(back == data);
        let mut packed = vec![0; data.len() + 1024];
        let len = ZstdEncoder::new(Some(level)).unwrap().encode(&data, &mut packed).unwrap().unwrap();
        back.fill(0xEE);
        ZstdDecoder::new().unwrap().decode(&packed[..len + tail.min(packed.len() - len)], &mut back).unwrap();
        prop_assert!(back == data);
    }

    #[test]
    fn garbage_does_not_panic(data in prop::collection::vec(any::<u8>(), 0..3000), room in 0..5000_usize) {
        let mut back = vec![0; room];
        let _ = Inflater::new().raw_deflate(&data, &mut back);
        let _ = Inflater::new().zlib(&data, &mut back);
        let _ = ZstdDecoder::new().unwrap().decode(&data, &mut back);
        let mut framed = vec![0x28, 0xB5, 0x2F, 0xFD];
        framed.extend_from_slice(&data);
        let _ = ZstdDecoder::new().unwrap().decode(&framed, &mut back);
    }

    #[test]
    fn flipped_bit_in_a_grain_is_detected_or_has_no_effect(seed in any::<u64>(), bit in any::<prop::sample::Index>()) {
        let grain = words(seed, 5000);
        let mut packed = wide(&grain, true);
        let bit = bit.index(packed.len() * 8);
        packed[bit / 8] ^= 1 << (bit % 8);
        let mut back = vec![0; 5000];
        if let Ok(len) = Inflater::new().zlib(&packed, &mut back) {
            prop_assert!(back[..len] == grain);
        }
    }
}
