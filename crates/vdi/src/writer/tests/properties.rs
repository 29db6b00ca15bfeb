//! Random writes compared with the same writes in memory.

use diskimg_core::conformance::{Call, apply};
use proptest::prelude::*;

use super::qemu::Qemu;
use super::*;

const SIZE: usize = 5_000_100;

fn call() -> impl Strategy<Value = Call> {
    let edge = prop_oneof![0..SIZE, (0..SIZE / 65_536).prop_map(|block| block * 65_536)];
    let len = prop_oneof![1..10_000_usize, (1..40_usize).prop_map(|blocks| blocks * 65_536)];
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

fn allocation() -> impl Strategy<Value = Allocation> {
    prop_oneof![Just(Allocation::Dynamic), Just(Allocation::Fixed)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writes_in_any_order_are_read_back(
        calls in prop::collection::vec(call(), 0..16),
        block_bits in 9_u32..23,
        allocation in allocation(),
    ) {
        let options = WriterOptions {
            virtual_size: SIZE as u64,
            block_size: 1 << block_bits,
            allocation,
            ..WriterOptions::default()
        };
        let (bytes, disk) = made_by(&calls, &options);
        prop_assert!(guest(bytes) == disk);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writes_in_any_order_pass_qemu_img(
        calls in prop::collection::vec(call(), 0..16),
        allocation in allocation(),
    ) {
        let options =
            WriterOptions { virtual_size: SIZE as u64, allocation, ..WriterOptions::default() };
        let (bytes, disk) = made_by(&calls, &options);
        if let Some(qemu) = Qemu::find() {
            qemu.approves(&bytes, &disk, "any writes");
        }
    }
}
