//! A sink that publishes its file, together with the other files of its image.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diskimg_core::{Batch, BlockSink, HostRange, Result, SinkProperties};

use super::publication::Publication;
use super::replaced_extents::replaced_extents;
use super::target_locks::ask_lock_at;
use super::unfinished_files::UnfinishedFiles;
use super::unpublished_file::UnpublishedFile;

/// A sink whose file is published when it is finished.
pub(super) struct PublishingSink {
    pub(super) sink: Box<dyn BlockSink>,
    pub(super) file: UnpublishedFile,
    pub(super) role: ImageFileRole,
}

impl BlockSink for PublishingSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.sink.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.sink.zero(range)
    }
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.sink.copy_from(offset, from)
    }
    fn properties(&self) -> SinkProperties {
        self.sink.properties()
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        self.sink.batch()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        let Self { sink, file, role } = *self;
        sink.finish()?;
        role.publish(file)
    }
}

/// The most finished files that are open. The others are closed, and have temporary names until the image is complete:
/// a process can have only so many open files. Our limit.
const MAX_OPEN: usize = 64;

/// The files of an image. They get their names with the main file, or before it if they replace none. If the image
/// fails, they are removed, and the old files are as they were.
pub(super) struct ImageFiles {
    finished: Mutex<FinishedFiles>,
    unfinished: UnfinishedFiles,
    durable: bool,
    lock: bool,
}

#[derive(Default)]
struct FinishedFiles {
    published: Publication,
    /// Files that will replace others.
    pending: Vec<UnpublishedFile>,
}

impl ImageFiles {
    /// The files of an image that has none yet. If `durable`, all names are on stable storage when the image is
    /// published; the caller syncs the data before.
    ///
    /// If `lock`, no file that another process uses is replaced.
    pub(super) fn new(unfinished: UnfinishedFiles, durable: bool, lock: bool) -> Self {
        Self { finished: Mutex::default(), unfinished, durable, lock }
    }

    /// Creates a file of the image.
    pub(super) fn create(&self, path: &Path, overwrite: bool) -> Result<UnpublishedFile> {
        UnpublishedFile::new(path, overwrite, &self.unfinished)
    }

    fn lock(&self) -> MutexGuard<'_, FinishedFiles> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes a file other than the main one, or keeps it until the main file is published.
    fn add(&self, file: UnpublishedFile) -> Result<()> {
        let mut finished = self.lock();
        if !file.replaces() {
            let _publishing = self.unfinished.publish()?;
            return finished.published.link(file);
        }
        let file = if finished.pending.len() < MAX_OPEN { file } else { file.close()? };
        finished.pending.push(file);
        Ok(())
    }

    /// Publishes the main file, with all that waits for it.
    fn publish(&self, main: UnpublishedFile) -> Result<()> {
        let mut finished = self.lock();
        let _publishing = self.unfinished.publish()?;
        match finished.publish(main, self.durable, self.lock) {
            Ok(()) => {
                finished.published.complete();
                Ok(())
            }
            Err(error) => Err(finished.published.revert(error)),
        }
    }
}

impl FinishedFiles {
    fn publish(&mut self, main: UnpublishedFile, durable: bool, lock: bool) -> Result<()> {
        let (target, handle) = (main.target().to_owned(), main.file()?);
        let replaced = if main.replaces() { replaced_extents(&target)? } else { Vec::new() };
        if lock {
            // Another process may have begun to use one during the conversion.
            let pending = self.pending.iter().map(UnpublishedFile::target);
            pending
                .chain(replaced.iter().map(PathBuf::as_path))
                .chain([&*target])
                .try_for_each(ask_lock_at)?;
        }
        main.keep_access()?;
        self.pending.iter().try_for_each(UnpublishedFile::keep_access)?;
        let sync = |published: &Publication| if durable { published.sync(&target, &handle) } else { Ok(()) };
        if !self.pending.is_empty() {
            // Without the old main file, no image consists of old and new files at any moment.
            self.published.retire(&target)?;
            sync(&self.published)?;
        }
        for file in self.pending.drain(..) {
            let path = file.target().to_owned();
            self.published.retire(&path)?;
            self.published.link(file)?;
            if durable && path.parent() != target.parent() {
                self.published.sync(&path, &handle)?;
            }
        }
        if !self.published.is_empty() {
            sync(&self.published)?;
        }
        self.published.link_main(main)?;
        for path in replaced {
            if !self.published.contains(&path) {
                self.published.retire(&path)?;
            }
        }
        sync(&self.published)
    }
}

/// The role of a file in its image.
pub(super) enum ImageFileRole {
    /// The main file, which is published last.
    Main(Arc<ImageFiles>),
    /// Another file.
    Sibling(Arc<ImageFiles>),
}

impl ImageFileRole {
    /// Publishes a finished file; the main file with those that wait for it.
    fn publish(&self, file: UnpublishedFile) -> Result<()> {
        match self {
            Self::Main(files) => files.publish(file),
            Self::Sibling(files) => files.add(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_sink_forwards_the_properties_of_its_sink() {
        let dir = tempfile::tempdir().unwrap();
        diskimg_core::conformance::forwards_properties(&|sink| {
            let unfinished = UnfinishedFiles::default();
            let file = UnpublishedFile::new(&dir.path().join("disk"), false, &unfinished).unwrap();
            let files = Arc::new(ImageFiles::new(unfinished, false, false));
            Box::new(PublishingSink { sink, file, role: ImageFileRole::Main(files) })
        });
    }
}
