//! Converting an opened image to a target.

use diskimg_core::{BlockSource, Progress, Result, WriteOrder};

use super::options::{ConvertOptions, Converted};
use super::stream_reader::convert_stream;
use super::target::{Target, TargetPlace};
use super::verified::convert_verified;
use crate::disk::Disk;
use crate::opening::Input;
use crate::sniff::{looks_like_image, looks_like_image_head};
use crate::stream_input::StreamInput;

impl Input {
    /// Converts the image to `target`: [`Disk::convert_to`] or [`StreamInput::convert_to`].
    ///
    /// ```
    /// use diskimg::{ConvertOptions, Opener, Target, driver};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (source, target) = (dir.path().join("disk.raw"), dir.path().join("disk.qcow2"));
    /// # std::fs::write(&source, [&[7; 4096][..], &[0; 61_440]].concat()).unwrap();
    /// let mut opener = Opener::new();
    /// opener.allow_raw = true;
    /// let target = Target::file(target, driver("qcow2")?.format);
    /// let done = opener.input(source)?.convert_to(&target, &ConvertOptions::default(), &())?;
    /// assert_eq!(done.virtual_size, 65_536);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Disk::convert_to`] and [`StreamInput::convert_to`].
    pub fn convert_to(
        self,
        target: &Target,
        options: &ConvertOptions,
        progress: &dyn Progress,
    ) -> Result<Converted> {
        match self {
            Self::Disk(disk) => disk.convert_to(target, options, progress),
            Self::Stream(input) => input.convert_to(target, options, progress),
        }
    }
}

impl Disk {
    /// Converts the disk to `target`. Reports its size to [`Progress::begin`] before the first byte is copied.
    ///
    /// ```
    /// use diskimg::{ConvertOptions, ErrorKind, Opener, Target, driver};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # Target::file(&path, driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let disk = Opener::new().open(&path)?;
    /// let mut own_source = Target::file(&path, driver("raw")?.format);
    /// own_source.overwrite = true;
    /// let refused = disk.convert_to(&own_source, &ConvertOptions::default(), &()).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the disk is read from a file of the target; otherwise as
    /// [`Target::create`] and [`convert()`](crate::convert()). Nothing is written before these checks.
    pub fn convert_to(
        &self,
        target: &Target,
        options: &ConvertOptions,
        progress: &dyn Progress,
    ) -> Result<Converted> {
        target.ensure_not_source(self)?;
        let looks_like = if target.is_raw() { looks_like_image(self)? } else { None };
        let sink = target.create(Some(self.size()))?;
        progress.begin(Some(self.size()));
        Ok(Converted {
            looks_like,
            findings: self.findings(),
            ..convert_verified(self, sink, options, progress)?
        })
    }
}

impl StreamInput {
    /// Converts the streamed image to `target`: in one pass if format, layout and target allow it, otherwise through a
    /// temporary file. Reports the decompressed bytes of the image to `progress`, and those of the disk after the
    /// image was stored; [`Progress::begin`] is called before the first byte is written.
    ///
    /// ```
    /// use diskimg::{ConvertOptions, MemorySink, Opener, Target, driver};
    /// let mut opener = Opener::new();
    /// opener.allow_raw = true;
    /// let input = opener.stream(std::io::Cursor::new(vec![7; 100_000]))?;
    /// let sink = MemorySink::new(1 << 20);
    /// let target = Target::sink(Box::new(sink.clone()), driver("raw")?.format);
    /// input.convert_to(&target, &ConvertOptions::default(), &())?;
    /// assert_eq!(sink.bytes(), vec![7; 100_000]);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the stream is read from a file of the target; otherwise as
    /// [`Target::create`], [`StreamInput::into_disk`] and [`StreamConvert`](super::StreamConvert). Nothing is written before these checks.
    pub fn convert_to(
        self,
        target: &Target,
        options: &ConvertOptions,
        progress: &dyn Progress,
    ) -> Result<Converted> {
        target.check_stream(&self)?;
        let is_pipe = matches!(target.place, TargetPlace::Stream(_));
        let order = if is_pipe { WriteOrder::Ascending } else { WriteOrder::Any };
        if !target.accepts_unknown_size() || !self.streams(order) {
            return self.into_disk(progress)?.convert_to(target, options, progress);
        }
        let is_raw = self.format() == diskimg_raw::DRIVER.format;
        let looks_like = if is_raw { looks_like_image_head(self.head()) } else { None };
        let sink = target.create(None)?;
        progress.begin(None);
        Ok(Converted { looks_like, ..convert_stream(self, sink, options, progress)? })
    }
}
