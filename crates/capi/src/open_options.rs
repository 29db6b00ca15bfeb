//! How images are opened, as C says it.

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use diskimg::{Error, Opener, Resolver, Result, SnapshotSelector, Spool, WithinDirectory};

use crate::format::{FormatNumber, driver_of};
use crate::guard::{check_flags, invalid};
use crate::record::Record;
use crate::resolver::{CallbackResolver, ResolveFn};
use crate::strings;

/// What nothing recognises is raw. Without it that is DISKIMG_ERR_UNKNOWN_FORMAT.
pub const DISKIMG_OPEN_ALLOW_RAW: u32 = 1 << 0;
/// A compressed file is taken as it is. Without it gz, xz and zst are unwrapped, one level deep.
pub const DISKIMG_OPEN_NO_UNWRAP: u32 = 1 << 1;
/// Backing, extent and data files are opened: regular files within the directory of the image and below it.
/// Needs diskimg_open_path(), or DISKIMG_OPEN_DIR_FD. Without it every reference is refused.
pub const DISKIMG_OPEN_REFERENCES: u32 = 1 << 2;
/// `dir_fd` is the directory that references are followed in. Without it that is the directory of the image.
pub const DISKIMG_OPEN_DIR_FD: u32 = 1 << 3;
/// Only what the image claims is read, and nothing else is opened. Works with encrypted images and without the
/// files that an image needs. The disk cannot be read then. Without it an image is opened to be read, or not at all.
pub const DISKIMG_OPEN_INFO_ONLY: u32 = 1 << 4;
/// No temporary files: what would need one is DISKIMG_ERR_NEEDS_SEEK. Without it a compressed image is decoded
/// into an anonymous temporary file when it is opened.
pub const DISKIMG_OPEN_NO_TEMPORARY: u32 = 1 << 5;
/// Files opened by path are read past the page cache, where the system can. Without it they are read through it.
pub const DISKIMG_OPEN_DIRECT: u32 = 1 << 6;

const FLAGS: u32 = (1 << 7) - 1;

/// Told in words of what a careful importer should know about an image, while it is opened: `level` is one of
/// DISKIMG_SEVERITY_*. The message ends when the call does. Called on the thread that opens.
pub type LogFn = Option<unsafe extern "C" fn(user: *mut c_void, level: c_int, message: *const c_char)>;

/// How an image is opened. Begin with DISKIMG_OPEN_OPTIONS_INIT; members left at zero have their defaults, which
/// suit images from strangers, and so does NULL for the whole.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OpenOptions {
    /// sizeof(diskimg_open_options).
    pub struct_size: usize,
    /// Bits of DISKIMG_OPEN_*.
    pub flags: u32,
    /// The format of the (unwrapped) image; DISKIMG_FORMAT_AUTO recognises it.
    pub format: FormatNumber,
    /// The largest virtual size in bytes that is accepted; 0 for 64 TiB.
    pub max_virtual_size: u64,
    /// Bytes of tables kept in memory; 0 for 16 MiB.
    pub max_cache: u64,
    /// Bytes that a decoder may need for its dictionary; 0 for 128 MiB.
    pub max_decoder_memory: u64,
    /// The most bytes of a temporary file; 0 for 64 GiB.
    pub max_temporary: u64,
    /// The directory for temporary files; NULL for the system's.
    pub temporary_directory: *const c_char,
    /// Id or name of an internal snapshot to read instead of the active state; NULL for none.
    pub snapshot: *const c_char,
    /// With DISKIMG_OPEN_DIR_FD: the directory that references are followed in. Stays the caller's.
    pub dir_fd: c_int,
    /// Layers that may lie below the image; 0 for 16.
    pub max_depth: u32,
    /// Threads that decode a compressed file; 0 for one a core.
    pub threads: u32,
    /// 0.
    pub reserved: u32,
    /// Answers references; NULL refuses them, or leaves them to DISKIMG_OPEN_REFERENCES. Called while an image
    /// is opened or checked, on that thread.
    pub resolve: ResolveFn,
    /// Handed to `resolve`.
    pub resolve_user: *mut c_void,
    /// Told of findings; may be NULL.
    pub log: LogFn,
    /// Handed to `log`.
    pub log_user: *mut c_void,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl Record for OpenOptions {}

