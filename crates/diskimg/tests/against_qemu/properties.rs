//! Random writes by either side, read by the other.

use diskimg::{BlockSource, Image};
use proptest::prelude::*;

use crate::common::{have_qemu, qemu, read_all};
use crate::map::same_map;
use crate::patterns::{What, Write, bytes, write_all};
use crate::writing::{target, whole_and_same};
use crate::{Layout, open};

/// Small enough for quick tests, large enough for several L2 tables of 512 bytes.
const SIZE: u64 = 200 << 10;

fn layouts() -> impl Strategy<Value = Layout> {
    // Clusters of 2 MiB would make every case one cluster.
    let small: Vec<Layout> =
        Layout::all().into_iter().filter(|layout| layout.cluster_size < 1 << 20).collect();
    proptest::sample::select(small)
}

fn writes() -> impl Strategy<Value = Write> {
    let what = prop_oneof![
        4 => (1..=255_u8).prop_map(What::Byte),
        1 => Just(What::Zeros),
        1 => Just(What::Unmapped),
    ];
    (0..SIZE, 1..20_000_u64, what).prop_map(|(offset, len, what)| Write {
        offset,
        len: len.min(SIZE - offset),
        what,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn image_written_by_qemu_reads_the_same(
        layout in layouts(),
        writes in proptest::collection::vec(writes(), 0..12),
    ) {
        if !have_qemu() {
            return Ok(());
        }
        let scratch = tempfile::tempdir().unwrap();
        let (options, size) = (layout.options(), SIZE.to_string());
        let arguments = ["create", "-q", "-f", "qcow2", "-o", &options, "image.qcow2", &size];
        qemu(scratch.path(), "qemu-img", &arguments);
        write_all(scratch.path(), "image.qcow2", &writes);
        let disk = open(scratch.path(), "image.qcow2");
        prop_assert_eq!(disk.info().allocation_unit, Some(layout.cluster_size));
        prop_assert!(read_all(&disk).unwrap() == bytes(SIZE, &writes));
        same_map(scratch.path(), "image.qcow2", &disk);
    }

    #[test]
    fn written_image_reads_the_same_in_qemu(
        layout in layouts(),
        pieces in proptest::collection::vec((1..30_000_u64, any::<Option<u8>>()), 1..20),
        shuffle in any::<u64>(),
    ) {
        if !have_qemu() {
            return Ok(());
        }
        let scratch = tempfile::tempdir().unwrap();
        let mut writes = apart(&pieces);
        let expected = bytes(SIZE, &writes);
        let sink = target(scratch.path(), "image.qcow2", layout, "").create(Some(SIZE)).unwrap();
        // The sink accepts any order.
        let mut numbers = diskimg_core::conformance::Numbers::new(shuffle);
        for index in (1..writes.len()).rev() {
            writes.swap(index, usize::try_from(numbers.below(index as u64 + 1)).unwrap());
        }
        for Write { offset, len, what } in writes {
            match what {
                What::Byte(byte) => {
                    sink.write_at(offset, &vec![byte; usize::try_from(len).unwrap()]).unwrap();
                }
                _ => sink.zero(offset..offset + len).unwrap(),
            }
        }
        sink.finish().unwrap();
        prop_assert_eq!(open(scratch.path(), "image.qcow2").size(), SIZE);
        whole_and_same(scratch.path(), "image.qcow2", &expected);
    }
}

/// Places writes one after another, so that no byte is written twice. Every third is a gap.
fn apart(pieces: &[(u64, Option<u8>)]) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut offset = 0;
    for (index, (len, byte)) in pieces.iter().enumerate() {
        let len = (*len).min(SIZE - offset);
        if len > 0 && index % 3 != 2 {
            let what = byte.filter(|byte| *byte != 0).map_or(What::Zeros, What::Byte);
            writes.push(Write { offset, len, what });
        }
        offset += len;
    }
    writes
}
