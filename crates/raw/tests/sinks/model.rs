//! Random writes compared with a model.

use std::fs::{self, File};

use diskimg_core::conformance::painted;
use diskimg_core::{BlockSink, HostRange};
use diskimg_raw::{FileSink, Preallocation, SinkOptions};
use proptest::prelude::*;

use super::{STORED_ZEROS, copying, dir_with_path, dirty_file};

#[derive(Clone, Debug)]
enum Step {
    Write(u64, usize, u8),
    Zero(u64, u64),
    Copy(u64, u64, u64),
}

/// Slightly more than four pages, so that most ranges share a page.
const MODEL: u64 = 17_000;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..MODEL, 0_usize..9000, 1_u8..255).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        2 => (0..MODEL, 0_u64..9000).prop_map(|(at, len)| Step::Zero(at, len)),
        1 => (0..MODEL, 0_u64..8192, 0_u64..8192).prop_map(|(at, from, len)| Step::Copy(at, from, len)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_writes_match_a_model(
        steps in proptest::collection::vec(step(), 0..20),
        options in (any::<bool>(), 0..3_usize, any::<bool>(), any::<bool>(), 0..3, any::<bool>()),
    ) {
        let (fixed, zeros, direct, fresh, preallocation, ends_last) = options;
        let (dir, path) = dir_with_path();
        let from_bytes = painted(9, 8192);
        fs::write(dir.path().join("from"), &from_bytes).unwrap();
        let from = File::open(dir.path().join("from")).unwrap();
        let options = SinkOptions {
            size: fixed.then_some(MODEL),
            zeros: STORED_ZEROS[zeros],
            write_through: direct && fresh,
            direct,
            sync: false,
            ends_last,
            preallocation: match (fixed, preallocation) {
                (true, 1) => Preallocation::Falloc,
                (true, 2) => Preallocation::Full,
                _ => Preallocation::Off,
            },
            ..copying()
        };
        let sink = if fresh {
            FileSink::create_new(&path, options).unwrap()
        } else {
            FileSink::new(dirty_file(&path), options).unwrap()
        };
        let mut model: Vec<u8> = if fixed { vec![0; usize::try_from(MODEL).unwrap()] } else { Vec::new() };
        let mut put = |at: u64, bytes: &[u8]| {
            let at = usize::try_from(at).unwrap();
            if !bytes.is_empty() {
                model.resize(model.len().max(at + bytes.len()), 0);
                model[at..at + bytes.len()].copy_from_slice(bytes);
            }
        };
        for step in steps {
            match step {
                Step::Write(at, len, byte) => {
                    let bytes = vec![byte; len.min(usize::try_from(MODEL - at).unwrap())];
                    sink.write_at(at, &bytes).unwrap();
                    put(at, &bytes);
                }
                Step::Zero(at, len) => {
                    let len = len.min(MODEL - at);
                    sink.zero(at..at + len).unwrap();
                    put(at, &vec![0; usize::try_from(len).unwrap()]);
                }
                Step::Copy(at, offset, len) => {
                    let len = len.min(MODEL - at).min(8192 - offset);
                    if sink.copy_from(at, HostRange { file: &from, offset, len }).unwrap() {
                        put(at, &from_bytes[usize::try_from(offset).unwrap()..][..usize::try_from(len).unwrap()]);
                    }
                }
            }
        }
        Box::new(sink).finish().unwrap();
        let got = fs::read(&path).unwrap();
        prop_assert_eq!(got.len(), model.len());
        prop_assert_eq!(got.iter().zip(&model).position(|(a, b)| a != b), None);
    }
}
