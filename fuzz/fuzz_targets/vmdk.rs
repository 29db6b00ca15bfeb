//! Opens any bytes as VMDK, and describes, reads, maps and checks a valid image.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::vmdk(data);
});
