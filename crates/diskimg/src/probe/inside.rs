//! What is inside a stream once it is unwrapped: an image, or an OVA with one.

use diskimg_core::{Error, ErrorKind, Format, ImageInfo, Probed, Result};

use super::judge::Judgement;
use super::payload::Payload;
use crate::archive::{OVA, Piece, Unpacker};
use crate::open::Opener;

/// The unwrapped bytes of a stream.
///
/// Of an OVA the disk is looked at as it passes, like any other image. Which one is meant, and that the archive is
/// whole, is certain only where the archive ends; so it is for a file.
pub(super) struct Inside {
    unpacker: Unpacker,
    image: Image,
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
        Self { unpacker: Unpacker::new(opener), image }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What is wrong with an archive; [`ErrorKind::Cancelled`] when all is certain and no more is wanted.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { unpacker, image } = self;
        unpacker.push(bytes, &mut |piece| image.take(piece))?;
        match self.state() {
            Probed::Done => Err(Error::new(ErrorKind::Cancelled)),
            _ => Ok(()),
        }
    }

    /// What is certain.
    pub(super) fn state(&self) -> Probed {
        match self.image.payload.state() {
            _ if self.unpacker.has_ended() => Probed::Done,
            Probed::Done if self.unpacker.is_archive() => Probed::Format,
            state => state,
        }
    }

    /// The format of the image, from the moment it is recognised.
    pub(super) fn format(&self) -> Option<Format> {
        if self.image.unclear { None } else { self.image.payload.format() }
    }

    /// What the image says about itself, as far as is known.
    pub(super) fn known(&self) -> Option<&ImageInfo> {
        if self.image.unclear { None } else { self.image.payload.known() }
    }

    /// The stream has ended, or nothing more of it is wanted.
    ///
    /// # Errors
    /// What is wrong with an archive, or with the disks in it.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Self { unpacker, image } = self;
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
    fn take(&mut self, piece: Piece<'_>) -> Result<()> {
        match piece {
            Piece::Disk(disk) => self.member = Some(disk.name),
            Piece::Bytes(bytes) => self.payload.push(bytes),
            Piece::Unclear(_) => self.unclear = true,
        }
        Ok(())
    }
}
