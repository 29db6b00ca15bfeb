//! The other files of an image that consists of several.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diskimg_core::{BlockSink, Error, ErrorKind, Result, Siblings};
use diskimg_raw::{FileSink, SinkOptions};

use super::atomic::{Publishing, Unpublished};

/// Makes files beside a target. A new one appears when its sink is finished, and one that replaces a file just before
/// the target.
pub(super) struct SiblingFiles {
    directory: PathBuf,
    image_name: String,
    overwrite: bool,
    options: SinkOptions,
    made: Arc<Made>,
}

/// The finished files of an image. Those that replace a file are published only with the image: until then a failure
/// leaves the old files as they are.
#[derive(Default)]
pub(super) struct Made(Mutex<MadeFiles>);

#[derive(Default)]
struct MadeFiles {
    /// New files that have their names.
    published: Vec<PathBuf>,
    /// Files that will replace others.
    pending: Vec<Unpublished>,
}

/// The place of a file in its image.
pub(super) enum Part {
    /// The image's own file, which is published last.
    Image(Arc<Made>),
    /// One of the others.
    Sibling(Arc<Made>, PathBuf),
}

impl Part {
    /// Publishes a finished file; the image's own with those that wait for it.
    pub(super) fn publish(&self, file: Unpublished, durable: bool) -> Result<()> {
        match self {
            Self::Image(made) => {
                let pending = std::mem::take(&mut made.lock().pending);
                pending.into_iter().try_for_each(|file| file.publish(durable))?;
                file.publish(durable)
            }
            Self::Sibling(made, _) if file.replaces() => {
                made.lock().pending.push(file);
                Ok(())
            }
            Self::Sibling(made, path) => {
                file.publish(durable)?;
                made.lock().published.push(path.clone());
                Ok(())
            }
        }
    }

    /// Removes the files that were made for an image that failed.
    pub(super) fn withdraw(&self) {
        if let Self::Image(made) = self {
            for path in made.lock().published.drain(..) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Made {
    fn lock(&self) -> MutexGuard<'_, MadeFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SiblingFiles {
    /// Makes files beside `target`, written as `options` say but for their sizes. `None` where the target's
    /// name is not text, from which the names of the others follow.
    pub(super) fn of(
        target: &Path,
        overwrite: bool,
        options: SinkOptions,
        made: &Arc<Made>,
    ) -> Option<Arc<dyn Siblings>> {
        let image_name = target.file_name()?.to_str()?.to_owned();
        let directory = target.parent().map(Path::to_owned).unwrap_or_default();
        Some(Arc::new(Self { directory, image_name, overwrite, options, made: Arc::clone(made) }))
    }
}

impl Siblings for SiblingFiles {
    fn image_name(&self) -> &str {
        &self.image_name
    }

    fn create(&self, name: &str, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") || name == self.image_name {
            return Err(Error::new(ErrorKind::InvalidInput)
                .field("file beside the image")
                .found_name(name.as_bytes())
                .expected("a plain name, not that of the image"));
        }
        let path = self.directory.join(name);
        let file = Unpublished::new(&path, self.overwrite)?;
        let sink = Box::new(FileSink::new(file.file()?, SinkOptions { size, ..self.options })?);
        let part = Part::Sibling(Arc::clone(&self.made), path);
        Ok(Box::new(Publishing { sink, file, part, durable: self.options.sync }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(dir: &Path, made: &Arc<Made>) -> Arc<dyn Siblings> {
        let options = SinkOptions { is_zero: true, ..SinkOptions::default() };
        SiblingFiles::of(&dir.join("disk.vmdk"), false, options, made).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_beside_the_image_appears_when_it_is_whole_and_goes_if_the_image_fails() {
        let dir = tempfile::tempdir().unwrap();
        let made = Arc::default();
        let siblings = beside(dir.path(), &made);
        assert_eq!(siblings.image_name(), "disk.vmdk");
        let sink = siblings.create("disk-flat.vmdk", Some(4096)).unwrap();
        sink.write_at(0, b"disk").unwrap();
        drop(siblings.create("disk-f002.vmdk", Some(4096)).unwrap());
        assert!(names(dir.path()).is_empty());
        sink.finish().unwrap();
        assert_eq!(names(dir.path()), ["disk-flat.vmdk"]);
        assert_eq!(dir.path().join("disk-flat.vmdk").metadata().unwrap().len(), 4096);
        Part::Image(made).withdraw();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn failed_image_removes_no_file_that_it_did_not_make() {
        let dir = tempfile::tempdir().unwrap();
        let made = Arc::default();
        std::fs::write(dir.path().join("disk-s001.vmdk"), b"old").unwrap();
        let options = SinkOptions { is_zero: true, ..SinkOptions::default() };
        let siblings = SiblingFiles::of(&dir.path().join("disk.vmdk"), true, options, &made).unwrap();
        for name in ["disk-s001.vmdk", "disk-s002.vmdk"] {
            let sink = siblings.create(name, None).unwrap();
            sink.write_at(0, b"new").unwrap();
            sink.finish().unwrap();
        }
        assert_eq!(names(dir.path()).len(), 2);
        assert_eq!(std::fs::read(dir.path().join("disk-s001.vmdk")).unwrap(), b"old");
        Part::Image(Arc::clone(&made)).withdraw();
        assert_eq!(names(dir.path()), ["disk-s001.vmdk"]);
        assert_eq!(std::fs::read(dir.path().join("disk-s001.vmdk")).unwrap(), b"old");

        let image = Unpublished::new(&dir.path().join("disk.vmdk"), true).unwrap();
        Part::Image(made).publish(image, true).unwrap();
        assert_eq!(std::fs::read(dir.path().join("disk-s001.vmdk")).unwrap(), b"new");
        assert!(dir.path().join("disk.vmdk").exists());
    }

    #[test]
    fn only_plain_names_are_made_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("there.vmdk"), b"old").unwrap();
        let siblings = beside(dir.path(), &Arc::default());
        for name in ["../x", "a/b", "", "..", "disk.vmdk", "there.vmdk"] {
            assert_eq!(siblings.create(name, None).err().unwrap().kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
}
