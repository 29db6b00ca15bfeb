//! Probing a decompressed stream: an image, or an archive with one.

use diskimg_core::{Error, ErrorKind, ImageInfo, Result};

use super::evaluate::Evaluation;
use super::image_store::ImageStore;
use super::payload::Payload;
use super::probed::Probed;
use crate::archive::{ArchiveMember, StreamedDisk, Unpacked, Unpacker};
use crate::opener::{Opener, of_member};

/// Probes a decompressed stream.
///
/// The disk in an archive is probed like any other image. Only at the end of the archive is it certain that the disk is the
/// selected one and the archive complete.
pub(super) struct ArchiveProbe {
    unpacker: Unpacker,
    /// True if the caller names the member.
    names_member: bool,
    image: ProbedImage,
    /// The result of an archive that has ended.
    ended: Option<Result<()>>,
    /// The description of the disk with the findings about an archive that has ended.
    described: Option<ImageInfo>,
}

/// The image, from an archive or alone.
struct ProbedImage {
    payload: Payload,
    /// All of its bytes, if its tables are compared with its length.
    store: Option<ImageStore>,
    /// Its member in the archive.
    disk: Option<StreamedDisk>,
    /// True if the archive has another disk and no name is requested.
    ambiguous: bool,
}

impl ArchiveProbe {
    pub(super) fn new(opener: &Opener) -> Self {
        let image = ProbedImage { payload: Payload::new(opener), store: None, disk: None, ambiguous: false };
        let names_member = opener.member.is_some();
        Self { unpacker: Unpacker::describing(opener), names_member, image, ended: None, described: None }
    }

    /// Stores the image to compare its tables with its length.
    pub(super) fn store_image(&mut self, opener: &Opener) {
        self.image.store = Some(ImageStore::new(opener));
    }

    /// Limits the bytes that are read of an image of unknown format: see [`Payload::limit_unknown`].
    pub(super) fn limit_unknown(&mut self) {
        self.image.payload.limit_unknown();
    }

    /// Probes the next bytes.
    ///
    /// # Errors
    /// Defects of an archive; [`ErrorKind::Cancelled`] once everything is certain, to stop the decoder.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { unpacker, image, .. } = self;
        unpacker.push(bytes, &mut |piece| image.take(piece))?;
        if unpacker.has_ended() && self.ended.is_none() && self.image.payload.end() {
            self.ended = Some(self.finish());
            self.described = self.image.payload.known().cloned();
            if let (Some(info), Some(conclusion)) = (&mut self.described, self.unpacker.conclusion()) {
                conclusion.describe(info);
            }
        }
        match self.state() {
            Probed::Done => Err(Error::new(ErrorKind::Cancelled)),
            _ => Ok(()),
        }
    }

    /// The state of the probe.
    pub(super) fn state(&self) -> Probed {
        match self.image.payload.state() {
            _ if self.ended.is_some() => Probed::Done,
            Probed::Done if self.image.store.as_ref().is_some_and(ImageStore::awaits_end) => Probed::Format,
            Probed::Done if !self.unpacker.is_archive() => Probed::Done,
            Probed::Done if !self.image.payload.is_named() => Probed::More,
            Probed::Done => Probed::Format,
            state => state,
        }
    }

    /// Returns true if the virtual size is certain. In an archive that is only at its end, because another disk may
    /// follow.
    pub(super) fn is_sized(&self) -> bool {
        let certain = !self.unpacker.is_archive() || self.ended.is_some();
        certain && self.known().is_some() && self.image.payload.is_sized()
    }

    /// The description of the image so far.
    pub(super) fn known(&self) -> Option<&ImageInfo> {
        let failed = matches!(self.ended, Some(Err(_)));
        match &self.described {
            _ if self.image.ambiguous || failed => None,
            Some(info) => Some(info),
            None => self.image.payload.known(),
        }
    }

    /// Completes the stream.
    ///
    /// # Errors
    /// Defects of an archive, and an ambiguous choice of its disk.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(ended) = self.ended.take() {
            return ended;
        }
        let Self { unpacker, image, .. } = self;
        unpacker.finish(&mut |piece| image.take(piece))
    }

    /// Returns the evaluation of the image and its member.
    pub(super) fn into_evaluation(mut self) -> (Evaluation, Option<ArchiveMember>) {
        let ProbedImage { payload, store, disk, ambiguous } = self.image;
        let mut evaluation = payload.finish();
        if let Some(store) = store {
            evaluation.image = store.describe(evaluation.image);
        }
        let disk = disk.filter(|_| !ambiguous);
        if disk.is_some() && !self.names_member {
            evaluation.image = evaluation.image.map_err(of_member);
        }
        if let (Some(archive), None) = (self.unpacker.archive_format(), &disk) {
            (evaluation.formats, evaluation.content) = (vec![archive], None);
        }
        let Some(conclusion) = self.unpacker.take_conclusion() else {
            return (evaluation, disk.map(StreamedDisk::in_archive));
        };
        if let Ok(info) = &mut evaluation.image {
            conclusion.describe(info);
        }
        (evaluation, Some(conclusion.member))
    }
}

impl ProbedImage {
    fn take(&mut self, piece: Unpacked<'_>) -> Result<()> {
        match piece {
            Unpacked::Disk(disk) => {
                if disk.format.is_some() {
                    self.payload.recognise();
                }
                self.disk = Some(disk);
            }
            Unpacked::Bytes(bytes) => {
                self.payload.push(bytes);
                return self.store.as_mut().map_or(Ok(()), |store| store.push(bytes));
            }
            Unpacked::End => {
                self.payload.end();
                self.store.iter_mut().for_each(ImageStore::end);
            }
            Unpacked::Ambiguous(_) => self.ambiguous = true,
            Unpacked::Hole(_) => {}
        }
        Ok(())
    }
}
