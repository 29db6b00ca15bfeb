//! The offsets of structures in the file.

use super::*;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn map(bytes: &[u8]) -> Vec<u32> {
    (0..word(bytes, 384) as usize).map(|block| word(bytes, MAP + 4 * block)).collect()
}

#[test]
fn header_has_the_layout_of_virtualbox() {
    let uuid: [u8; 16] = std::array::from_fn(|i| u8::try_from(i * 0x11).unwrap());
    let options = WriterOptions { virtual_size: (5 << 20) + 1, uuid: Some(uuid), ..options_for(&[]) };
    let bytes = image(&options, |writer| writer.write_at(3 << 20, b"x").unwrap());
    assert_eq!(bytes[..3], *b"<<<");
    assert_eq!(bytes[64..72], [0x7F, 0x10, 0xDA, 0xBE, 1, 0, 1, 0]);
    for (at, value) in [
        (72, 400),
        (76, 1),
        (80, 0),
        (340, 1 << 20),
        (344, 2 << 20),
        (360, 512),
        (368, (5 << 20) + 512),
        (372, 0),
        (376, 1 << 20),
        (380, 0),
        (384, 6),
        (388, 1),
        (468, 512),
    ] {
        assert_eq!(word(&bytes, at), value, "at byte {at}");
    }
    assert_eq!(bytes[392..400], [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66]);
    assert_eq!(bytes[400..408], uuid[8..]);
    assert!(zeros::is_zero(&bytes[424..456]), "no parent");
    assert!(zeros::is_zero(&bytes[472..MAP]));
    assert_eq!(diskimg_core::Image::info(&open(bytes)).identity.uuid, Some(uuid));
}

#[test]
fn blocks_without_data_are_marked_as_zeros_and_not_stored() {
    let mut disk = vec![0; 10 << 20];
    disk[7 << 20] = 1;
    disk[(2 << 20) - 1] = 1;
    let bytes = image(&options_for(&disk), |writer| batched(writer, &disk, 1 << 20, 2));
    let zero = 0xFFFF_FFFE;
    assert_eq!(map(&bytes), [zero, 0, zero, zero, zero, zero, zero, 1, zero, zero]);
    assert_eq!(bytes.len(), DATA + (2 << 20));
    let empty = image(&options_for(&disk), |_| ());
    assert_eq!(map(&empty), [zero; 10]);
    assert_eq!(empty.len(), DATA);
    assert_eq!(guest(empty), vec![0; 10 << 20]);
}

#[test]
fn blocks_are_stored_in_the_order_of_their_first_write() {
    let options = WriterOptions { virtual_size: 4 << 20, ..options_for(&[]) };
    let bytes = image(&options, |writer| {
        for block in [3, 1, 3, 0] {
            writer.write_at((block << 20) + 5, &[1; 10]).unwrap();
        }
    });
    assert_eq!(map(&bytes), [2, 1, 0xFFFF_FFFE, 0]);
}

#[test]
fn fixed_image_stores_all_blocks_in_disk_order() {
    for size in [1_usize, 1 << 20, (3 << 20) + 5] {
        let disk = mixed(size, 3);
        let options = WriterOptions { allocation: Allocation::Fixed, ..options_for(&disk) };
        for write in [true, false] {
            let bytes = image(&options, |writer| {
                if write {
                    batched(writer, &disk, 1 << 20, 1);
                }
            });
            let blocks = size.div_ceil(1 << 20);
            let count = u32::try_from(blocks).unwrap();
            assert_eq!(map(&bytes), (0..count).collect::<Vec<_>>());
            assert_eq!((word(&bytes, 76), word(&bytes, 388)), (2, count));
            assert_eq!(bytes.len(), DATA + (blocks << 20));
            let want = if write { in_sectors(&disk) } else { in_sectors(&vec![0; size]) };
            assert!(guest(bytes) == want);
        }
    }
}

#[test]
fn unwritten_blocks_of_a_fixed_image_are_zeroed_once() {
    /// Remembers the ranges written and zeroed.
    #[derive(Clone, Default)]
    struct RangeLog(Arc<std::sync::Mutex<Vec<Range<u64>>>>);
    impl BlockSink for RangeLog {
        fn write_at(&self, offset: u64, data: &[u8]) -> diskimg_core::Result<()> {
            self.zero(offset..offset + data.len() as u64)
        }
        fn zero(&self, range: Range<u64>) -> diskimg_core::Result<()> {
            self.0.lock().unwrap().push(range);
            Ok(())
        }
        fn properties(&self) -> diskimg_core::SinkProperties {
            diskimg_core::SinkProperties::default()
        }
        fn finish(self: Box<Self>) -> diskimg_core::Result<()> {
            Ok(())
        }
    }
    let log = RangeLog::default();
    let size = (5 << 20) + 1000;
    let options =
        WriterOptions { virtual_size: size, allocation: Allocation::Fixed, ..WriterOptions::default() };
    let writer = ImageWriter::new(Box::new(log.clone()), &options).unwrap();
    writer.write_at(2 << 20, &vec![1; 1 << 20]).unwrap();
    writer.write_at(5 << 20, &[1; 1000]).unwrap();
    Box::new(writer).finish().unwrap();
    let mut ranges = log.0.lock().unwrap().clone();
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.is_sorted_by(|a, b| a.end <= b.start), "{ranges:?}");
    let data = DATA as u64;
    let covered: u64 = ranges.iter().filter(|range| range.start >= data).map(|r| r.end - r.start).sum();
    assert_eq!(covered, 6 << 20);
}

#[test]
fn written_block_can_be_rewritten_and_zeroed() {
    let mut disk = mixed(5_000_000, 21);
    disk[..1 << 20].fill(3);
    let options = options_for(&disk);
    let bytes = image(&options, |writer| {
        writer.write_at(0, &disk).unwrap();
        for (range, byte) in [
            (10..70_000, 1),
            (1 << 20..2 << 20, 0),
            (900_000..2_300_000, 0),
            (300_000..300_001, 9),
            (5..6, 0),
        ] {
            disk[range.clone()].fill(byte);
            let offset = range.start as u64;
            match range.len() % 2 {
                _ if byte != 0 => writer.write_at(offset, &disk[range]).unwrap(),
                0 => writer.zero(offset..range.end as u64).unwrap(),
                _ => writer.write_at(offset, &disk[range]).unwrap(),
            }
        }
    });
    assert!(guest(bytes) == in_sectors(&disk));
}

#[test]
fn huge_empty_disk_stores_only_its_map() {
    let options = WriterOptions { virtual_size: 1 << 40, block_size: 64 << 20, ..options_for(&[]) };
    let bytes = image(&options, |writer| {
        writer.zero(0..1 << 40).unwrap();
        let all = Segment { offset: 0, len: 1 << 40, bytes: &[], zeros: &[] };
        let mut batch = writer.batch().unwrap();
        batch.prepare(&all).unwrap();
        batch.place(&all).unwrap();
        batch.write(&all).unwrap();
    });
    assert_eq!(bytes.len(), DATA);
    assert_eq!(map(&bytes), vec![0xFFFF_FFFE; 16_384]);
}
