//! The disk in an OVA that is read from its front to its back.

use std::io::Read;

use diskimg_core::Result;

use super::ArchivedDisk;
use super::unpacker::{Piece, Unpacker};
use crate::opener::Opener;

/// Bytes of the archive that are read at a time.
const STEP: usize = 256 << 10;

/// Yields the bytes of the one disk in an archive that is read in order, and all of it: that there is no other
/// disk is known only at its end.
pub(crate) struct DiskReader<R> {
    stream: R,
    unpacker: Unpacker,
    input: Vec<u8>,
    output: Vec<u8>,
    given: usize,
    disk: Option<ArchivedDisk>,
    ended: bool,
}

impl<R: Read> DiskReader<R> {
    pub(crate) fn new(stream: R, opener: &Opener) -> Self {
        let unpacker = Unpacker::new(opener);
        let input = vec![0; STEP];
        Self { stream, unpacker, input, output: Vec::new(), given: 0, disk: None, ended: false }
    }

    /// The disk, once its first bytes were read.
    pub(crate) fn disk(&self) -> Option<&ArchivedDisk> {
        self.disk.as_ref()
    }

    /// Reads on until there is something to give, or the archive has ended.
    fn fill(&mut self) -> std::io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.ended {
            let len = self.stream.read(&mut self.input)?;
            let Self { unpacker, input, output, disk, .. } = self;
            let mut take = |piece: Piece<'_>| -> Result<()> {
                match piece {
                    Piece::Disk(found) => *disk = Some(found),
                    Piece::Bytes(bytes) => output.extend_from_slice(bytes),
                    Piece::End => {}
                    Piece::Unclear(choice) => choice.check()?,
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
        if self.given == self.output.len() {
            self.fill()?;
        }
        let ready = self.output.get(self.given..).unwrap_or_default();
        let len = ready.len().min(buf.len());
        if let (Some(from), Some(to)) = (ready.get(..len), buf.get_mut(..len)) {
            to.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(len);
        Ok(len)
    }
}
