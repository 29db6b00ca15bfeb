//! A directory for the files of an image.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;

use diskimg_core::{Memory, OpenOptions, Reference, Resolver, Result, Siblings, SinkProperties, WriteOrder};
use tempfile::TempDir;

use super::*;
use crate::Vmdk;

pub(super) const NAME: &str = "disk.vmdk";

/// A directory that is removed after the test.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(TempDir::new().unwrap()))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(super) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// All files and their bytes, by name.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let names = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.into_iter().map(|name| (name.clone(), self.read(&name))).collect()
    }

    /// The image's own file.
    pub(super) fn sink(&self) -> Box<dyn BlockSink> {
        Box::new(HostSink::new(&self.path(NAME), None, None))
    }
}

impl Siblings for Folder {
    fn image_name(&self) -> &str {
        NAME
    }

    fn create(&self, name: &str, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        let temporary = self.path(&format!("{name}.part"));
        Ok(Box::new(HostSink::new(&temporary, size, Some(self.path(name)))))
    }
}

/// Opens files of the folder by their names.
impl Resolver for Folder {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn diskimg_core::BlockSource>> {
        Ok(Arc::new(Memory::new(self.read(&reference.name_lossy()))))
    }
}

/// Asserts that the check of this crate finds no problem.
#[track_caller]
pub(super) fn clean(folder: &Folder) {
    let options = OpenOptions { resolver: folder, ..OpenOptions::default() };
    let check = crate::DRIVER.check.unwrap();
    let report = check(Arc::new(Memory::new(folder.read(NAME))), &options).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Opens the image with this crate.
pub(super) fn open(folder: &Folder) -> Vmdk {
    let options = OpenOptions { resolver: folder, ..OpenOptions::default() };
    Vmdk::open(Arc::new(Memory::new(folder.read(NAME))), &options).unwrap()
}

/// A host file being written. It is renamed to its final name when it is finished.
struct HostSink {
    file: File,
    /// The end of the bytes written; the rest reads as zeros.
    written: Mutex<u64>,
    size: Option<u64>,
    names: Option<(PathBuf, PathBuf)>,
}

impl HostSink {
    fn new(path: &std::path::Path, size: Option<u64>, published: Option<PathBuf>) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(size.unwrap_or(0)).unwrap();
        let names = published.map(|published| (path.to_owned(), published));
        Self { file, written: Mutex::new(0), size, names }
    }

    fn check(&self, end: u64) {
        assert!(self.size.is_none_or(|size| end <= size), "a write up to {end} of {:?}", self.size);
    }
}

impl BlockSink for HostSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let end = offset + data.len() as u64;
        self.check(end);
        let mut written = self.written.lock().unwrap();
        *written = end.max(*written);
        Ok(self.file.write_all_at(data, offset)?)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.check(range.end);
        let written = self.written.lock().unwrap();
        let old = range.start..range.end.min(*written);
        let len = usize::try_from(old.end.saturating_sub(old.start)).unwrap();
        self.file.write_all_at(&vec![0; len], range.start)?;
        if self.file.metadata()?.len() < range.end {
            self.file.set_len(range.end)?;
        }
        Ok(())
    }

    fn copy_from(&self, offset: u64, from: diskimg_core::HostRange<'_>) -> Result<bool> {
        let mut bytes = vec![0; usize::try_from(from.len).unwrap()];
        from.file.read_exact_at(&mut bytes, from.offset)?;
        self.write_at(offset, &bytes)?;
        Ok(true)
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        if let Some((temporary, published)) = &self.names {
            std::fs::rename(temporary, published)?;
        }
        Ok(())
    }
}

/// A pipe in memory. Panics if the offsets do not ascend.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl BlockSink for Pipe {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        assert!(offset >= bytes.len(), "a write at {offset}, before {}", bytes.len());
        bytes.resize(offset, 0);
        bytes.extend(data);
        Ok(())
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.write_at(range.start, &vec![0; usize::try_from(range.end - range.start).unwrap()])
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties { order: WriteOrder::Ascending, ..SinkProperties::default() }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
