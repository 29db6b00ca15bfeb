//! The files of an image other than its main file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg_core::{BlockSink, Cancel, Error, ErrorKind, Result, Siblings};
use diskimg_raw::{FileSink, SinkOptions};

use super::publishing_sink::{ImageFileRole, ImageFiles, PublishingSink};
#[cfg(test)]
use super::unfinished_files::UnfinishedFiles;

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

/// The way in which new files beside a target are written.
pub(super) struct CreateSibling {
    pub(super) overwrite: bool,
    /// The options except for the size.
    pub(super) options: SinkOptions,
    pub(super) cancel: Option<Arc<Cancel>>,
}

/// New files in the directory of `target`. A file appears when its sink is finished, one that replaces a file just before
/// the target.
pub(super) fn new_siblings(
    target: &Path,
    how: CreateSibling,
    files: Arc<ImageFiles>,
) -> Option<Arc<dyn Siblings>> {
    let create = move |path: PathBuf, size| -> Result<Box<dyn BlockSink>> {
        let file = files.create(&path, how.overwrite)?;
        let options = SinkOptions { size, ..how.options };
        let sink = Box::new(FileSink::cancellable(file.file()?, options, how.cancel.clone())?);
        let role = ImageFileRole::Sibling(Arc::clone(&files));
        Ok(Box::new(PublishingSink { sink, file, role }))
    };
    SiblingFiles::of(target, Box::new(create))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_files() -> Arc<ImageFiles> {
        Arc::new(ImageFiles::new(UnfinishedFiles::default(), true, true))
    }

    fn siblings_in(dir: &Path, overwrite: bool, files: &Arc<ImageFiles>) -> Arc<dyn Siblings> {
        let options = SinkOptions { is_zero: true, ..SinkOptions::default() };
        let how = CreateSibling { overwrite, options, cancel: None };
        new_siblings(&dir.join("disk.vmdk"), how, Arc::clone(files)).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn sibling_file_appears_when_complete_and_is_removed_if_the_image_fails() {
        let dir = tempfile::tempdir().unwrap();
        let files = image_files();
        let siblings = siblings_in(dir.path(), false, &files);
        assert_eq!(siblings.image_name(), "disk.vmdk");
        let sink = siblings.create("disk-flat.vmdk", Some(4096)).unwrap();
        sink.write_at(0, b"disk").unwrap();
        drop(siblings.create("disk-f002.vmdk", Some(4096)).unwrap());
        assert!(names(dir.path()).is_empty());
        sink.finish().unwrap();
        assert_eq!(names(dir.path()), ["disk-flat.vmdk"]);
        assert_eq!(dir.path().join("disk-flat.vmdk").metadata().unwrap().len(), 4096);
        drop((siblings, files));
        assert!(names(dir.path()).is_empty());
    }

    /// Writes an image of a main file and 100 others, more than are kept open.
    fn finish_siblings(dir: &Path, files: &Arc<ImageFiles>) {
        let siblings = siblings_in(dir, true, files);
        for index in 1..=100 {
            let sink = siblings.create(&format!("disk-s{index:03}.vmdk"), None).unwrap();
            sink.write_at(0, b"new").unwrap();
            sink.finish().unwrap();
        }
    }

    #[test]
    fn failed_image_removes_no_file_that_it_did_not_make() {
        let dir = tempfile::tempdir().unwrap();
        let old = |name: &str| std::fs::read(dir.path().join(name)).unwrap() == b"old";
        std::fs::write(dir.path().join("disk.vmdk"), b"old").unwrap();
        let replaced: Vec<String> = (1..=80).map(|index| format!("disk-s{index:03}.vmdk")).collect();
        replaced.iter().for_each(|name| std::fs::write(dir.path().join(name), b"old").unwrap());
        let before = names(dir.path());

        let files = image_files();
        finish_siblings(dir.path(), &files);
        assert!(replaced.iter().all(|name| old(name)));
        drop(files);
        assert_eq!(names(dir.path()), before);
        assert!(replaced.iter().all(|name| old(name)));

        let files = image_files();
        finish_siblings(dir.path(), &files);
        let main = files.create(&dir.path().join("disk.vmdk"), true).unwrap();
        std::io::Write::write_all(&mut main.file().unwrap(), b"new").unwrap();
        let sink = Box::new(diskimg_core::MemorySink::new(1 << 20));
        let role = ImageFileRole::Main(Arc::clone(&files));
        (Box::new(PublishingSink { sink, file: main, role }) as Box<dyn BlockSink>).finish().unwrap();
        assert_eq!(names(dir.path()).len(), 101);
        for name in names(dir.path()) {
            assert_eq!(std::fs::read(dir.path().join(&name)).unwrap(), b"new", "{name}");
        }
    }

    #[test]
    fn sibling_files_have_plain_names_and_overwrite_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("there.vmdk"), b"old").unwrap();
        let siblings = siblings_in(dir.path(), false, &image_files());
        for name in ["../x", "a/b", "", "..", "disk.vmdk"] {
            assert_eq!(siblings.create(name, None).err().unwrap().kind(), ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(siblings.create("there.vmdk", None).err().unwrap().kind(), ErrorKind::Exists);
    }
}
