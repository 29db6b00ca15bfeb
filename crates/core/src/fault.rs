//! The party at fault for an error.

use std::io;

use crate::ErrorKind;

/// The party that has to change something before the same call can succeed.
///
/// [`Error::fault`](crate::Error::fault) derives it:
///
/// | kind | party |
/// |---|---|
/// | `Truncated`, `Corrupt`, `Unsupported`, `Encrypted`, `Denied`, `Ambiguous`, `UnknownFormat`, `Limit` | the image |
/// | `InvalidInput`, `Exists`, `OutOfBounds`, `NeedsSeek`, `Cancelled` | the caller |
/// | `InUse`, `Internal` | the machine |
/// | `Io` | by the error of the system, see below |
///
/// `Io` is the caller's if the system refuses the path or descriptor that the caller gave: not found (`ENOENT`), not a
/// directory or one (`ENOTDIR`, `EISDIR`), in the way (`EEXIST`), a loop of links (`ELOOP`), too long a name
/// (`ENAMETOOLONG`), no permission (`EACCES`, `EPERM`), not open for this or at all (`EBADF`), invalid (`EINVAL`) or not
/// seekable (`ESPIPE`). Any other is the machine's: no space (`ENOSPC`), a limit of the process or file system
/// (`EMFILE`, `EFBIG`), a read-only file system (`EROFS`), a failing device (`EIO`), the network, and an error of a
/// callback without a number.
///
/// A few errors differ from their kind: an option or target that is not supported is the caller's, missing memory the
/// machine's, and a file that the image names and that does not exist the image's.
///
/// ```
/// use diskimg_core::{Error, ErrorKind, Fault};
/// assert_eq!(Error::new(ErrorKind::Corrupt).fault(), Fault::Image);
/// let no_space = std::io::Error::from_raw_os_error(28);
/// assert_eq!(Error::from(no_space).fault(), Fault::Machine);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The image: its bytes are damaged, unsupported, or refused. Another attempt gives the same error.
    Image,
    /// The caller: an argument, an option or a path, or the caller stopped the work.
    Caller,
    /// The machine: space, memory, devices, other processes, or a bug in this library. Another attempt may succeed.
    Machine,
}

impl Fault {
    /// The name in logs: `image`, `caller`, `machine`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Caller => "caller",
            Self::Machine => "machine",
        }
    }

    /// The party at fault for an error of this kind, with this error of the system among its causes.
    pub(crate) fn of(kind: ErrorKind, cause: Option<&io::Error>) -> Self {
        match kind {
            ErrorKind::Truncated
            | ErrorKind::Corrupt
            | ErrorKind::Unsupported
            | ErrorKind::Encrypted
            | ErrorKind::Denied
            | ErrorKind::Ambiguous
            | ErrorKind::UnknownFormat
            | ErrorKind::Limit => Self::Image,
            ErrorKind::InvalidInput
            | ErrorKind::Exists
            | ErrorKind::OutOfBounds
            | ErrorKind::NeedsSeek
            | ErrorKind::Cancelled => Self::Caller,
            ErrorKind::Io if cause.is_some_and(refuses_argument) => Self::Caller,
            ErrorKind::Io | ErrorKind::InUse | ErrorKind::Internal => Self::Machine,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// EBADF. It has the same number on every Unix.
const BAD_DESCRIPTOR: i32 = 9;
/// ELOOP, and ENAMETOOLONG, whose kind Rust 1.85 does not name.
const LOOP: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 40 } else { 62 };
const NAME_TOO_LONG: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 36 } else { 63 };

/// Returns true if the system refused a path or descriptor, as opposed to being unable to do the work.
fn refuses_argument(error: &io::Error) -> bool {
    use io::ErrorKind as Io;
    let by_kind = matches!(
        error.kind(),
        Io::NotFound
            | Io::NotADirectory
            | Io::IsADirectory
            | Io::AlreadyExists
            | Io::PermissionDenied
            | Io::InvalidInput
            | Io::NotSeekable
    );
    by_kind
        || error.raw_os_error().is_some_and(|number| [BAD_DESCRIPTOR, LOOP, NAME_TOO_LONG].contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    #[cfg(target_os = "linux")]
    fn error_of_the_system_blames_the_caller_only_for_an_argument() {
        // ENOENT, EBADF, EACCES, EEXIST, ENOTDIR, EISDIR, EINVAL, ESPIPE, ENAMETOOLONG, ELOOP.
        for number in [2, 9, 13, 17, 20, 21, 22, 29, 36, 40] {
            assert_eq!(Error::from(io::Error::from_raw_os_error(number)).fault(), Fault::Caller, "{number}");
        }
        // EIO, ENXIO, ENOMEM, EBUSY, ENFILE, EMFILE, EFBIG, ENOSPC, EROFS, ETIMEDOUT, EDQUOT.
        for number in [5, 6, 12, 16, 23, 24, 27, 28, 30, 110, 122] {
            assert_eq!(Error::from(io::Error::from_raw_os_error(number)).fault(), Fault::Machine, "{number}");
        }
        assert_eq!(Error::from(io::Error::other("a callback")).fault(), Fault::Machine);
    }

    #[test]
    fn kind_decides_unless_the_error_says_otherwise() {
        let fault = |kind| Error::new(kind).fault();
        assert_eq!(fault(ErrorKind::UnknownFormat), Fault::Image);
        assert_eq!(fault(ErrorKind::Exists), Fault::Caller);
        assert_eq!(fault(ErrorKind::InUse), Fault::Machine);
        assert_eq!(fault(ErrorKind::Internal), Fault::Machine);
        let option = Error::new(ErrorKind::Unsupported).with_fault(Fault::Caller);
        assert_eq!((option.fault(), option.fault().name()), (Fault::Caller, "caller"));
    }
}
