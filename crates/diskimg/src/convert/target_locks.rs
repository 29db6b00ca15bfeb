//! Locks on the files that a target writes or replaces.

use std::fs::File;
use std::path::Path;

use diskimg_core::Result;
use diskimg_raw::{ImageLock, ImageUse};

use super::target::{Target, at_path};

impl Target {
    /// Takes the locks of a writer on a file that is written in place.
    pub(super) fn take_lock(&self, file: &File, path: &Path) -> Result<Option<ImageLock>> {
        self.lock.then(|| ImageLock::take(file, ImageUse::Write, path.display())).transpose()
    }

    /// Checks that no other process uses a file that this target will write in place.
    pub(super) fn ask_lock(&self, file: &File, path: &Path) -> Result<()> {
        if self.lock { ImageUse::Write.ask(file, path.display()) } else { Ok(()) }
    }

    /// Checks that no other process uses a file at `path`, if there is one.
    pub(super) fn ask_lock_at(&self, path: &Path) -> Result<()> {
        if self.lock { ask_lock_at(path) } else { Ok(()) }
    }
}

/// Checks that no other process uses a file at `path`, if there is one. A file that cannot be opened cannot be checked;
/// it can be replaced if its directory permits it.
pub(super) fn ask_lock_at(path: &Path) -> Result<()> {
    if !path.metadata().is_ok_and(|there| there.is_file()) {
        return Ok(());
    }
    let Ok(file) = File::open(path).or_else(|_| File::options().write(true).open(path)) else {
        return Ok(());
    };
    ImageUse::Write.ask(&file, path.display()).map_err(|error| at_path(error, path))
}
