//! Opens any bytes as qcow2, and reads and maps a valid image.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::qcow2_open(data);
});
