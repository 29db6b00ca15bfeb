use std::collections::VecDeque;
use std::io::{self, Read, Write};

use diskimg_core::{Error, ErrorKind, Limits};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::words;
use crate::{DecompressReader, Decompressor, Wrapper};

/// Returns `data` compressed with each wrapper.
fn files(data: &[u8]) -> [(Wrapper, Vec<u8>); 3] {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(6));
    gzip.write_all(data).unwrap();
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(data).unwrap();
    [
        (Wrapper::Gzip, gzip.finish().unwrap()),
        (Wrapper::Xz, xz.finish().unwrap()),
        (Wrapper::Zstd, zstd::encode_all(data, 3).unwrap()),
    ]
}

/// Returns its answers one after the other, split at the size of the buffer, and then the end forever.
struct Script(VecDeque<io::Result<Vec<u8>>>);

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.pop_front() {
            None => Ok(0),
            Some(Err(error)) => Err(error),
            Some(Ok(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(buf.len()));
                if !rest.is_empty() {
                    self.0.push_front(Ok(rest));
                }
                buf[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
    }
}

fn reader_of<R: Read>(file: R, wrapper: Wrapper) -> DecompressReader<R> {
    DecompressReader::new(file, Decompressor::new(wrapper, &Limits::default()).unwrap())
}

#[test]
fn reader_returns_the_disk_with_buffers_of_any_size() {
    let disk = words(1, 500_000);
    for (wrapper, file) in files(&disk) {
        for len in [1000, 4096, 128 << 10, 1 << 20] {
            let mut reader = reader_of(&file[..], wrapper);
            let (mut back, mut buf) = (Vec::new(), vec![0; len]);
            loop {
                assert_eq!(reader.read(&mut []).unwrap(), 0);
                match reader.read(&mut buf).unwrap() {
                    0 => break,
                    got => back.extend_from_slice(&buf[..got]),
                }
            }
            assert!(back == disk, "{wrapper}");
            assert_eq!(reader.read(&mut buf).unwrap(), 0);
            assert!(reader.into_inner().is_empty());
        }
    }
}

#[test]
fn short_and_interrupted_reads_change_nothing() {
    let disk = words(2, 50_000);
    for (wrapper, file) in files(&disk) {
        let mut script = VecDeque::new();
        for piece in file.chunks(7) {
            script.push_back(Err(io::ErrorKind::Interrupted.into()));
            script.push_back(Ok(piece.to_vec()));
        }
        let mut back = Vec::new();
        let mut reader = reader_of(Script(script), wrapper);
        reader.read_to_end(&mut back).unwrap();
        assert!(back == disk, "{wrapper}");
    }
}

#[test]
fn reading_continues_after_an_error_of_the_reader() {
    let disk = words(3, 50_000);
    for (wrapper, file) in files(&disk) {
        let mut script = VecDeque::new();
        for piece in file.chunks(1001) {
            script.push_back(Err(io::ErrorKind::WouldBlock.into()));
            script.push_back(Ok(piece.to_vec()));
            script.push_back(Err(io::Error::from_raw_os_error(5)));
        }
        let mut reader = reader_of(Script(script), wrapper);
        let (mut back, mut buf, mut errors) = (Vec::new(), [0; 777], 0);
        loop {
            match reader.read(&mut buf) {
                Ok(0) => break,
                Ok(len) => back.extend_from_slice(&buf[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => errors += 1,
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(5));
                    errors += 1;
                }
            }
        }
        assert!(back == disk, "{wrapper}");
        assert_eq!(errors, 2 * file.len().div_ceil(1001));
    }
}

#[test]
fn pending_output_is_returned_before_more_input_is_read() {
    let disk = vec![7; 1 << 20];
    let (wrapper, file) = files(&disk)[0].clone();
    let failing = io::Error::from(io::ErrorKind::WouldBlock);
    let script = VecDeque::from([Ok(file), Err(failing)]);
    let mut reader = reader_of(Script(script), wrapper);
    let mut back = vec![0; 1 << 20];
    for piece in back.chunks_mut(10_000) {
        reader.read_exact(piece).unwrap();
    }
    assert!(back == disk);
    assert_eq!(reader.read(&mut back).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(reader.read(&mut back).unwrap(), 0);
}

#[test]
fn input_that_ends_early_is_truncated() {
    for (wrapper, file) in files(&words(4, 50_000)) {
        for len in [0, 3, file.len() / 2, file.len() - 1] {
            let mut reader = reader_of(&file[..len], wrapper);
            let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{wrapper}, {len} bytes");
            let error = Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Truncated);
            assert_eq!(error.format_name(), Some(wrapper.format()));
            assert_eq!(error.offset(), Some(len as u64));
            let again = Error::from(reader.read(&mut [0]).unwrap_err());
            assert_eq!(again.kind(), ErrorKind::InvalidInput, "an error must not turn into an end");
        }
    }
}

#[test]
fn reader_that_claims_too_many_bytes_is_an_error() {
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            Ok(buf.len() + 1)
        }
    }
    let mut reader = reader_of(Liar, Wrapper::Gzip);
    assert_eq!(reader.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::Other);
}

#[test]
fn finished_decompressor_accepts_no_more_input() {
    for (wrapper, file) in files(b"disk") {
        let mut decompressor = Decompressor::new(wrapper, &Limits::default()).unwrap();
        let mut disk = Vec::new();
        let mut keep = |piece: &[u8]| {
            disk.extend_from_slice(piece);
            Ok(())
        };
        assert_eq!(decompressor.wrapper(), wrapper);
        decompressor.push(&file, &mut keep).unwrap();
        decompressor.push(&[], &mut keep).unwrap();
        decompressor.finish(&mut keep).unwrap();
        decompressor.finish(&mut keep).unwrap();
        let error = decompressor.push(&file, &mut keep).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(disk, b"disk");
    }
}

#[test]
fn codecs_are_send() {
    fn sends<T: Send>() {}
    sends::<Decompressor>();
    sends::<DecompressReader<io::Empty>>();
}
