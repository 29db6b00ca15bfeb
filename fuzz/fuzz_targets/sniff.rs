//! Detects the format of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::sniff(data);
});
