//! Opens any bytes as VDI, and describes, reads, maps and checks a valid image.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::vdi(data);
});
