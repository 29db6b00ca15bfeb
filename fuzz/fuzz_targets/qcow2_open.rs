//! Opens any bytes as qcow2 and reads, maps and re-reads what opens.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::qcow2_open(data);
});
