//! A cancelled call: the same error, in the same words, whatever was cancelled.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{Cursor, Write};
use std::sync::Arc;

use diskimg::{
    BlockSource, Cancel, CompareOptions, ConvertOptions, Error, ErrorKind, Fault, Memory, MemorySink, Opener,
    Sparse, Target, compare, convert, driver,
};

#[test]
fn cancelled_call_has_one_wording() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    let bytes: Vec<u8> = (1..=251_u8).cycle().take(3 << 20).collect();
    let disk = || Arc::new(Memory::new(bytes.clone())) as Arc<dyn BlockSource>;
    let mut opener = Opener::new();
    opener.allow_raw = true;
    let qcow2 = driver("qcow2").unwrap().format;
    let options = ConvertOptions::default();
    convert(&disk(), Target::file(&path, qcow2).create(Some(3 << 20)).unwrap(), &options, &()).unwrap();
    let image = fs::read(&path).unwrap();
    let compressed = dir.path().join("disk.qcow2.gz");
    let mut gzip =
        flate2::write::GzEncoder::new(fs::File::create(&compressed).unwrap(), flate2::Compression::fast());
    gzip.write_all(&image).unwrap();
    gzip.finish().unwrap();
    let cancel = Cancel::default();
    cancel.trigger();
    let sink = || Box::new(MemorySink::new(4 << 20));
    let mut limited = ConvertOptions::default();
    (limited.rate, limited.sparse, limited.threads) = (Some(1), Sparse::Never, 1);
    let stream = |bytes: &[u8]| opener.stream(Cursor::new(bytes.to_vec())).unwrap();
    let raw = || Target::sink(sink(), driver("raw").unwrap().format);
    let results: [(&str, Result<(), Error>); 7] = [
        ("convert", convert(&disk(), sink(), &options, &cancel).map(drop)),
        ("convert at a rate", convert(&disk(), sink(), &limited, &cancel).map(drop)),
        ("compare", compare(&disk(), &disk(), &CompareOptions::default(), &cancel).map(drop)),
        ("check", opener.check_with(&path, &cancel).map(drop)),
        ("check of a stream", stream(&image).check(&cancel).map(drop)),
        ("convert a stream", stream(&bytes).convert_to(&raw(), &options, &cancel).map(drop)),
        ("inspect", opener.inspect_with(&compressed, &cancel).map(drop)),
    ];
    for (call, result) in results {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.fault()), (ErrorKind::Cancelled, Fault::Caller), "{call}: {error}");
        assert_eq!(error.to_string(), "cancelled", "{call}");
    }
}
