//! Checks a target before anything is written.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use diskimg_core::{BlockSink, Error, ErrorKind, NullSink, Result, Setting, WriteOrder};
use diskimg_raw::{FileSource, StreamSink};

use super::in_place::check_writable;
use super::replaced_extents::replaced_extents;
use super::sibling_files::SiblingFiles;
use super::target::{Target, TargetPlace, at_path, is_device};
use super::unpublished_file::real_target;
use crate::drivers::driver_of;

/// A size in bytes that every format accepts, for a disk of unknown size.
const ANY_SIZE: u64 = 1 << 20;

impl Target {
    /// Checks that this target can be created for a disk of `size` bytes, as far as its place, format and settings show.
    /// Nothing is created or written. `None` is an unknown size, for instance of a stream.
    ///
    /// [`Target::create`] does the same before it writes into an existing file.
    ///
    /// # Errors
    /// As [`Target::create`].
    pub fn check(&self, size: Option<u64>) -> Result<()> {
        let path = self.path();
        self.check_present(path, size).map_err(|error| match path {
            Some(path) if self.writes_in_place() => at_path(error, path),
            _ => error,
        })
    }

    fn check_present(&self, path: Option<&Path>, size: Option<u64>) -> Result<()> {
        if let Some(file) = self.open_target()? {
            return self.check_existing(&file, path, size);
        }
        self.dry_run(&self.settings, size.unwrap_or(ANY_SIZE))?;
        self.check_replaced_files(size)
    }

    /// Checks that a disk of `size` bytes fits into an existing raw target.
    pub(super) fn check_stated_size(&self, size: u64) -> Result<()> {
        let Some(file) = self.open_target()?.filter(|_| self.is_raw() && self.keeps_length()) else {
            return Ok(());
        };
        let fits = self.check_room(&FileSource::new(file)?, size);
        fits.map_err(|error| self.path().map_or(error.clone(), |path| at_path(error, path)))
    }

    /// Returns true if the target is written in place and does not grow.
    fn keeps_length(&self) -> bool {
        self.in_place || self.is_on_device()
    }

    /// Checks that no other process uses a file that this target will replace or remove.
    pub(super) fn check_replaced_files(&self, size: Option<u64>) -> Result<()> {
        if !self.overwrite || self.writes_in_place() {
            return Ok(());
        }
        self.files(size)?.iter().try_for_each(|path| self.ask_lock_at(path))
    }

    /// Checks an open file or device that is written in place.
    pub(super) fn check_existing(&self, file: &File, path: Option<&Path>, size: Option<u64>) -> Result<()> {
        if let Some(image) = self.existing_image(file, path)? {
            image.check_size(size)?;
            let paths = self.dry_run(&image.settings(false), image.size())?;
            image.check_extents(&paths)?;
            check_writable(&paths)?;
            return paths.iter().try_for_each(|path| self.ask_lock_at(path));
        }
        if self.keeps_length() {
            let file = FileSource::new(file.try_clone()?)?;
            size.map_or(Ok(()), |size| self.check_room(&file, size))?;
            if path.is_some_and(is_device) {
                self.check_replaced_image(&file)?;
            }
        }
        self.dry_run(&self.settings, size.unwrap_or(ANY_SIZE)).map(drop)
    }

    /// The paths that are written, replaced or removed for a disk of `size` bytes.
    pub(super) fn files(&self, size: Option<u64>) -> Result<Vec<PathBuf>> {
        let TargetPlace::Path(path) = &self.place else { return Ok(Vec::new()) };
        let mut paths = match self.open_target().unwrap_or_default() {
            Some(file) => match self.existing_image(&file, Some(path))? {
                Some(image) => self.dry_run(&image.settings(false), image.size())?,
                None => Vec::new(),
            },
            None => {
                let replaced =
                    if self.overwrite { replaced_extents(&self.final_path(path))? } else { Vec::new() };
                [self.dry_run(&self.settings, size.unwrap_or(ANY_SIZE))?, replaced].concat()
            }
        };
        paths.push(path.clone());
        Ok(paths)
    }

