//! Whether a target can be made, told before anything is touched.

use std::path::Path;
use std::sync::Arc;

use diskimg_core::{BlockSink, Error, ErrorKind, Result, Siblings, WriteOrder};
use diskimg_raw::{SinkOptions, StreamSink};

use super::sibling_files::SiblingFiles;
use super::target::{Target, TargetPlace, is_device};
use crate::null_sink::NullSink;

/// A size that every format takes, in bytes, for a disk whose size is not known yet.
const SOME_SIZE: u64 = 1 << 20;

impl Target {
    /// Whether this target can be made for a disk of `size` bytes, as far as its place, its format and its settings
    /// tell: nothing is opened, created or written. `None` for a size that is not known yet, for instance of a
    /// source that comes only once.
    ///
    /// [`Target::create`] does the same before it writes into something that is there already.
    ///
    /// # Errors
    /// As [`Target::create`].
    pub fn check(&self, size: Option<u64>) -> Result<()> {
        self.rehearse(size.unwrap_or(SOME_SIZE))
    }

    /// Makes the image as [`Target::create`] would, and writes it nowhere.
    fn rehearse(&self, size: u64) -> Result<()> {
        let (sink, siblings): (Box<dyn BlockSink>, _) = match &self.place {
            TargetPlace::Stream(_) => (Box::new(StreamSink::new(std::io::sink(), None)), None),
            TargetPlace::Path(path) if !self.writes_in_place() => (nowhere(), beside(path)),
            TargetPlace::Path(_) | TargetPlace::Sink(_) => (nowhere(), None),
        };
        let order = self.formatted(sink, Some(size), siblings)?.properties().order;
        match &self.place {
            TargetPlace::Path(path) if order == WriteOrder::Ascending && is_device(path) => {
                Err(Error::new(ErrorKind::InvalidInput)
                    .format(self.format)
                    .field(format!("target '{}'", path.display()))
                    .found("a block device")
                    .expected("a file or a stream, which end where the image ends"))
            }
            _ => Ok(()),
        }
    }
}

fn nowhere() -> Box<dyn BlockSink> {
    Box::new(NullSink(WriteOrder::Any))
}

/// Files beside the image that are not made.
fn beside(path: &Path) -> Option<Arc<dyn Siblings>> {
    let named = SiblingFiles::of(path, true, SinkOptions::default(), &Arc::default())?;
    Some(Arc::new(Unmade(named)))
}

struct Unmade(Arc<dyn Siblings>);

impl Siblings for Unmade {
    fn image_name(&self) -> &str {
        self.0.image_name()
    }

    fn create(&self, _: &str, _: Option<u64>) -> Result<Box<dyn BlockSink>> {
        Ok(nowhere())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{Format, Setting};

    fn target(path: &Path, format: &'static str, settings: &str) -> Target {
        let mut target = Target::file(path, Format::new(format));
        target.settings = Setting::parse_list(settings).unwrap();
        target.in_place = true;
        target
    }

    #[test]
    fn what_is_there_stays_when_a_setting_cannot_be_meant() {
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
    fn a_stream_is_told_by_its_format_whatever_the_size() {
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
    fn files_beside_an_image_are_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = target(&dir.path().join("disk.vmdk"), "vmdk", "subformat=twoGbMaxExtentFlat");
        target.in_place = false;
        target.check(Some(5 << 30)).unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
