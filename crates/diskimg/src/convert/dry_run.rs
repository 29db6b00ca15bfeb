//! Checks a target before anything is written.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::{BlockSink, Error, ErrorKind, Result, Setting, Siblings, WriteOrder};
use diskimg_raw::{SinkOptions, StreamSink};

use super::sibling_files::SiblingFiles;
use super::target::{Target, TargetPlace, at_path, is_device};
use crate::drivers::driver_of;
use crate::null_sink::NullSink;

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
            if let Some(image) = self.existing_image(&file, path)? {
                image.check_size(size)?;
                let names = self.dry_run(&image.settings(false), image.size())?;
                return image.check_extents(&names);
            }
            if let Some(size) = size.filter(|_| self.is_raw()) {
                self.check_room(file, size)?;
            }
        }
        self.dry_run(&self.settings, size.unwrap_or(ANY_SIZE)).map(drop)
    }

    /// The paths that are written, replaced or removed for a disk of `size` bytes.
    pub(super) fn files(&self, size: Option<u64>) -> Result<Vec<PathBuf>> {
        let TargetPlace::Path(path) = &self.place else { return Ok(Vec::new()) };
        let names = match self.open_target().unwrap_or_default() {
            Some(file) => match self.existing_image(&file, Some(path))? {
                Some(image) => self.dry_run(&image.settings(false), image.size())?,
                None => Vec::new(),
            },
            None => self.dry_run(&self.settings, size.unwrap_or(ANY_SIZE))?,
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        let siblings = names.iter().map(|name| directory.join(name));
        Ok(std::iter::once(path.clone()).chain(siblings).collect())
    }

    /// Creates the image like [`Target::create`] and stores nothing. Returns the names of its sibling files.
    fn dry_run(&self, settings: &[Setting], size: u64) -> Result<Vec<String>> {
        let sink: Box<dyn BlockSink> = match &self.place {
            TargetPlace::Stream(_) => Box::new(StreamSink::new(std::io::sink(), None)),
            _ => null_sink(),
        };
        let siblings = match &self.place {
            TargetPlace::Path(path) if self.in_place || !self.writes_in_place() => sibling_names(path),
            _ => None,
        };
        let dynamic = siblings.clone().map(|siblings| siblings as Arc<dyn Siblings>);
        let sink = self.formatted(sink, settings, Some(size), dynamic)?;
        match &self.place {
            TargetPlace::Path(path)
                if sink.properties().order == WriteOrder::Ascending && is_device(path) =>
            {
                return Err(Error::new(ErrorKind::InvalidInput)
                    .format(self.format)
                    .field(format!("target '{}'", path.display()))
                    .found("a block device")
                    .expected("a file or a stream, which end with the image"));
            }
            _ => {}
        }
        let Some(siblings) = siblings else { return Ok(Vec::new()) };
        // Files without data are created last. Only formats with subformats have images of several files.
        if driver_of(self.format)?.settings.iter().any(|help| help.name == "subformat") {
            sink.finish()?;
        }
        Ok(siblings.names())
    }
}

fn null_sink() -> Box<dyn BlockSink> {
    Box::new(NullSink(WriteOrder::Any))
}

fn sibling_names(path: &Path) -> Option<Arc<SiblingNames>> {
    let named = SiblingFiles::of(path, true, SinkOptions::default(), &Arc::default())?;
    Some(Arc::new(SiblingNames { named, names: Mutex::default() }))
}

/// Records the names of sibling files and creates none.
struct SiblingNames {
    named: Arc<dyn Siblings>,
    names: Mutex<Vec<String>>,
}

impl SiblingNames {
    fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Siblings for SiblingNames {
    fn image_name(&self) -> &str {
        self.named.image_name()
    }

    fn create(&self, name: &str, _: Option<u64>) -> Result<Box<dyn BlockSink>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        Ok(null_sink())
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
