//! Converts any bytes as they are pushed, and compares with their file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::stream_convert(data);
});
