//! The layouts of all writers.

use diskimg_core::conformance::painted;
use diskimg_core::{CreateOptions, ErrorKind, Limits, MemorySink, Setting, SinkProperties, WriteOrder};
use diskimg_vmdk::DRIVER;

use crate::image::*;

#[test]
fn stream_of_every_writer_is_decoded_in_chunks_of_any_size() {
    for writer in WRITERS {
        let image = Image::new(writer);
        for step in [1, 2, 7, 511, 512, 513, 4096, 65_536, usize::MAX] {
            assert_eq!(decode(&image.bytes, step).unwrap(), disk(&GRAINS), "{writer:?} in chunks of {step}");
        }
    }
}

#[test]
fn stream_without_grains_is_zeros() {
    for writer in WRITERS {
        assert_eq!(Image::of(writer, &[]).decode().unwrap(), disk(&[]), "{writer:?}");
    }
}

#[test]
fn stream_of_our_own_writer_is_decoded() {
    let bytes: Vec<u8> = painted(7, 3 << 20);
    let sink = MemorySink::new(8 << 20);
    let options = CreateOptions {
        virtual_size: bytes.len() as u64,
        settings: Setting::parse_list("subformat=streamOptimized").unwrap(),
        ..CreateOptions::default()
    };
    let writer = (DRIVER.create.unwrap())(Box::new(sink.clone()), &options).unwrap();
    writer.write_at(1 << 20, &bytes[1 << 20..]).unwrap();
    writer.finish().unwrap();
    let mut expected = bytes;
    expected[..1 << 20].fill(0);
    for step in [513, 65_536, usize::MAX] {
        assert!(decode(&sink.bytes(), step).unwrap() == expected, "in chunks of {step}");
    }
}

#[test]
fn grains_in_any_order_are_decoded() {
    for writer in WRITERS {
        let image = Image::of(writer, &[9, 0, 10, 3, 1]);
        assert_eq!(image.decode().unwrap(), disk(&[0, 1, 3, 9, 10]), "{writer:?}");
    }
}

#[test]
fn ascending_target_receives_the_gaps_too() {
    for writer in WRITERS {
        let pipe = Pipe::new();
        assert_eq!(pipe_order(&pipe), WriteOrder::Ascending);
        decode_into(&Image::new(writer).bytes, 600, &Limits::default(), &pipe).unwrap();
        assert_eq!(pipe.disk.bytes(), disk(&GRAINS), "{writer:?}");
    }
}

fn pipe_order(pipe: &dyn diskimg_core::BlockSink) -> WriteOrder {
    pipe.properties().order
}

#[test]
fn grains_out_of_order_need_a_target_that_can_seek() {
    let image = Image::of(Writer::Qemu, &[0, 3, 1]);
    let error = decode_into(&image.bytes, 512, &Limits::default(), &Pipe::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{error}");
    assert_eq!(error.offset(), Some(image.grains[2] as u64), "{error}");
    assert_eq!(error.guest_offset(), Some(512 * GRAIN), "{error}");
}

#[test]
fn last_grain_may_be_padded_to_a_whole_one() {
    let mut last = guest(10);
    last.resize(512 * GRAIN as usize, 0);
    for writer in WRITERS {
        let image = Image::with_streams(writer, &[(10, zlib(&last))]);
        assert_eq!(image.decode().unwrap(), disk(&[10]), "{writer:?}");
    }
}

#[test]
fn compressed_data_may_be_longer_than_the_grain() {
    let bytes = guest(0);
    let stored: Vec<u8> = bytes
        .chunks(100)
        .flat_map(|piece| {
            let len = piece.len() as u16;
            [&[0], &len.to_le_bytes()[..], &(!len).to_le_bytes(), piece].concat()
        })
        .collect();
    let whole = zlib(&bytes);
    // Blocks without compression, then an empty last one.
    let stream = [&[0x78, 0x01], &stored[..], &[1, 0, 0, 0xFF, 0xFF], &whole[whole.len() - 4..]].concat();
    assert!(stream.len() > bytes.len());
    let image = Image::with_streams(Writer::Footer, &[(0, stream)]);
    assert_eq!(image.decode().unwrap(), disk(&[0]));
}

#[test]
fn progress_marker_is_skipped_anywhere() {
    let mut image = Image::new(Writer::OpenVmdk);
    let end = image.bytes.len() - 512;
    image.bytes.truncate(end);
    image.marker(2, 4);
    image.sectors(&[0xEE; 1024]);
    image.marker(0, 4);
    image.marker(0, 0);
    assert_eq!(image.decode().unwrap(), disk(&GRAINS));
}

#[test]
fn table_entry_of_1_is_not_a_grain() {
    for writer in WRITERS {
        let image = Image::new(writer).with(|image| image.u32(image.tables[0] + 4, 1));
        assert_eq!(image.decode().unwrap(), disk(&GRAINS), "{writer:?}");
    }
}

#[test]
fn table_without_grains_is_accepted() {
    let mut image = Image::new(Writer::Qemu);
    image.u32(image.directory + 4, 6);
    assert_eq!(image.decode().unwrap(), disk(&GRAINS));
}

#[test]
fn descriptor_makes_the_disk_smaller_by_less_than_a_grain_only() {
    let line = Image::new(Writer::Footer).bytes.windows(9).position(|bytes| bytes == b"RDONLY 85").unwrap();
    let image = Image::new(Writer::Footer).with(|image| image.put(line, b"RDONLY 83"));
    let mut expected = disk(&GRAINS);
    expected.truncate(512 * 83);
    assert_eq!(image.decode().unwrap(), expected);
    // A grain past the end is compared with its table and not written.
    let image = Image::new(Writer::Footer).with(|image| image.put(line, b"RDONLY 79"));
    expected.truncate(512 * 79);
    assert_eq!(image.decode().unwrap(), expected);
    for other in [b"RDONLY 77", b"RDONLY 00", b"RDONLY 99"] {
        let image = Image::new(Writer::Footer).with(|image| image.put(line, other));
        assert_eq!(image.decode().unwrap(), disk(&GRAINS), "the size in the header, as in QEMU");
    }
}

#[test]
fn zeros_inside_a_grain_are_not_written() {
    struct Written(MemorySink, std::sync::Mutex<u64>);
    impl diskimg_core::BlockSink for Written {
        fn write_at(&self, offset: u64, data: &[u8]) -> diskimg_core::Result<()> {
            *self.1.lock().unwrap() += data.len() as u64;
            self.0.write_at(offset, data)
        }
        fn zero(&self, range: std::ops::Range<u64>) -> diskimg_core::Result<()> {
            self.0.zero(range)
        }
        fn properties(&self) -> SinkProperties {
            SinkProperties::default()
        }
        fn finish(self: Box<Self>) -> diskimg_core::Result<()> {
            Ok(())
        }
    }
    let image = Image::with_streams(Writer::Footer, &[(0, zlib(&[0; 4096])), (1, zlib(&guest(1)))]);
    let sink = Written(MemorySink::new(1 << 20), std::sync::Mutex::new(0));
    decode_into(&image.bytes, 512, &Limits::default(), &sink).unwrap();
    assert_eq!(sink.0.bytes(), disk(&[1]));
    assert_eq!(*sink.1.lock().unwrap(), 4096);
}

#[test]
fn partial_sector_of_zeros_at_the_end_is_accepted() {
    for writer in WRITERS {
        let mut image = Image::new(writer);
        image.bytes.extend([0; 77]);
        assert_eq!(image.decode().unwrap(), disk(&GRAINS), "{writer:?}");
    }
}
