//! Targets that exist and are written in place.

use std::fmt::Display;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use diskimg_core::{BlockSink, BlockSource, Cancel, Error, ErrorKind, Remedy, Result, ensure};
use diskimg_raw::{FileSink, FileSource, ImageLock, ImageUse, SinkOptions, StoredZeros, open_target};

use super::existing_image::ExistingImage;
use super::padded_sink::PaddedSink;
use super::sibling_files::SiblingFiles;
use super::target::{Target, TargetPlace, at_path};
use crate::inspection::allocated;
use crate::sniff::looks_like_image;

impl Target {
    /// Begins to write into an open file or device, after [`Target::check`].
    pub(super) fn write_into(
        &self,
        file: File,
        lock: Option<ImageLock>,
        path: Option<&Path>,
        size: Option<u64>,
    ) -> Result<Box<dyn BlockSink>> {
        let Some(image) = self.existing_image(&file, path)? else {
            let there = file.metadata()?;
            // The length of a block device is 0, whatever it contains.
            let is_empty = there.is_file() && there.len() == 0 && !self.in_place;
            let options = SinkOptions {
                is_zero: self.is_zero || is_empty,
                keep_length: self.is_raw() && self.in_place,
                ends_last: !is_empty,
                ..self.sink_options(size)
            };
            let sink = Box::new(FileSink::cancellable(file, options, self.cancel.clone())?.with_lock(lock));
            return self.formatted(sink, &self.settings, size, None);
        };
        let is_allocated = image.check_empty()?;
        let settings = image.settings(is_allocated && !self.compress);
        let keeps_blocks = is_allocated && has_blocks(&file.metadata()?, image.size());
        let options = keeping_blocks(self.sink_options(None), keeps_blocks);
        // The other files are written after this one has no header, and before it has one again.
        let own_options = SinkOptions { ends_last: true, ..options };
        let is_locked = lock.is_some();
        let cancel = self.cancel.clone();
        let existing =
            move |path: PathBuf, size| existing_file(&path, size, options, is_locked, cancel.clone());
        let siblings = path.and_then(|path| SiblingFiles::of(path, Box::new(existing)));
        let sink = Box::new(FileSink::cancellable(file, own_options, self.cancel.clone())?.with_lock(lock));
        let sink = self.formatted(sink, &settings, Some(image.size()), siblings)?;
        Ok(Box::new(PaddedSink::new(sink, image.size())))
    }

    /// The image that is rewritten, if this target is one.
    pub(super) fn existing_image(&self, file: &File, path: Option<&Path>) -> Result<Option<ExistingImage>> {
        if !self.in_place || self.is_raw() {
            return Ok(None);
        }
        if let Some(setting) = self.settings.first() {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(self.format)
                .field(format!("option {}", setting.name))
                .because("-o has no effect on an existing image, which keeps its own settings"));
        }
        ExistingImage::open(self.format, file.try_clone()?, path).map(Some)
    }

    /// Opens the existing file or device that this target writes in place, for reading. It must not be in use.
    pub(super) fn open_target(&self) -> Result<Option<File>> {
        Ok(match &self.place {
            TargetPlace::Path(path) if self.writes_in_place() => {
                let file = open_target(path, false)?;
                self.ask_lock(&file, path)?;
                Some(file)
            }
            TargetPlace::File(file) => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.as_ref().map(File::try_clone).transpose()?
            }
            _ => None,
        })
    }

    /// Checks that a raw disk of `size` bytes, or a new image for it, fits into the existing file or device.
    pub(super) fn check_room(&self, file: &FileSource, size: u64) -> Result<()> {
        let room = file.size();
        if self.is_raw() {
            return fits(size, room, format_args!("at least the disk's {size} bytes"));
        }
        // An image without data: some of the disk may be zeros.
        match self.measure_empty(size) {
            Ok(empty) => {
                let needed = empty.required;
                fits(
                    needed,
                    room,
                    format_args!("at least {needed} bytes for a disk of {size} bytes without data"),
                )
            }
            Err(_) => Ok(()),
        }
    }

    /// Checks that a block device holds no image that a new image would replace.
    pub(super) fn check_replaced_image(&self, device: &FileSource) -> Result<()> {
        if self.overwrite || self.is_raw() {
            return Ok(());
        }
        match looks_like_image(device)? {
            None => Ok(()),
            Some(image) => Err(Error::new(ErrorKind::Exists)
                .because(format_args!("the block device holds an image already ({image})"))
                .with_remedy(Remedy::Force)),
        }
    }
}

fn fits(needed: u64, room: u64, expected: impl Display) -> Result<()> {
    let error =
        || Error::new(ErrorKind::InvalidInput).found(format_args!("{room} bytes long")).expected(expected);
    ensure(needed <= room, error)
}

/// Checks that the other files of an existing image can be written.
pub(super) fn check_writable(paths: &[PathBuf]) -> Result<()> {
    paths.iter().try_for_each(|path| open_existing(path).map(drop))
}

fn open_existing(path: &Path) -> Result<(File, Metadata)> {
    let named = |error: Error| error.file(format!("target '{}'", path.display()));
    let there = path.symlink_metadata().map_err(|error| named(error.into()))?;
    if !there.is_file() {
        return Err(named(Error::new(ErrorKind::InvalidInput).expected("a regular file")));
    }
    let file = File::options().read(true).write(true).open(path).map_err(|error| named(error.into()))?;
    Ok((file, there))
}

/// Opens an existing file of an image of several files to write into it.
fn existing_file(
    path: &Path,
    size: Option<u64>,
    options: SinkOptions,
    is_locked: bool,
    cancel: Option<Arc<Cancel>>,
) -> Result<Box<dyn BlockSink>> {
    let (file, there) = open_existing(path)?;
    let lock = is_locked.then(|| ImageLock::take(&file, ImageUse::Write, path.display())).transpose();
    let lock = lock.map_err(|error| at_path(error, path))?;
    let options = keeping_blocks(SinkOptions { size, ..options }, has_blocks(&there, there.len()));
    Ok(Box::new(FileSink::cancellable(file, options, cancel)?.with_lock(lock)))
}

/// Returns the options with zeros that keep the blocks of a file which has all of them.
fn keeping_blocks(options: SinkOptions, has_blocks: bool) -> SinkOptions {
    let least = if has_blocks { StoredZeros::Allocated } else { StoredZeros::Deallocated };
    SinkOptions { zeros: options.zeros.max(least), ..options }
}

/// Returns true if a file has blocks for `bytes`: it was preallocated.
fn has_blocks(file: &Metadata, bytes: u64) -> bool {
    file.is_file() && bytes > 0 && allocated(file).is_some_and(|allocated| allocated >= bytes)
}
