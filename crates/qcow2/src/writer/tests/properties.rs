//! Random writes compared with the same writes in memory.

use diskimg_core::conformance::{Call, apply};
use proptest::prelude::*;

use super::qemu::Qemu;
use super::*;

const SIZE: usize = 200_000;

fn call() -> impl Strategy<Value = Call> {
    let edge = prop_oneof![0..SIZE, (0..SIZE / 4096).prop_map(|cluster| cluster * 4096)];
    let len = prop_oneof![1..10_000_usize, (1..8_usize).prop_map(|clusters| clusters * 4096)];
    prop_oneof![
        3 => (edge.clone(), len.clone(), any::<u8>()).prop_map(|(at, len, seed)| Call::Write { at, len, seed }),
        1 => (edge, len).prop_map(|(at, len)| Call::Zero { at, len }),
    ]
}

/// The image that the calls make, and the expected disk.
fn made_by(calls: &[Call], options: &WriterOptions) -> (Vec<u8>, Vec<u8>) {
    let mut disk = Vec::new();
    let bytes = image(options, |writer| disk = apply(calls, writer, SIZE));
    (bytes, in_sectors(&disk))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn writes_in_any_order_are_read_back(
        calls in prop::collection::vec(call(), 0..24),
        cluster_bits in 9_u32..18,
        extended_l2 in any::<bool>(),
        order in 0_u32..7,
    ) {
        let options = WriterOptions {
            virtual_size: SIZE as u64,
            cluster_size: 1 << cluster_bits,
            extended_l2: extended_l2 && cluster_bits >= 14,
            refcount_bits: 1 << order,
            ..WriterOptions::default()
        };
        let (bytes, disk) = made_by(&calls, &options);
        prop_assert!(guest(bytes) == disk);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn writes_in_any_order_pass_qemu_img(
        calls in prop::collection::vec(call(), 0..24),
        cluster_bits in 9_u32..18,
        extended_l2 in any::<bool>(),
    ) {
        let options = WriterOptions {
            virtual_size: SIZE as u64,
            cluster_size: 1 << cluster_bits,
            extended_l2: extended_l2 && cluster_bits >= 14,
            ..WriterOptions::default()
        };
        let (bytes, disk) = made_by(&calls, &options);
        if let Some(qemu) = Qemu::find() {
            qemu.approves(&bytes, &disk, "any writes");
        }
    }

    #[test]
    fn mixed_bytes_compressed_in_batches_pass_qemu_img(
        seed in any::<u64>(),
        len in 1_usize..3_000_000,
        cluster_bits in 9_u32..18,
        order in 0_u32..7,
    ) {
        let disk = mixed(len, seed);
        let options = WriterOptions {
            cluster_size: 1 << cluster_bits,
            refcount_bits: 1 << order,
            compress: true,
            ..options_for(&disk)
        };
        let bytes = image(&options, |writer| batched(writer, &disk, 1 << 18, 2));
        if let Some(qemu) = Qemu::find() {
            qemu.approves(&bytes, &in_sectors(&disk), "a mixture");
        }
    }
}