impl OpenOptions {
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The opener that these options describe, for an image at `path` if it has one.
    ///
    /// # Safety
    /// The strings are NULL or end with a NUL.
    ///
    /// # Errors
    /// What cannot be meant.
    pub(crate) unsafe fn opener(&self, path: Option<&Path>) -> Result<Opener> {
        check_flags(self.flags, FLAGS)?;
        check_flags(self.reserved, 0)?;
        let mut opener = Opener::new();
        opener.format = driver_of(self.format)?.map(|driver| driver.format);
        opener.allow_raw = self.has(DISKIMG_OPEN_ALLOW_RAW);
        opener.unwrap = !self.has(DISKIMG_OPEN_NO_UNWRAP);
        opener.direct = self.has(DISKIMG_OPEN_DIRECT);
        opener.threads = self.threads;
        let limits = &mut opener.limits;
        for (limit, wanted) in [
            (&mut limits.virtual_size, self.max_virtual_size),
            (&mut limits.metadata_cache, self.max_cache),
            (&mut limits.decoder_memory, self.max_decoder_memory),
        ] {
            if wanted != 0 {
                *limit = wanted;
            }
        }
        if self.max_depth != 0 {
            limits.chain_depth = self.max_depth;
        }
        // SAFETY: the caller's promise about strings.
        let (snapshot, spool) = unsafe { (strings::optional(self.snapshot, "snapshot")?, self.spool()?) };
        opener.snapshot = snapshot.map(|name| SnapshotSelector::IdOrName(name.to_owned()));
        opener.spool = spool;
        if let Some(resolver) = self.resolver(path)? {
            opener.resolver = resolver;
        }
        Ok(opener)
    }

    /// # Safety
    /// As [`OpenOptions::opener`].
    unsafe fn spool(&self) -> Result<Spool> {
        if self.has(DISKIMG_OPEN_NO_TEMPORARY) {
            return Ok(Spool::Never);
        }
        let limit = if self.max_temporary == 0 { 64 << 30 } else { self.max_temporary };
        let directory = match self.temporary_directory.is_null() {
            true => None,
            // SAFETY: the caller's promise about strings.
            false => Some(unsafe { strings::path(self.temporary_directory) }?),
        };
        Ok(Spool::Temporary { directory, limit })
    }

    fn resolver(&self, path: Option<&Path>) -> Result<Option<Arc<dyn Resolver>>> {
        let follow = self.has(DISKIMG_OPEN_REFERENCES);
        match (CallbackResolver::new(self.resolve, self.resolve_user), follow) {
            (Some(_), true) => {
                Err(invalid("flags", "either resolve or DISKIMG_OPEN_REFERENCES, and not both"))
            }
            (Some(resolver), false) => Ok(Some(Arc::new(resolver))),
            (None, false) => Ok(None),
            (None, true) if self.has(DISKIMG_OPEN_DIR_FD) => {
                Ok(Some(Arc::new(WithinDirectory::opened(duplicate(self.dir_fd, "dir_fd")?)?)))
            }
            (None, true) => {
                let path = path.ok_or_else(|| {
                    invalid(
                        "flags",
                        "DISKIMG_OPEN_DIR_FD beside DISKIMG_OPEN_REFERENCES, for an image without a path",
                    )
                })?;
                Ok(Some(Arc::new(WithinDirectory::of_image(path)?)))
            }
        }
    }
}

/// Another descriptor of the file that `fd` has open; `fd` stays the caller's.
pub(crate) fn duplicate(fd: RawFd, field: &'static str) -> Result<File> {
    if fd < 0 {
        return Err(invalid(field, "an open file descriptor").found(fd));
    }
    // SAFETY: not -1, and the header asks for a descriptor that is open during the call. One that is not gives
    // EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = borrowed.try_clone_to_owned().map_err(|error| Error::from(error).field(field))?;
    Ok(File::from(owned))
}
