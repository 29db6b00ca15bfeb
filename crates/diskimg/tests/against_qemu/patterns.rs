//! Pseudo-random writes, as commands of qemu-io and as bytes.

use std::path::Path;

use diskimg_core::conformance::Numbers;

use crate::common::qemu;

/// One write of a guest.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// This byte, repeated, which is not zero.
    Byte(u8),
    /// Explicit zeros.
    Zeros,
    /// Zeros that free the space if possible.
    Unmapped,
    /// A discard. The content of allocated clusters is undefined then, so that it has to be the first write.
    Discarded,
}

impl Write {
    fn command(&self) -> String {
        let Self { offset, len, what } = self;
        match what {
            What::Byte(byte) => format!("write -P {byte:#x} {offset} {len}"),
            What::Zeros => format!("write -z {offset} {len}"),
            What::Unmapped => format!("write -z -u {offset} {len}"),
            What::Discarded => format!("discard {offset} {len}"),
        }
    }
}

/// Writes on a disk of `size` bytes, around multiples of `unit`.
pub(crate) fn writes(seed: u64, size: u64, unit: u64, count: usize) -> Vec<Write> {
    let mut numbers = Numbers::new(seed);
    (0..count)
        .map(|_| {
            let near = numbers.below(size) / unit * unit;
            let offset = match numbers.below(3) {
                0 => near,
                1 => (near + unit).saturating_sub(1 + numbers.below(700)),
                _ => near + numbers.below(unit),
            }
            .min(size - 1);
            let len = match numbers.below(3) {
                0 => unit,
                1 => 1 + numbers.below(3 * unit),
                _ => 1 + numbers.below(5000),
            }
            .min(size - offset);
            let what = match numbers.below(8) {
                0 => What::Zeros,
                1 => What::Unmapped,
                2 => What::Discarded,
                _ => What::Byte(u8::try_from(1 + numbers.below(255)).unwrap()),
            };
            Write { offset, len, what }
        })
        .collect()
}

/// Executes the writes on an image with qemu-io.
pub(crate) fn write_all(directory: &Path, name: &str, writes: &[Write]) {
    let commands: Vec<String> = writes.iter().map(Write::command).collect();
    let mut arguments = vec!["-f", "qcow2", "-d", "unmap"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(name);
    qemu(directory, "qemu-io", &arguments);
}

/// The bytes of a disk after the writes; discarded bytes read as zeros here.
pub(crate) fn bytes(size: u64, writes: &[Write]) -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(size).unwrap()];
    for Write { offset, len, what } in writes {
        let start = usize::try_from(*offset).unwrap();
        let range = start..start + usize::try_from(*len).unwrap();
        disk[range].fill(if let What::Byte(byte) = what { *byte } else { 0 });
    }
    disk
}

/// A disk of text, noise and zeros: some clusters compress well, some do not.
pub(crate) fn mixed(seed: u64, size: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut disk = Vec::new();
    while (disk.len() as u64) < size {
        let len = usize::try_from(1 + numbers.below(size / 9)).unwrap();
        match numbers.below(3) {
            0 => disk.resize(disk.len() + len, 0),
            1 => disk.extend((0..len).map(|_| u8::try_from(numbers.below(256)).unwrap())),
            _ => disk.extend(b"all work and no play ".iter().cycle().take(len)),
        }
    }
    disk.truncate(usize::try_from(size).unwrap());
    disk
}
