//! A sink that publishes its file, together with the other files of its image.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diskimg_core::{Batch, BlockSink, HostRange, Result, SinkProperties};

use super::unpublished_file::UnpublishedFile;

/// A sink whose file is published when it is finished.
pub(super) struct PublishingSink {
    pub(super) sink: Box<dyn BlockSink>,
    pub(super) file: UnpublishedFile,
    pub(super) role: ImageFileRole,
    pub(super) durable: bool,
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
        let this = *self;
        let finished = this.sink.finish().and_then(|()| this.role.publish(this.file, this.durable));
        if finished.is_err() {
            this.role.withdraw();
        }
        finished
    }
}

/// The finished files of an image other than its main file. Those that replace a file are published only with the
/// image: until then a failure leaves the old files as they are.
#[derive(Default)]
pub(super) struct ImageFiles(Mutex<FinishedFiles>);

#[derive(Default)]
struct FinishedFiles {
    /// New files that have their names.
    published: Vec<PathBuf>,
    /// Files that will replace others.
    pending: Vec<UnpublishedFile>,
}

impl ImageFiles {
    fn lock(&self) -> MutexGuard<'_, FinishedFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The role of a file in its image.
pub(super) enum ImageFileRole {
    /// The main file, which is published last.
    Main(Arc<ImageFiles>),
    /// Another file, with its path.
    Sibling(Arc<ImageFiles>, PathBuf),
}

impl ImageFileRole {
    /// Publishes a finished file; the main file with those that wait for it.
    pub(super) fn publish(&self, file: UnpublishedFile, durable: bool) -> Result<()> {
        match self {
            Self::Main(files) => {
                let pending = std::mem::take(&mut files.lock().pending);
                pending.into_iter().try_for_each(|file| file.publish(durable))?;
                file.publish(durable)
            }
            Self::Sibling(files, _) if file.replaces() => {
                files.lock().pending.push(file);
                Ok(())
            }
            Self::Sibling(files, path) => {
                file.publish(durable)?;
                files.lock().published.push(path.clone());
                Ok(())
            }
        }
    }

    /// Removes the files that were created for an image that failed.
    pub(super) fn withdraw(&self) {
        if let Self::Main(files) = self {
            for path in files.lock().published.drain(..) {
                let _ = std::fs::remove_file(path);
            }
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
            let file = UnpublishedFile::new(&dir.path().join("disk"), false).unwrap();
            Box::new(PublishingSink { sink, file, role: ImageFileRole::Main(Arc::default()), durable: false })
        });
    }
}
