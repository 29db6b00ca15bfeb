//! Opens any bytes as VMDK, describes, reads, maps and checks what opens.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::vmdk(data);
});
