//! Probes any bytes in chunks, as a whole, and as a file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::probe(data);
});
