//! Streams made by `qemu-img`.

#[path = "../../../../tests/qemu/tools.rs"]
mod tools;

use diskimg_core::conformance::Numbers;
use diskimg_core::{Limits, MemorySink};

use crate::image::decode_into;
use tools::{have_qemu, qemu};

/// A disk of text, noise and zeros of 512 bytes to 64 KiB each.
fn mixed(size: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(size as u64);
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let len = 512 * (1 + numbers.below(128)) as usize;
        match numbers.below(3) {
            0 => bytes.resize(bytes.len() + 3 * len, 0),
            1 => bytes.extend(b"all work and no play ".iter().cycle().take(len)),
            _ => bytes.extend((0..len).map(|_| numbers.below(256) as u8)),
        }
    }
    bytes.truncate(size);
    bytes
}

#[test]
fn stream_of_qemu_img_decodes_to_its_source() {
    if !have_qemu() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sizes = [512, 65_536 - 512, 65_536, 65_536 + 512, 3 << 20, (33 << 20) + 1536];
    for size in sizes {
        let bytes = mixed(size);
        std::fs::write(directory.path().join("disk.raw"), &bytes).unwrap();
        for more in [&[][..], &["-W", "-m", "8"]] {
            let args = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"];
            let args = [&args[..], more, &["disk.raw", "disk.vmdk"]].concat();
            qemu(directory.path(), "qemu-img", &args);
            let image = std::fs::read(directory.path().join("disk.vmdk")).unwrap();
            for step in [513, 65_536, 1 << 20] {
                let sink = MemorySink::new(64 << 20);
                let got = decode_into(&image, step, &Limits::default(), &sink).unwrap();
                assert_eq!(got, size as u64);
                assert!(sink.bytes() == bytes, "{size} bytes, {more:?}, in chunks of {step}");
            }
        }
    }
}
