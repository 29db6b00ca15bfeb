//! Truncated streams, and the cost of hostile ones.

use diskimg_core::{BlockSink, ErrorKind, Limits, MemorySink, Result, SinkProperties};

use crate::image::*;

#[test]
fn stream_that_ends_anywhere_is_truncated() {
    for writer in WRITERS {
        let image = Image::new(writer);
        // The bytes after the last grain may be missing if the tables are before the grains: padding of the
        // last sector, QEMU's zeros, and the end-of-stream marker.
        let last = image.grains[3] + 12 + zlib(&guest(10)).len();
        for end in 0..image.bytes.len() {
            let step = if end % 7 == 0 { 64 } else { usize::MAX };
            match decode(&image.bytes[..end], step) {
                Ok(bytes) => {
                    assert!(writer.in_front() && end >= last, "{writer:?} ends at {end}");
                    assert_eq!(bytes, disk(&GRAINS));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Truncated, "{writer:?} at {end}: {error}"),
            }
        }
        if writer.in_front() {
            assert!(decode(&image.bytes[..last], 512).is_ok(), "{writer:?}");
        }
    }
}

#[test]
fn table_entry_past_the_end_of_the_file_is_truncated() {
    for writer in WRITERS {
        let image = Image::new(writer).with(|image| image.u32(image.tables[2] + 4, u32::MAX));
        let error = image.refused();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{writer:?}: {error}");
        assert_eq!(error.offset(), Some(u64::from(u32::MAX) * 512));
    }
}

/// A sink that discards everything.
struct Nowhere;

impl BlockSink for Nowhere {
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn zero(&self, _: std::ops::Range<u64>) -> Result<()> {
        Ok(())
    }
    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn memory_for_a_huge_disk_depends_on_its_stored_grains() {
    // 64 TiB of which the first and the last grain are stored.
    let capacity = (64_u64 << 40) / 512;
    let mut image = Image::of(Writer::Footer, &[]);
    image.bytes.truncate(512 * OVERHEAD as usize);
    image.u64(12, capacity);
    image.u64(20, 2048);
    image.u32(44, 512);
    image.put(512, &[0; 512]);
    let text = format!("version=1\ncreateType=\"streamOptimized\"\nRW {capacity} SPARSE \"a\"\n");
    image.put(512, text.as_bytes());
    let stream = zlib(&vec![3; 1 << 20]);
    let mut tables = Vec::new();
    for lba in [0, capacity - 2048] {
        let sector = image.bytes.len() / 512;
        image.grain(lba, &stream);
        image.marker(4, 1);
        tables.push((image.bytes.len() / 512) as u32);
        let mut table = vec![0; 2048];
        let slot = (lba / 2048 % 512) as usize;
        table[4 * slot..][..4].copy_from_slice(&(sector as u32).to_le_bytes());
        image.sectors(&table);
    }
    let entries = (capacity / 2048 / 512) as usize;
    image.marker(entries as u64 / 128, 2);
    let directory = image.bytes.len();
    let mut bytes = vec![0; 4 * entries];
    bytes[..4].copy_from_slice(&tables[0].to_le_bytes());
    bytes[4 * entries - 4..].copy_from_slice(&tables[1].to_le_bytes());
    image.sectors(&bytes);
    image.marker(1, 3);
    let mut footer = image.bytes[..512].to_vec();
    footer[56..64].copy_from_slice(&(directory as u64 / 512).to_le_bytes());
    image.sectors(&footer);
    image.marker(0, 0);
    let size = decode_into(&image.bytes, 4096, &Limits::default(), &Nowhere).unwrap();
    assert_eq!(size, 64 << 40);
    let small = Limits { metadata_cache: 64 << 10, ..Limits::default() };
    let error = decode_into(&image.bytes, 4096, &small, &Nowhere).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().starts_with("vmdk: "), "{error}");
}

#[test]
fn endless_tables_are_limited_by_the_budget() {
    let mut image = Image::of(Writer::Footer, &[]);
    image.bytes.truncate(512 * OVERHEAD as usize);
    for _ in 0..600 {
        image.marker(1, 1);
        image.sectors(&[0; 512]);
    }
    let limits = Limits { metadata_cache: 4096, ..Limits::default() };
    let error = decode_into(&image.bytes, 512, &limits, &MemorySink::new(1 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().starts_with("vmdk: "), "{error}");
}

#[test]
fn endless_directories_are_corrupt() {
    let mut image = Image::of(Writer::Footer, &[]);
    image.bytes.truncate(512 * OVERHEAD as usize);
    let mut last = 0;
    for _ in 0..3 {
        image.marker(1, 2);
        last = image.bytes.len();
        image.sectors(&[0; 512]);
    }
    assert_refused(&image, ErrorKind::Corrupt, last);
}
