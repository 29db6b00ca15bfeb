//! The files of an image other than its main file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg_core::{BlockSink, Error, ErrorKind, Result, Siblings};
use diskimg_raw::{FileSink, SinkOptions};

use super::publishing_sink::{ImageFileRole, ImageFiles, PublishingSink};
use super::unpublished_file::UnpublishedFile;

/// Creates the file at a path, of a given size or growing.
type CreateFileFn = dyn Fn(PathBuf, Option<u64>) -> Result<Box<dyn BlockSink>> + Send + Sync;

/// The files in the directory of an image.
pub(super) struct SiblingFiles {
    directory: PathBuf,
    image_name: String,
    create: Box<CreateFileFn>,
}

impl SiblingFiles {
    /// The files in the directory of `target`, created by `create`. `None` if the name of the target, from which their
    /// names derive, is not UTF-8.
    pub(super) fn of(target: &Path, create: Box<CreateFileFn>) -> Option<Arc<dyn Siblings>> {
        let image_name = target.file_name()?.to_str()?.to_owned();
        let directory = target.parent().map(Path::to_owned).unwrap_or_default();
        Some(Arc::new(Self { directory, image_name, create }))
    }
}

impl Siblings for SiblingFiles {
    fn image_name(&self) -> &str {
        &self.image_name
    }

    fn create(&self, name: &str, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") || name == self.image_name {
            return Err(Error::new(ErrorKind::InvalidInput)
                .field("sibling file")
                .found_name(name.as_bytes())
                .expected("a plain name that is not that of the image"));
        }
        (self.create)(self.directory.join(name), size)
    }
}

/// New files in the directory of `target`, written with `options` except for their sizes. A file appears when its sink
/// is finished, one that replaces a file just before the target.
pub(super) fn new_siblings(
    target: &Path,
    overwrite: bool,
    options: SinkOptions,
    files: Arc<ImageFiles>,
) -> Option<Arc<dyn Siblings>> {
    let create = move |path: PathBuf, size| -> Result<Box<dyn BlockSink>> {
        let file = UnpublishedFile::new(&path, overwrite)?;
        let sink = Box::new(FileSink::new(file.file()?, SinkOptions { size, ..options })?);
        let role = ImageFileRole::Sibling(Arc::clone(&files), path);
        Ok(Box::new(PublishingSink { sink, file, role, durable: options.sync }))
    };
    SiblingFiles::of(target, Box::new(create))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn siblings_in(dir: &Path, made: &Arc<ImageFiles>) -> Arc<dyn Siblings> {
        let options = SinkOptions { is_zero: true, ..SinkOptions::default() };
        new_siblings(&dir.join("disk.vmdk"), false, options, Arc::clone(made)).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn sibling_file_appears_when_complete_and_is_removed_if_the_image_fails() {
        let dir = tempfile::tempdir().unwrap();
        let made = Arc::default();
        let siblings = siblings_in(dir.path(), &made);
        assert_eq!(siblings.image_name(), "disk.vmdk");
        let sink = siblings.create("disk-flat.vmdk", Some(4096)).unwrap();
        sink.write_at(0, b"disk").unwrap();
        drop(siblings.create("disk-f002.vmdk", Some(4096)).unwrap());
        assert!(names(dir.path()).is_empty());
        sink.finish().unwrap();
        assert_eq!(names(dir.path()), ["disk-flat.vmdk"]);
        assert_eq!(dir.path().join("disk-flat.vmdk").metadata().unwrap().len(), 4096);
        ImageFileRole::Main(made).withdraw();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn failed_image_removes_no_file_that_it_did_not_make() {
        let dir = tempfile::tempdir().unwrap();
        let made: Arc<ImageFiles> = Arc::default();
        std::fs::write(dir.path().join("disk-s001.vmdk"), b"old").unwrap();
        let options = SinkOptions { is_zero: true, ..SinkOptions::default() };
        let siblings = new_siblings(&dir.path().join("disk.vmdk"), true, options, Arc::clone(&made)).unwrap();
        for name in ["disk-s001.vmdk", "disk-s002.vmdk"] {
            let sink = siblings.create(name, None).unwrap();
            sink.write_at(0, b"new").unwrap();
            sink.finish().unwrap();
        }
        assert_eq!(names(dir.path()).len(), 2);
        assert_eq!(std::fs::read(dir.path().join("disk-s001.vmdk")).unwrap(), b"old");
        ImageFileRole::Main(Arc::clone(&made)).withdraw();
        assert_eq!(names(dir.path()), ["disk-s001.vmdk"]);
        assert_eq!(std::fs::read(dir.path().join("disk-s001.vmdk")).unwrap(), b"old");

        let image = UnpublishedFile::new(&dir.path().join("disk.vmdk"), true).unwrap();
        ImageFileRole::Main(made).publish(image, true).unwrap();
        assert_eq!(std::fs::read(dir.path().join("disk-s001.vmdk")).unwrap(), b"new");
        assert!(dir.path().join("disk.vmdk").exists());
    }

    #[test]
    fn sibling_files_have_plain_names_and_overwrite_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("there.vmdk"), b"old").unwrap();
        let siblings = siblings_in(dir.path(), &Arc::default());
        for name in ["../x", "a/b", "", "..", "disk.vmdk", "there.vmdk"] {
            assert_eq!(siblings.create(name, None).err().unwrap().kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
}
