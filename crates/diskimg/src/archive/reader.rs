//! The disk in an OVA that is read in order.

use std::io::Read;

use diskimg_core::Result;

use super::archived_disk::ArchivedDisk;
use super::unpacker::{Unpacked, Unpacker};
use crate::opener::Opener;

/// The size of a read from the archive in bytes.
const STEP: usize = 256 << 10;

/// Reads the selected disk of an archive. It reads the archive to its end, where a second disk is detected.
pub(crate) struct DiskReader<R> {
    stream: R,
    unpacker: Unpacker,
    input: Vec<u8>,
    output: Vec<u8>,
    position: usize,
    disk: Option<ArchivedDisk>,
    ended: bool,
}

impl<R: Read> DiskReader<R> {
    pub(crate) fn new(stream: R, opener: &Opener) -> Self {
        let unpacker = Unpacker::new(opener);
        let input = vec![0; STEP];
        Self { stream, unpacker, input, output: Vec::new(), position: 0, disk: None, ended: false }
    }

    /// The disk, after its first bytes were read.
    pub(crate) fn disk(&self) -> Option<&ArchivedDisk> {
        self.disk.as_ref()
    }

    /// Reads until there is output, or the archive has ended.
    fn fill(&mut self) -> std::io::Result<()> {
        self.output.clear();
        self.position = 0;
        while self.output.is_empty() && !self.ended {
            let len = self.stream.read(&mut self.input)?;
            let Self { unpacker, input, output, disk, .. } = self;
            let mut take = |unpacked: Unpacked<'_>| -> Result<()> {
                match unpacked {
                    Unpacked::Disk(found) => *disk = Some(found),
                    Unpacked::Bytes(bytes) => output.extend_from_slice(bytes),
                    Unpacked::End => {}
                    Unpacked::Ambiguous(choice) => choice.check()?,
                }
                Ok(())
            };
            match input.get(..len).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => unpacker.push(bytes, &mut take)?,
                None => {
                    self.ended = true;
                    unpacker.finish(&mut take)?;
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for DiskReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.position == self.output.len() {
            self.fill()?;
        }
        let mut ready = self.output.get(self.position..).unwrap_or_default();
        let len = ready.read(buf)?;
        self.position = self.position.saturating_add(len);
        Ok(len)
    }
}
