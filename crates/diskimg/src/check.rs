//! Checking the structure of an image.

use std::path::Path;
use std::sync::Arc;

use diskimg_core::{
    BlockSource, CheckReport, Error, ErrorKind, Fault, Finding, Format, ImageInfo, LimitKind, OpenOptions,
    Progress, Result,
};

use crate::archive::ArchivedDisk;
use crate::below::{FilesBelow, PARENT_MISMATCH};
use crate::finding_log::merge;
use crate::opened_files::{OpenedFiles, RelativeResolver};
use crate::opener::Opener;
use crate::sniff::FileEnds;
use crate::stream_input::StreamInput;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// The format of the image inside any compression.
    pub format: Format,
    /// The problems found.
    pub report: CheckReport,
    /// The findings about the image and its compression, as [`Opener::inspect`] returns them.
    pub findings: Vec<Finding>,
}

impl Opener {
    /// Checks the structure of the image in a file: one layer, and the files it consists of, as far as
    /// [`Opener::resolver`] allows. If [`Opener::parents`] are given, their identities are checked
    /// too. A compressed file is decompressed first, as [`Opener::open`] does.
    ///
    /// ```
    /// use diskimg::{Checked, Opener};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let Checked { format, report, .. } = Opener::new().check(&path)?;
    /// assert_eq!((format.name(), report.problems.len()), ("qcow2", 0));
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] in the field `check` if the format has no structure to check;
    /// [`ErrorKind::InUse`] unless [`Opener::locking`] allows it; otherwise errors that prevent the check. Problems of the image are not errors but part of the [`CheckReport`].
    pub fn check(&self, path: impl AsRef<Path>) -> Result<Checked> {
        self.check_with(path, &())
    }

    /// Checks the image in a file as [`Opener::check`] does. Reports the guest bytes whose tables were checked to
    /// `progress`, which may stop the check.
    ///
    /// ```
    /// use diskimg::{Cancel, ErrorKind, Opener};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let cancel = Cancel::default();
    /// cancel.trigger();
    /// let error = Opener::new().check_with(&path, &cancel).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Cancelled);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::check`]; [`ErrorKind::Cancelled`] if `progress` stops the check.
    pub fn check_with(&self, path: impl AsRef<Path>, progress: &dyn Progress) -> Result<Checked> {
        let path = path.as_ref();
        let (source, _) = self.locked_file(path)?;
        match self.wrapper_of(&source)? {
            None => self.checked_unpacked(Arc::new(source), progress),
            Some(wrapper) => {
                StreamInput::compressed(self.locked_stream(path)?, wrapper, self)?.check(progress)
            }
        }
    }

    /// Checks the structure of the image in a source, which is not decompressed. The disk of an archive is.
    ///
    /// # Errors
    /// As [`Opener::check`].
    pub fn check_source(&self, source: Arc<dyn BlockSource>) -> Result<Checked> {
        self.check_source_with(source, &())
    }

    /// Checks the image in a source as [`Opener::check_source`] does, with progress as [`Opener::check_with`] reports it.
    ///
    /// # Errors
    /// As [`Opener::check_with`].
    pub fn check_source_with(
        &self,
        source: Arc<dyn BlockSource>,
        progress: &dyn Progress,
    ) -> Result<Checked> {
        self.without_locks().checked_unpacked(source, progress)
    }

    /// Checks the image in a source, or the disk of an archive.
    fn checked_unpacked(&self, source: Arc<dyn BlockSource>, progress: &dyn Progress) -> Result<Checked> {
        let Some(ArchivedDisk { source, conclusion }) = self.archived_in(Arc::clone(&source))? else {
            return self.checked(source, progress, &|_| Vec::new());
        };
        conclusion.check()?;
        if conclusion.member.wrapper.is_some() {
            return StreamInput::compressed_member(source, conclusion, self)?.check(progress);
        }
        self.inside_archive().checked(Arc::new(source), progress, &|size| conclusion.findings(size))
    }

    /// Locks the files below the image, as far as the chain can be followed, as `qemu-img check` does. A check reads none of
    /// them.
    fn lock_files_below(&self, mut info: ImageInfo, opened: &OpenedFiles) -> Result<()> {
        let mut below = FilesBelow::new(self, None);
        for depth in 0_usize.. {
            let Ok(Some(file)) = below.next(&info) else { break };
            match self.parents.get(depth) {
                Some(given) if !given.is_path => opened.add_given(&file.source),
                _ => {
                    let shown = file.place.shown.as_deref().unwrap_or_default();
                    opened.add(&file.source, shown.as_bytes(), info.format)?;
                }
            }
            let Ok(next) = (file.driver.inspect)(&file.source, &self.limits) else { break };
            info = next;
        }
        Ok(())
    }

    /// Checks the image in a source. `more` returns findings about an image of this virtual size.
    fn checked(
        &self,
        source: Arc<dyn BlockSource>,
        progress: &dyn Progress,
        more: &dyn Fn(u64) -> Vec<Finding>,
    ) -> Result<Checked> {
        let driver = self.driver_for(FileEnds::of(&source)?.as_parts())?;
        let check = driver.check.ok_or_else(|| {
            let error = Error::new(ErrorKind::Unsupported).format(driver.format).field("check");
            error.because("this format has no structure to check").with_fault(Fault::Caller)
        })?;
        // An image that cannot be described may still be checked, unless it is too large.
        let described = match self.inspect_with_driver(driver, &source) {
            Err(error) if error.limit() == Some(LimitKind::VirtualSize) => return Err(error),
            described => described,
        };
        let given = match self.parents.is_empty() && self.parent_formats.is_empty() {
            true => Vec::new(),
            false => self.describe_below(described.as_ref().map_err(Error::clone)?)?,
        };
        let opened = OpenedFiles::new(self.locking);
        if let Ok(info) = &described {
            self.lock_files_below(info.clone(), &opened)?;
        }
        let resolver = RelativeResolver { resolver: &*self.resolver, referrer: b"", opened: &opened };
        let limits = self.limits.clone();
        let options = OpenOptions { limits, resolver: &resolver, progress, ..OpenOptions::default() };
        let mut findings = described.map_or_else(
            |_| Vec::new(),
            |mut info| {
                merge(&mut info.findings, more(info.virtual_size));
                info.findings
            },
        );
        // An opened image reports the end of its external data file too.
        if let Ok(opened) = (driver.open)(Arc::clone(&source), &options) {
            merge(&mut findings, opened.info().findings.iter().cloned());
        }
        for below in given {
            let about_chain = below.inspection.info.findings.into_iter();
            merge(&mut findings, about_chain.filter(|finding| finding.check == PARENT_MISMATCH));
        }
        self.accept(driver.format, &findings)?;
        Ok(Checked { format: driver.format, report: check(source, &options)?, findings })
    }
}

impl StreamInput {
    /// Stores the streamed image in a temporary file, as [`Opener::spool`] allows, and checks it there: see
    /// [`Opener::check`]. Reports the decompressed bytes to `progress` as they are read.
    ///
    /// ```
    /// use diskimg::Opener;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let stream = std::fs::File::open(&path)?;
    /// let checked = Opener::new().stream(stream)?.check(&())?;
    /// assert_eq!((checked.format.name(), checked.report.corruptions), ("qcow2", 0));
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::check`] and [`StreamInput::into_disk`].
    pub fn check(self, progress: &dyn Progress) -> Result<Checked> {
        let opener = self.opener().clone();
        let (file, log) = self.into_file(progress)?;
        opener.checked(file, progress, &|size| log.findings(size))
    }
}
