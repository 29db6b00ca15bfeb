//! Host files as sources, for the tests of the format crates, which do no file I/O.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSource, HostRange, Location, Result, check_range};

/// A host file that reports the location of its bytes.
pub(crate) struct HostFile(File, u64);

impl HostFile {
    pub(crate) fn open(path: &Path) -> Arc<dyn BlockSource> {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let size = file.metadata().unwrap().len();
        Arc::new(Self(file, size))
    }
}

impl BlockSource for HostFile {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.1)?;
        Ok(self.0.read_exact_at(buf, offset)?)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        if range.end > self.1 {
            return Location::default();
        }
        let host = HostRange { file: &self.0, offset: range.start, len: range.end - range.start };
        Location { host: Some(host), bytes: None }
    }
}
