//! The treatment of files that other processes use.

use std::fmt::Display;
use std::fs::File;

use diskimg_core::{BlockSource, ErrorKind, Result};
use diskimg_raw::{ImageLock, ImageUse};

/// The treatment of files that other processes use.
///
/// QEMU locks the images that it writes and those that it reads; see [`ImageLock`]. A disk that is read while a virtual
/// machine writes it is a mixture of old and new data. Locks concern the files that an [`Opener`](crate::Opener) opens
/// by path, and those that its [`Resolver`](crate::Resolver) returns for them; never sources, streams and descriptors
/// that the caller passes. Where locks are not supported, all files are free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Locking {
    /// Takes the locks of a reader, and holds them as long as the disk or stream is open: other readers are not
    /// affected, and writers are refused, as with `qemu-img`. An image that is locked for writing is an error
    /// ([`InUse`](ErrorKind::InUse)). [`Opener::inspect`](crate::Opener::inspect) holds no lock and reports it in
    /// [`Inspection::in_use`](crate::Inspection::in_use) instead.
    #[default]
    Refuse,
    /// Takes no locks. An image that is locked for writing is opened and reported:
    /// [`Disk::in_use`](crate::Disk::in_use), [`Inspection::in_use`](crate::Inspection::in_use).
    Report,
    /// Neither takes locks nor asks for those of others, like `qemu-img -U`.
    Off,
}

/// The state of a file: the lock that is held on it, or the message about another process that writes it.
#[derive(Default)]
pub(crate) struct LockState {
    pub(crate) lock: Option<ImageLock>,
    pub(crate) in_use: Option<String>,
}

impl Locking {
    /// The message about another process that writes the file of a source, unless locks are ignored.
    pub(crate) fn of_source(self, source: &dyn BlockSource, name: impl Display) -> Result<Option<String>> {
        match (self, source.locate(0..source.size().min(1)).host) {
            (Self::Refuse | Self::Report, Some(host)) => message(host.file, name),
            _ => Ok(None),
        }
    }

    /// Locks an open file for reading, or asks whether another process writes it.
    pub(crate) fn on_file(self, file: &File, name: impl Display) -> Result<LockState> {
        let lock = match self {
            Self::Refuse => Some(ImageLock::take(file, ImageUse::Read, name)?),
            Self::Report => return Ok(LockState { lock: None, in_use: message(file, name)? }),
            Self::Off => None,
        };
        Ok(LockState { lock, in_use: None })
    }

    /// Does the same for a source, if it is a host file.
    pub(crate) fn on_source(self, source: &dyn BlockSource, name: impl Display) -> Result<LockState> {
        match source.locate(0..source.size().min(1)).host {
            Some(host) => self.on_file(host.file, name),
            None => Ok(LockState::default()),
        }
    }
}

/// The message about another process that has locked the file for writing.
pub(crate) fn message(file: &File, name: impl Display) -> Result<Option<String>> {
    match ImageUse::Describe.ask(file, name) {
        Err(error) if error.kind() == ErrorKind::InUse => Ok(Some(error.to_string())),
        other => other.map(|()| None),
    }
}
