//! The disk of an archive that is read in order.

use std::collections::VecDeque;
use std::io::Read;

use diskimg_core::{Error, ErrorKind, Result, range};

use super::disk_search::{MemberForm, StreamedDisk, Unpacked};
use super::unpacker::Unpacker;
use crate::finding_log::FindingLog;
use crate::opener::Opener;

/// The size of a read from the archive in bytes.
const STEP: usize = 256 << 10;

/// Reads the stored bytes of the selected disk of an archive. It reads the archive to its end, where a second disk is
/// detected and the manifest is compared. The findings are in its log then.
pub(crate) struct DiskReader<R> {
    stream: R,
    unpacker: Unpacker,
    input: Vec<u8>,
    output: VecDeque<MemberRun>,
    disk: Option<StreamedDisk>,
    ended: bool,
    /// The error of the archive, which every later read repeats.
    failed: Option<Error>,
    log: FindingLog,
}

/// Bytes of a member that were read.
enum MemberRun {
    /// Bytes, and the number of them that were passed on.
    Bytes(Vec<u8>, usize),
    /// The number of zeros left.
    Hole(u64),
}

impl<R: Read> DiskReader<R> {
    pub(crate) fn new(stream: R, opener: &Opener, log: FindingLog) -> Self {
        let unpacker = Unpacker::new(opener, MemberForm::Stored);
        let input = vec![0; STEP];
        Self { stream, unpacker, input, output: VecDeque::new(), disk: None, ended: false, failed: None, log }
    }

    /// Reads up to the disk.
    ///
    /// # Errors
    /// As [`Unpacker::push`] and [`Unpacker::finish`]; errors of the stream.
    pub(crate) fn find_disk(&mut self) -> Result<StreamedDisk> {
        while self.disk.is_none() && !self.ended {
            self.fill()?;
        }
        self.disk.clone().ok_or_else(|| Error::new(ErrorKind::Internal))
    }

    /// Reads the next bytes of the archive.
    fn fill(&mut self) -> std::io::Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        let len = match self.stream.read(&mut self.input) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            read => read?,
        };
        let unpacked = self.unpack(len);
        self.failed = unpacked.as_ref().err().cloned();
        Ok(unpacked?)
    }

    /// Unpacks the first `len` bytes of the input; none at the end of the stream.
    fn unpack(&mut self, len: usize) -> Result<()> {
        let Self { unpacker, input, output, disk, log, .. } = self;
        let mut take = |unpacked: Unpacked<'_>| -> Result<()> {
            match unpacked {
                Unpacked::Disk(found) => *disk = Some(found),
                Unpacked::Bytes(bytes) => output.push_back(MemberRun::Bytes(bytes.to_vec(), 0)),
                Unpacked::Hole(len) => output.push_back(MemberRun::Hole(len)),
                Unpacked::End => {}
                Unpacked::Ambiguous(error) => return Err(error),
            }
            Ok(())
        };
        match input.get(..len).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => unpacker.push(bytes, &mut take)?,
            None => {
                self.ended = true;
                unpacker.finish(&mut take)?;
                if let Some(conclusion) = unpacker.take_conclusion() {
                    log.add_late(move |virtual_size| conclusion.findings(virtual_size));
                }
            }
        }
        Ok(())
    }

    /// Moves the first bytes to `buf`.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        let Some(run) = self.output.front_mut() else { return 0 };
        let (len, is_empty) = match run {
            MemberRun::Bytes(bytes, done) => {
                let mut rest = bytes.get(*done..).unwrap_or_default();
                // Reading from memory does not fail.
                let len = rest.read(buf).unwrap_or_default();
                *done = done.saturating_add(len);
                (len, *done == bytes.len())
            }
            MemberRun::Hole(left) => {
                let len = range::buffer_len(&(0..*left)).min(buf.len());
                buf.get_mut(..len).unwrap_or_default().fill(0);
                *left = left.saturating_sub(len as u64);
                (len, *left == 0)
            }
        };
        if is_empty {
            self.output.pop_front();
        }
        len
    }
}

impl<R: Read> Read for DiskReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.output.is_empty() && !self.ended && !buf.is_empty() {
            self.fill()?;
        }
        Ok(self.take(buf))
    }
}
