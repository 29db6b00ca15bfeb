//! Opens any bytes as VDI, describes, reads, maps and checks what opens.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::vdi(data);
});
