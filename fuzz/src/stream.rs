//! Streams: the result is the same for any chunk size, and the same as for a file.

use std::sync::Arc;

use diskimg::{
    ConvertOptions, ErrorKind, Memory, MemorySink, Opener, ProbeReport, Prober, Result, Spool, StreamConvert,
    Target, driver,
};

use crate::limits;

/// Returns the options in the first byte: an opener without threads, raw allowed or not, and the chunk size.
fn instructions(how: u8) -> (Opener, usize) {
    let mut opener = Opener::new();
    opener.limits = limits();
    opener.threads = 1;
    opener.allow_raw = how & 1 == 1;
    (opener, 1 + usize::from(how) * 37)
}

fn probed(opener: &Opener, stream: &[u8], step: usize) -> ProbeReport {
    let mut prober = Prober::with(opener);
    for chunk in stream.chunks(step) {
        prober.push(chunk);
    }
    prober.finish()
}

/// Probes a stream in chunks and as a whole, and compares. An uncompressed image is also compared with its file.
pub fn probe(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else { return };
    let (opener, step) = instructions(how);
    let whole = probed(&opener, stream, usize::MAX);
    assert_eq!(format!("{whole:?}"), format!("{:?}", probed(&opener, stream, step)));
    if whole.wrapper.is_some() {
        return;
    }
    match (whole.image, opener.inspect_source(&Memory::new(stream.to_vec())).map(|found| found.info)) {
        (Ok(mut pushed), Ok(file)) => {
            // Data that passed before it was needed is reported as a finding, and may be missing in lists.
            if pushed.findings.iter().any(|finding| finding.check == "not_seen") {
                return;
            }
            // Only a file is searched for tables, which may be anywhere, and the probe does not follow an image past the
            // limit to its end.
            if stream.len() as u64 <= opener.limits.virtual_size {
                assert!(pushed.findings.iter().all(|finding| file.findings.contains(finding)));
            }
            pushed.findings.clone_from(&file.findings);
            assert_eq!(pushed, file);
        }
        (Err(pushed), Err(file)) => assert_eq!(pushed.kind(), file.kind(), "{pushed}, {file}"),
        (pushed, file) => panic!("{pushed:?} as a stream, {file:?} from a file"),
    }
}

fn converted(opener: &Opener, stream: &[u8], step: usize) -> Result<Vec<u8>> {
    let sink = MemorySink::new(16 << 20);
    let mut conversion = StreamConvert::new(opener, Box::new(sink.clone()));
    for chunk in stream.chunks(step) {
        conversion.push(chunk)?;
    }
    conversion.finish(&())?;
    Ok(sink.bytes())
}

fn converted_from_file(opener: &Opener, file: &[u8]) -> Result<Vec<u8>> {
    let disk = opener.open_source(Arc::new(Memory::new(file.to_vec())))?;
    let sink = MemorySink::new(16 << 20);
    let target = Target::sink(Box::new(sink.clone()), driver("raw")?.format);
    let mut options = ConvertOptions::default();
    options.threads = 1;
    disk.convert_to(&target, &options, &())?;
    Ok(sink.bytes())
}

/// Converts a stream in chunks and as a whole. Both give the same error, or the bytes of the file.
pub fn stream_convert(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else { return };
    let (mut opener, step) = instructions(how);
    opener.spool = Spool::Never;
    opener.limits.metadata_cache = 16 << 10 << (how & 6);
    let chunked = converted(&opener, stream, step.max(64));
    let whole = converted(&opener, stream, usize::MAX);
    assert_eq!(chunked.as_ref().map_err(|e| e.to_string()), whole.as_ref().map_err(|e| e.to_string()));
    if stream.is_empty() {
        // A file of zero bytes can be a disk. A stream of zero bytes has lost its content.
        assert!(whole.is_err());
        return;
    }
    // Opening a compressed file needs a temporary file, a stream does not.
    opener.spool = Spool::default();
    match (whole, converted_from_file(&opener, stream)) {
        (Ok(pushed), Ok(file)) => assert!(pushed == file, "a stream gives other bytes than a file"),
        (Err(error), Ok(_)) => {
            // Reading a VMDK by its tables does not detect errors between the tables.
            let unseen = error.format_name().is_some_and(|format| format.name() == "vmdk")
                && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated);
            assert!(unseen || matches!(error.kind(), ErrorKind::NeedsSeek | ErrorKind::Limit), "{error}");
        }
        // Only a compressed image can exceed a limit as a file alone.
        (Ok(_), Err(error)) => assert_eq!(error.kind(), ErrorKind::Limit, "{error}"),
        (Err(_), Err(_)) => {}
    }
}
