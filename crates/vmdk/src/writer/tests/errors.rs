//! Rejected calls, and images that are not finished.

use diskimg_core::{CreateOptions, ErrorKind, MemorySink, Siblings};

use super::folder::Pipe;
use super::tools::{has, run};
use super::*;

fn rejected(options: &WriterOptions) -> diskimg_core::Error {
    let folder = Folder::new();
    ImageWriter::new(folder.sink(), options, Some(folder as _)).err().unwrap()
}

#[test]
fn invalid_options_are_rejected() {
    let good = WriterOptions { virtual_size: 1 << 20, ..WriterOptions::default() };
    let stream = WriterOptions { subformat: Subformat::StreamOptimized, ..good.clone() };
    let flat = WriterOptions { subformat: Subformat::MonolithicFlat, ..good.clone() };
    let table = [
        (WriterOptions { virtual_size: 0, ..good.clone() }, "virtual_size"),
        (WriterOptions { virtual_size: u64::MAX, ..flat.clone() }, "virtual_size"),
        (WriterOptions { virtual_size: i64::MAX as u64, ..flat.clone() }, "virtual_size"),
        (WriterOptions { virtual_size: 1 << 51, ..good.clone() }, "virtual_size"),
        (WriterOptions { grain_size: 5000, ..good.clone() }, "grain_size"),
        (WriterOptions { grain_size: 5000, ..flat.clone() }, "grain_size"),
        (WriterOptions { cid: Some(u32::MAX), ..good.clone() }, "cid"),
        (WriterOptions { level: Some(6), ..good }, "level"),
        (WriterOptions { level: Some(6), ..flat.clone() }, "level"),
        (WriterOptions { zeroed_grain: true, ..stream.clone() }, "zeroed_grain"),
        (WriterOptions { zeroed_grain: true, ..flat }, "zeroed_grain"),
        (WriterOptions { level: Some(10), ..stream.clone() }, "level"),
        (WriterOptions { level: Some(0), ..stream }, "level"),
    ];
    for (options, field) in table {
        let error = rejected(&options);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn disk_of_too_many_files_is_rejected_before_any_is_created() {
    let folder = Folder::new();
    let subformat = Subformat::TwoGbMaxExtentFlat;
    let options = WriterOptions { virtual_size: 9 << 40, subformat, ..WriterOptions::default() };
    let error = ImageWriter::new(folder.sink(), &options, Some(Arc::clone(&folder) as _)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(folder.files().len(), 1, "the image's own");
}

#[test]
fn subformat_of_several_files_needs_siblings() {
    for subformat in Subformat::ALL.into_iter().filter(|subformat| subformat.has_siblings()) {
        let options = WriterOptions { virtual_size: 512, subformat, ..WriterOptions::default() };
        let error = ImageWriter::new(Box::new(MemorySink::new(1 << 20)), &options, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("needs files beside it"), "{error}");
    }
}

#[test]
fn only_stream_optimized_is_written_to_a_pipe() {
    for subformat in Subformat::ALL {
        let options = WriterOptions { virtual_size: 512, subformat, ..WriterOptions::default() };
        let made = ImageWriter::new(Box::new(Pipe::default()), &options, Some(Folder::new() as _));
        match made {
            Ok(_) => assert_eq!(subformat, Subformat::StreamOptimized),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{error}"),
        }
    }
}

#[test]
fn stream_optimized_rejects_descending_offsets() {
    let options = WriterOptions {
        virtual_size: 1 << 20,
        subformat: Subformat::StreamOptimized,
        ..WriterOptions::default()
    };
    for back in [0_u64, 99_999] {
        let folder = Folder::new();
        let writer = writer_in(&folder, &options);
        writer.write_at(0, &[1; 100_000]).unwrap();
        let error = writer.write_at(back, &[2]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsSeek, "{error}");
        assert_eq!(Box::new(writer).finish().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn range_past_the_end_is_out_of_bounds_and_changes_nothing() {
    for subformat in Subformat::ALL {
        let options = WriterOptions { virtual_size: 1000, subformat, ..WriterOptions::default() };
        let folder = Folder::new();
        let writer = writer_in(&folder, &options);
        assert_eq!(writer.write_at(999, &[1; 2]).unwrap_err().kind(), ErrorKind::OutOfBounds);
        assert_eq!(writer.write_at(u64::MAX, &[1]).unwrap_err().kind(), ErrorKind::OutOfBounds);
        assert_eq!(writer.zero(0..1001).unwrap_err().kind(), ErrorKind::OutOfBounds);
        writer.write_at(999, &[1]).unwrap();
        writer.write_at(1000, &[]).unwrap();
        Box::new(writer).finish().unwrap();
    }
}

#[test]
fn writer_dropped_without_finish_leaves_no_valid_image() {
    if !has("qemu-img") {
        return;
    }
    let disk = mixed(1_000_000, 2);
    for subformat in Subformat::ALL {
        let folder = Folder::new();
        let writer = writer_in(&folder, &options_for(&disk, subformat));
        writer.write_at(0, &disk).unwrap();
        drop(writer);
        let opened = run("qemu-img", &["info", "-f", "vmdk"], &[&folder.path(NAME)]);
        assert!(!opened.status.success(), "{subformat:?}");
        assert!(folder.files().iter().all(|(name, _)| name == NAME || name.ends_with(".part")));
    }
    let pipe = Pipe::default();
    let options = options_for(&disk, Subformat::StreamOptimized);
    let writer = ImageWriter::new(Box::new(pipe.clone()), &options, None).unwrap();
    writer.write_at(0, &disk).unwrap();
    drop(writer);
    let folder = Folder::new();
    std::fs::write(folder.path(NAME), pipe.bytes()).unwrap();
    assert!(!run("qemu-img", &["info", "-f", "vmdk"], &[&folder.path(NAME)]).status.success());
}

#[test]
fn unwritten_segment_prevents_finish() {
    let disk = mixed(200_000, 2);
    for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
        let folder = Folder::new();
        let writer = writer_in(&folder, &options_for(&disk, subformat));
        let mut batch = writer.batch().unwrap();
        let segment = Segment { offset: 0, len: disk.len() as u64, bytes: &disk, zeros: &[] };
        batch.prepare(&segment).unwrap();
        batch.place(&segment).unwrap();
        drop(batch);
        assert_eq!(Box::new(writer).finish().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn range_completed_by_a_batch_cannot_be_rewritten() {
    let disk = mixed(5 << 20, 2);
    let options = WriterOptions { grain_size: 4096, ..options_for(&disk, Subformat::MonolithicSparse) };
    let folder = Folder::new();
    let writer = writer_in(&folder, &options);
    batched(&writer, &disk, 1 << 20, 1);
    assert_eq!(writer.write_at(0, &[1; 10]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Box::new(writer).finish().unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// Creates no files.
struct NoSiblings(&'static str);

impl Siblings for NoSiblings {
    fn image_name(&self) -> &str {
        self.0
    }
    fn create(&self, _: &str, _: Option<u64>) -> diskimg_core::Result<Box<dyn BlockSink>> {
        Err(diskimg_core::Error::new(ErrorKind::Io).because("no files are created"))
    }
}

#[test]
fn name_that_breaks_the_descriptor_is_rejected_only_if_it_is_stored_there() {
    let sink = || Box::new(MemorySink::new(1 << 20));
    for subformat in Subformat::ALL {
        let options = WriterOptions { virtual_size: 512, subformat, ..WriterOptions::default() };
        let made = ImageWriter::new(sink(), &options, Some(Arc::new(NoSiblings("a\"b.vmdk"))));
        match made {
            Ok(_) => assert!(!subformat.has_siblings()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
    }
    let flat =
        WriterOptions { virtual_size: 512, subformat: Subformat::MonolithicFlat, ..WriterOptions::default() };
    let error = ImageWriter::new(sink(), &flat, Some(Arc::new(NoSiblings("a.vmdk")))).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io, "a failure to create a file is reported immediately");
}

#[test]
fn create_function_of_the_driver_creates_all_files() {
    let folder = Folder::new();
    let options = CreateOptions {
        virtual_size: 1_000_000,
        settings: diskimg_core::Setting::parse_list("subformat=monolithicFlat").unwrap(),
        siblings: Some(Arc::clone(&folder) as _),
        ..CreateOptions::default()
    };
    crate::create(folder.sink(), &options).unwrap().finish().unwrap();
    let names: Vec<String> = folder.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["disk-flat.vmdk", "disk.vmdk"]);
    assert_eq!(folder.read("disk-flat.vmdk").len(), 1_000_448);
}
