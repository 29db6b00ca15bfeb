//! Converts any bytes as a stream, and compares with a file of the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::stream_convert(data);
});