    /// The path that is written: of a file to replace at the end of a symbolic link, its own path.
    fn final_path(&self, path: &Path) -> PathBuf {
        let is_replaced = self.overwrite && !self.writes_in_place();
        let real = is_replaced.then(|| real_target(path, true).ok()).flatten();
        real.unwrap_or_else(|| path.to_owned())
    }

    /// Creates the image like [`Target::create`] and stores nothing. Returns the paths of its sibling files.
    fn dry_run(&self, settings: &[Setting], size: u64) -> Result<Vec<PathBuf>> {
        let sink: Box<dyn BlockSink> = match &self.place {
            TargetPlace::Stream(_) => Box::new(StreamSink::new(std::io::sink(), None)),
            _ => Box::new(NullSink::default()),
        };
        let (created, paths) = channel();
        let create = move |path, _| -> Result<Box<dyn BlockSink>> {
            let _ = created.send(path);
            Ok(Box::new(NullSink::default()))
        };
        let siblings = match &self.place {
            TargetPlace::Path(path) if self.in_place || !self.writes_in_place() => {
                SiblingFiles::of(&self.final_path(path), Box::new(create))
            }
            _ => None,
        };
        let has_siblings = siblings.is_some();
        let sink = self.formatted(sink, settings, Some(size), siblings)?;
        if let TargetPlace::Path(path) = &self.place {
            if sink.properties().order == WriteOrder::Ascending && is_device(path) {
                return Err(Error::new(ErrorKind::InvalidInput)
                    .format(self.format)
                    .file(format!("target '{}'", path.display()))
                    .found("a block device")
                    .expected("a file or a stream, which end with the image"));
            }
        }
        // Files without data are created last. Only formats with subformats have images of several files.
        if has_siblings && driver_of(self.format)?.settings.iter().any(|help| help.name == "subformat") {
            sink.finish()?;
        }
        Ok(paths.try_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::Format;

    fn target(path: &Path, format: &'static str, settings: &str) -> Target {
        let mut target = Target::file(path, Format::new(format));
        target.settings = Setting::parse_list(settings).unwrap();
        target.in_place = true;
        target
    }

    #[test]
    fn existing_file_is_unchanged_by_an_invalid_setting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("there");
        let cases = [
            ("raw", "nosuch=1"),
            ("qcow2", "nosuch=1"),
            ("qcow2", "cluster_size=3"),
            ("vdi", "block_size=7"),
            ("vmdk", "subformat=monolithicFlat"),
            ("vmdk", "subformat=nosuch"),
        ];
        for (format, settings) in cases {
            std::fs::write(&path, [7; 4096]).unwrap();
            let target = target(&path, format, settings);
            assert!(target.check(Some(4096)).is_err(), "{format} {settings}");
            assert!(target.check(None).is_err(), "{format} {settings}");
            assert!(target.create(Some(4096)).is_err(), "{format} {settings}");
            assert_eq!(std::fs::read(&path).unwrap(), [7; 4096], "{format} {settings}");
        }
    }

    #[test]
    fn stream_target_is_checked_by_format_without_a_size() {
        let stream = |settings| {
            let mut target = Target::stream(Vec::new(), Format::new("vmdk"));
            target.settings = Setting::parse_list(settings).unwrap();
            target.check(None)
        };
        assert!(stream("subformat=streamOptimized").is_ok());
        assert_eq!(stream("subformat=monolithicSparse").unwrap_err().kind(), ErrorKind::NeedsSeek);
        assert_eq!(
            Target::stream(Vec::new(), Format::new("qcow2")).check(None).unwrap_err().kind(),
            ErrorKind::NeedsSeek
        );
    }

    #[test]
    fn check_creates_no_sibling_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = target(&dir.path().join("disk.vmdk"), "vmdk", "subformat=twoGbMaxExtentFlat");
        target.in_place = false;
        target.check(Some(5 << 30)).unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
