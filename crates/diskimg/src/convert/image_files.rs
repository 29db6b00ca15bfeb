//! The files of an image that are published together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diskimg_core::Result;

use super::unpublished_file::UnpublishedFile;

/// The finished files of an image besides its main file. Those that replace a file are published only with the image:
/// until then a failure leaves the old files as they are.
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
