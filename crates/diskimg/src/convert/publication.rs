//! Giving the files of an image their names: all of them, or none.

use std::fs::File;
use std::path::{Path, PathBuf};

use diskimg_core::{Error, ErrorKind, Result};

use super::directory_calls::{directory_of, exchange, rename_new, sync_directory, with_temporary_name};
use super::unpublished_file::{ReplacedFile, UnpublishedFile, about};

/// The changes of names that an image has made so far. They are reverted when this is dropped before it is complete.
///
/// At each moment the old image is whole, or its main file has no name and nothing opens under it, or the new image is
/// whole.
#[derive(Default)]
pub(super) struct Publication(Vec<NameChange>);

enum NameChange {
    /// A new file other than the main one has this name.
    New(PathBuf),
    /// The new main file has this name, which was free.
    NewMain(PathBuf),
    /// The new main file has the name `target`. The old file has the name `old`.
    Exchanged { target: PathBuf, old: PathBuf },
    /// The new main file has the name of an old file, which is gone.
    Replaced,
    /// No file has the name `target`. The old file has the name `old`.
    Retired { target: PathBuf, old: PathBuf },
}

impl Publication {
    /// Returns true if no name was changed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a new file has this name.
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.0.iter().any(|change| match change {
            NameChange::New(name)
            | NameChange::NewMain(name)
            | NameChange::Exchanged { target: name, .. } => name == path,
            NameChange::Replaced | NameChange::Retired { .. } => false,
        })
    }

    /// Gives a file other than the main one its name, which must be free.
    pub(super) fn link(&mut self, file: UnpublishedFile) -> Result<()> {
        let target = file.target().to_owned();
        file.link().map_err(|error| about(error, &target))?;
        self.0.push(NameChange::New(target));
        Ok(())
    }

    /// Gives the main file its name. If another file has it, they change places in one step.
    pub(super) fn link_main(&mut self, file: UnpublishedFile) -> Result<()> {
        let target = file.target().to_owned();
        self.0.push(match file.replace().map_err(|error| about(error, &target))? {
            ReplacedFile::At(old) => NameChange::Exchanged { target, old },
            ReplacedFile::None => NameChange::NewMain(target),
            ReplacedFile::Gone => NameChange::Replaced,
        });
        Ok(())
    }

    /// Gives an old file a temporary name, if it exists.
    pub(super) fn retire(&mut self, target: &Path) -> Result<()> {
        if target.symlink_metadata().is_err() {
            return Ok(());
        }
        let renamed = with_temporary_name(target, |old| rename_new(target, old));
        let (old, ()) = renamed.map_err(|error| about(error, target))?;
        self.0.push(NameChange::Retired { target: target.to_owned(), old });
        Ok(())
    }

    /// Waits until the changes in the directory of `target` are on stable storage. `file` is on the same file system.
    pub(super) fn sync(&self, target: &Path, file: &File) -> Result<()> {
        sync_directory(directory_of(target), file).map_err(|error| about(error, target))
    }

    /// Removes the old files. If one cannot be removed, it keeps its temporary name: the new image is complete.
    pub(super) fn complete(&mut self) {
        for change in self.0.drain(..) {
            if let NameChange::Exchanged { old, .. } | NameChange::Retired { old, .. } = change {
                let _ = std::fs::remove_file(old);
            }
        }
    }

    /// Reverts the changes, the last one first, and returns `error`. If a change cannot be reverted, those before it
    /// stay, because the old image would not be whole, and the error says so.
    pub(super) fn revert(&mut self, error: Error) -> Error {
        while let Some(change) = self.0.pop() {
            if let Err(state) = change.revert() {
                self.0.clear();
                return error.because(state);
            }
        }
        error
    }
}

impl NameChange {
    /// Reverts the change, or describes the files if it cannot be reverted.
    fn revert(self) -> std::result::Result<(), String> {
        const COMPLETE: &str = "the new image is complete, but its name may not be on stable storage";
        match self {
            Self::New(name) => {
                // The main file is gone already, so that this one only occupies space.
                let _ = std::fs::remove_file(name);
                Ok(())
            }
            Self::NewMain(name) => std::fs::remove_file(name).map_err(|_| COMPLETE.to_owned()),
            Self::Replaced => Err(COMPLETE.to_owned()),
            Self::Exchanged { target, old } => match exchange(&old, &target) {
                Ok(true) => {
                    let _ = std::fs::remove_file(old);
                    Ok(())
                }
                _ => Err(format!("{COMPLETE}; the old one is now named '{}'", old.display())),
            },
            Self::Retired { target, old } => std::fs::rename(&old, &target).map_err(|_| {
                format!("'{}' could not be restored, and is now named '{}'", target.display(), old.display())
            }),
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        let unfinished = Error::new(ErrorKind::Internal);
        let _ = self.revert(unfinished);
    }
}
