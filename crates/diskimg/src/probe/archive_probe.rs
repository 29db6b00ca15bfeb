//! What is inside a stream once it is unwrapped: an image, or an OVA with one.

use diskimg_core::{Error, ErrorKind, ImageInfo, Probed, Result};

use super::evaluate::Judgement;
use super::payload::Payload;
use crate::archive::{OVA, Unpacked, Unpacker};
use crate::opener::Opener;

/// The unwrapped bytes of a stream.
///
/// Of an OVA the disk is looked at as it passes, like any other image. Which one is meant, and that the archive is
/// whole, is certain only where the archive ends; so it is for a file.
pub(super) struct Inside {
    unpacker: Unpacker,
    image: Image,
    /// What is wrong with an archive all of which has passed.
    ended: Option<Result<()>>,
}

/// The image, as it comes out of an archive or by itself.
struct Image {
    payload: Payload,
    /// Its name in the archive.
    member: Option<String>,
    /// Whether the archive holds others, and it may not be the one that is meant.
    unclear: bool,
}

impl Inside {
    pub(super) fn new(opener: &Opener) -> Self {
        let image = Image { payload: Payload::new(opener), member: None, unclear: false };
        Self { unpacker: Unpacker::new(opener), image, ended: None }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What is wrong with an archive; [`ErrorKind::Cancelled`] when all is certain and no more is wanted.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { unpacker, image, .. } = self;
        unpacker.push(bytes, &mut |piece| image.take(piece))?;
        if unpacker.has_ended() && self.ended.is_none() && self.image.payload.end() {
            self.ended = Some(self.finish());
        }
        match self.state() {
            Probed::Done => Err(Error::new(ErrorKind::Cancelled)),
            _ => Ok(()),
        }
    }

    /// What is certain.
    pub(super) fn state(&self) -> Probed {
        match self.image.payload.state() {
            _ if self.ended.is_some() => Probed::Done,
            Probed::Done if !self.unpacker.is_archive() => Probed::Done,
            Probed::Done if !self.image.payload.is_named() => Probed::More,
            Probed::Done => Probed::Format,
            state => state,
        }
    }

    /// Whether the virtual size is certain; in an archive that another disk may follow, only at its end.
    pub(super) fn is_sized(&self) -> bool {
        let certain = !self.unpacker.is_archive() || self.ended.is_some();
        certain && self.known().is_some() && self.image.payload.is_sized()
    }

    /// What the image says about itself, as far as is known.
    pub(super) fn known(&self) -> Option<&ImageInfo> {
        let failed = matches!(self.ended, Some(Err(_)));
        if self.image.unclear || failed { None } else { self.image.payload.known() }
    }

    /// The stream has ended, or nothing more of it is wanted.
    ///
    /// # Errors
    /// What is wrong with an archive, or with the disks in it.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(ended) = self.ended.take() {
            return ended;
        }
        let Self { unpacker, image, .. } = self;
        unpacker.finish(&mut |piece| image.take(piece))
    }

    /// What is said of the image, and its name in the archive.
    pub(super) fn judged(self) -> (Judgement, Option<String>) {
        let Image { payload, member, unclear } = self.image;
        let mut judgement = payload.finish();
        let member = member.filter(|_| !unclear);
        if self.unpacker.is_archive() && member.is_none() {
            (judgement.formats, judgement.content) = (vec![OVA], None);
        }
        (judgement, member)
    }
}

impl Image {
    fn take(&mut self, piece: Unpacked<'_>) -> Result<()> {
        match piece {
            Unpacked::Disk(disk) => {
                self.member = Some(disk.name);
                self.payload.recognise();
            }
            Unpacked::Bytes(bytes) => self.payload.push(bytes),
            Unpacked::End => {
                self.payload.end();
            }
            Unpacked::Ambiguous(_) => self.unclear = true,
        }
        Ok(())
    }
}
