//! Decompresses any bytes as zstd, in chunks of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    diskimg_fuzz::zst(data);
});
