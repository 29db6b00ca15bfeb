//! Describes any bytes as qcow2.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::qcow2_inspect(data);
});
