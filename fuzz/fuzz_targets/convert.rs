//! Opens any image, converts it to qcow2 in memory and compares.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::convert(data);
});
