//! Images that arrive once, in order.

use std::io::Read;
use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Driver, Error, ErrorKind, Format, Result, StreamDecoder};
use diskimg_raw::FileSource;

use crate::disk::Disk;
use crate::open::Opener;
use crate::sniff::{HEAD, driver_for};
use crate::spool::spool;

/// An image that arrives once, in order, of which the first bytes are read and the format is known.
pub struct Arriving {
    opener: Opener,
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    driver: &'static Driver,
    wrapper: Option<Wrapper>,
}

impl Arriving {
    /// Reads the first bytes, unwraps if they say so, and recognises the format.
    pub(crate) fn new(stream: Box<dyn Read + Send>, opener: &Opener) -> Result<Self> {
        let (head, rest) = split_head(stream)?;
        let wrapper = if opener.unwrap { Wrapper::recognise(&head) } else { None };
        match wrapper {
            Some(wrapper) => {
                let whole = std::io::Cursor::new(head).chain(rest);
                Self::decoded(Box::new(opener.decode(whole, wrapper)?), wrapper, opener)
            }
            None => Self::recognised(head, rest, None, opener),
        }
    }

    /// The same for a stream that is already being decoded.
    pub(crate) fn decoded(decoded: Box<dyn Read + Send>, wrapper: Wrapper, opener: &Opener) -> Result<Self> {
        let (head, rest) = split_head(decoded)?;
        Self::recognised(head, rest, Some(wrapper), opener)
    }

    fn recognised(
        head: Vec<u8>,
        rest: Box<dyn Read + Send>,
        wrapper: Option<Wrapper>,
        opener: &Opener,
    ) -> Result<Self> {
        let size = if head.len() < HEAD { Some(head.len() as u64) } else { None };
        let driver = driver_for(&head, size, opener.format, opener.allow_raw)?;
        Ok(Self { opener: opener.clone(), head, rest, driver, wrapper })
    }

    /// The format of the image, inside any wrapper.
    #[must_use]
    pub fn format(&self) -> Format {
        self.driver.format
    }

    /// How the stream is compressed, if it is.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.wrapper
    }

    /// The first bytes of the image, at most 68 KiB.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether the image can be converted as it comes, without being kept.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.driver.stream.is_some() && self.opener.snapshot.is_none()
    }

    /// Keeps the whole image in a temporary file, as [`Opener::spool`] allows, and opens it there.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] when that is not allowed; [`ErrorKind::Limit`] when it is too large; as
    /// [`Opener::open`] otherwise.
    pub fn into_disk(self, opener: &Opener) -> Result<Disk> {
        let wrapper = self.wrapper;
        let file: Arc<dyn BlockSource> = Arc::new(self.into_file(opener)?);
        opener.open_unwrapped(&file, wrapper)
    }

    /// The whole image in a temporary file.
    pub(crate) fn into_file(self, opener: &Opener) -> Result<FileSource> {
        FileSource::new(spool(&opener.spool, &self.head, self.rest, opener.limits.virtual_size)?)
    }

    /// The decoder of the format, and the image's bytes from the first on.
    pub(crate) fn into_parts(self) -> Result<(Box<dyn StreamDecoder>, impl Read + Send)> {
        let stream = self.driver.stream.ok_or_else(|| {
            Error::new(ErrorKind::NeedsSeek).format(self.driver.format).because("cannot be read in order")
        })?;
        let decoder = stream(&self.opener.limits)?;
        Ok((decoder, std::io::Cursor::new(self.head).chain(self.rest)))
    }
}

fn split_head(mut stream: Box<dyn Read + Send>) -> Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = vec![0; HEAD];
    let len = read_full(&mut stream, &mut head)?;
    head.truncate(len);
    Ok((head, stream))
}

/// Reads until `buf` is full or the stream ends; returns the bytes read.
pub(crate) fn read_full(stream: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0_usize;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(n) => done = done.saturating_add(n),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}
