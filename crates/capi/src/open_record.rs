//! The options to open an image with, for C.

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use diskimg::core::LimitKind;
use diskimg::{
    Error, Locking, Opener, ParentFile, Resolver, Result, SearchPath, Setting, SnapshotSelector, Spool,
    WithinDirectory,
};

use crate::argument::{check_flags, check_reserved, invalid};
use crate::callback_resolver::{CallbackResolver, ResolveFn};
use crate::format::{FormatNumber, driver_of};
use crate::parent_record::{self, ParentRecord};
use crate::progress::{CallHooks, CancelFlag, ProgressFn};
use crate::sized_record::SizedRecord;
use crate::strings;

/// Accepts a file that no format recognises as a raw disk. Without it, such a file is
/// DISKIMG_ERR_UNKNOWN_FORMAT.
pub const DISKIMG_OPEN_ALLOW_RAW: u32 = 1 << 0;
/// Reads a compressed file as it is. Without it, gz, xz and zst are decompressed, one level deep.
pub const DISKIMG_OPEN_NO_UNWRAP: u32 = 1 << 1;
/// Opens backing, extent and data files: regular files in the directory of the image or below it. Needs
/// diskimg_open_path() or DISKIMG_OPEN_DIR_FD. Without it, every reference is refused.
pub const DISKIMG_OPEN_REFERENCES: u32 = 1 << 2;
/// Opens references in the directory `dir_fd`. Without it, they are opened in the directory of the image.
pub const DISKIMG_OPEN_DIR_FD: u32 = 1 << 3;
/// Reads only the description of the image, and opens no other file: `parents` is not used. Works for encrypted images,
/// and for images whose other files are missing. The disk cannot be read. A compressed image is decompressed to its end,
/// to compare its tables with its length; with DISKIMG_OPEN_NO_TEMPORARY a finding reports that they were not compared.
/// Without it, opening fails if the disk cannot be read.
pub const DISKIMG_OPEN_INFO_ONLY: u32 = 1 << 4;
/// Creates no temporary file: an operation that needs one fails with DISKIMG_ERR_NEEDS_SEEK. Without it, a
/// compressed image is decompressed into an anonymous temporary file when it is opened.
pub const DISKIMG_OPEN_NO_TEMPORARY: u32 = 1 << 5;
/// Bypasses the page cache for files opened by path, where the system supports it. Without it, the page
/// cache is used.
pub const DISKIMG_OPEN_DIRECT: u32 = 1 << 6;

/// Reads a file that is only a part of a disk, such as one extent of a split VMDK, as if it were a disk.
/// Without it, such a file is DISKIMG_ERR_REFERENCE.
pub const DISKIMG_OPEN_ALLOW_PART: u32 = 1 << 7;
/// Accepts a parent with another UUID or content id than the image records. Without it, that is
/// DISKIMG_ERR_CORRUPT.
pub const DISKIMG_OPEN_ALLOW_PARENT_MISMATCH: u32 = 1 << 8;
/// Ignores the digests of the manifest in an OVA. Without it, a conversion whose bytes have another digest
/// is DISKIMG_ERR_CORRUPT.
pub const DISKIMG_OPEN_NO_VERIFY: u32 = 1 << 9;
/// Refuses an image with a finding of DISKIMG_SEVERITY_WARNING or worse as DISKIMG_ERR_CORRUPT. Without it,
/// such an image is read.
pub const DISKIMG_OPEN_STRICT: u32 = 1 << 10;
/// Neither takes the locks of QEMU on files opened by path, nor asks for those of others. Without it, a file
/// that another process has locked for writing is DISKIMG_ERR_IN_USE.
pub const DISKIMG_OPEN_IGNORE_LOCKS: u32 = 1 << 11;

const FLAGS: u32 = (1 << 12) - 1;

/// Receives the findings about an image while it is opened. `level` is one of DISKIMG_SEVERITY_*. `message`
/// is valid during the call. Called on the thread that opens the image.
pub type LogFn = Option<unsafe extern "C" fn(user: *mut c_void, level: c_int, message: *const c_char)>;

/// The options to open an image with. Initialise it with DISKIMG_OPEN_OPTIONS_INIT. A member that is zero
/// has its default; NULL for the structure sets all defaults. The defaults are safe for untrusted images.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OpenOptionsRecord {
    /// sizeof(diskimg_open_options).
    pub struct_size: usize,
    /// Bits of DISKIMG_OPEN_*.
    pub flags: u32,
    /// The format of the image, after decompression; DISKIMG_FORMAT_AUTO detects it.
    pub format: FormatNumber,
    /// The largest virtual size to accept, in bytes; 0 for 64 TiB.
    pub max_virtual_size: u64,
    /// The size of the cache in bytes: tables, and clusters that were decompressed and read in part, of all layers
    /// together; 0 for 16 MiB. The one of each that was used last is kept, whatever its size.
    pub max_cache: u64,
    /// The largest dictionary that a decoder may allocate, in bytes; 0 for 128 MiB.
    pub max_decoder_memory: u64,
    /// The largest temporary file, in bytes; 0 for 64 GiB.
    pub max_temporary: u64,
    /// The directory for temporary files; NULL for the system's default.
    pub temporary_directory: *const c_char,
    /// The id or name of an internal snapshot to read instead of the active state; NULL for none.
    pub snapshot: *const c_char,
    /// The directory to open references in, with DISKIMG_OPEN_DIR_FD. The caller keeps ownership.
    pub dir_fd: c_int,
    /// The largest number of layers below the image; 0 for 16.
    pub max_depth: u32,
    /// The number of threads that decompress a file; 0 for one per core.
    pub threads: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Resolves references. NULL refuses them, unless DISKIMG_OPEN_REFERENCES is set. Called on the calling
    /// thread while an image is opened or checked.
    pub resolve: ResolveFn,
    /// Passed to `resolve`.
    pub resolve_user: *mut c_void,
    /// Receives findings; may be NULL.
    pub log: LogFn,
    /// Passed to `log`.
    pub log_user: *mut c_void,
    /// The name of the disk to read in an archive; NULL if it has one disk.
    pub member: *const c_char,
    /// Further limits by their names, as for `--limit` of the command: "header-bytes=8M,snapshots=10". They win
    /// over the members of this structure. NULL for none.
    pub limits: *const c_char,
    /// Receives progress while a compressed image is decompressed; may be NULL.
    pub progress: ProgressFn,
    /// Passed to `progress`.
    pub progress_user: *mut c_void,
    /// Cancels the opening when it is triggered; may be NULL. An image that is open does not use it.
    pub cancel: *const CancelFlag,
    /// The files below the image, nearest first, in place of the names that the images record. Names in such a file
    /// are followed as those in the image, in the directory of the file. NULL for none.
    pub parents: *const ParentRecord,
    /// The number of `parents`.
    pub parent_count: usize,
    /// A directory in which files that the image refers to are looked for by the last component of their names, before
    /// the directory of DISKIMG_OPEN_REFERENCES. NULL for none. Not together with `resolve`.
    pub search_directory: *const c_char,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for OpenOptionsRecord {}

impl OpenOptionsRecord {
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Returns an opener with these options. `path` is the path of the image, if it has one.
    ///
    /// # Safety
    /// The strings are NULL or end with a NUL.
    ///
    /// # Errors
    /// Rejects invalid options.
    pub(crate) unsafe fn opener(&self, path: Option<&Path>) -> Result<Opener> {
        check_flags(self.flags, FLAGS)?;
        check_reserved(self.reserved)?;
        let mut opener = Opener::new();
        opener.format = driver_of(self.format)?.map(|driver| driver.format);
        opener.allow_raw = self.has(DISKIMG_OPEN_ALLOW_RAW);
        opener.decompress = !self.has(DISKIMG_OPEN_NO_UNWRAP);
        opener.direct = self.has(DISKIMG_OPEN_DIRECT);
        opener.allow_part = self.has(DISKIMG_OPEN_ALLOW_PART);
        opener.allow_parent_mismatch = self.has(DISKIMG_OPEN_ALLOW_PARENT_MISMATCH);
        opener.verify = !self.has(DISKIMG_OPEN_NO_VERIFY);
        opener.strict = self.has(DISKIMG_OPEN_STRICT);
        if self.has(DISKIMG_OPEN_IGNORE_LOCKS) {
            opener.locking = Locking::Off;
        }
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
        // SAFETY: the caller guarantees the strings.
        let (snapshot, spool) = unsafe { (strings::optional(self.snapshot, "snapshot")?, self.spool()?) };
        opener.snapshot = snapshot.map(|name| SnapshotSelector::IdOrName(name.to_owned()));
        opener.spool = spool;
        // SAFETY: the caller guarantees the strings.
        let (member, limits) =
            unsafe { (strings::optional(self.member, "member")?, strings::optional(self.limits, "limits")?) };
        opener.member = member.map(str::to_owned);
        for limit in Setting::parse_list(limits.unwrap_or_default())? {
            opener.set_limit(limit_kind(&limit)?, limit.as_size()?)?;
        }
        // SAFETY: the caller guarantees the strings and the flag.
        unsafe {
            if let Some(resolver) = self.resolver(path)? {
                opener.resolver = resolver;
            }
            opener.parents = self.parents()?;
            opener.cancel = self.hooks().cancel();
        }
        Ok(opener)
    }

    /// Returns the callback and the flag of these options.
    ///
    /// # Safety
    /// `cancel` is NULL or a flag that is not freed.
    pub(crate) unsafe fn hooks(&self) -> CallHooks {
        // SAFETY: guaranteed by the caller.
        unsafe { CallHooks::new(self.progress, self.progress_user, self.cancel) }
    }

    /// Opens the files below the image.
    ///
    /// # Safety
    /// As [`OpenOptionsRecord::opener`].
    unsafe fn parents(&self) -> Result<Vec<ParentFile>> {
        let mut parents = Vec::new();
        if self.has(DISKIMG_OPEN_INFO_ONLY) {
            return Ok(parents);
        }
        // SAFETY: guaranteed by the caller.
        for (path, format) in unsafe { parent_record::read_all(self.parents, self.parent_count) }? {
            let named = |error: Error| error.field(format!("'{}'", path.display()));
            let mut parent = ParentFile::open(&path).map_err(named)?;
            parent.format = format;
            if self.resolve.is_some() {
                parent.resolver = None;
            // SAFETY: guaranteed by the caller.
            } else if let Some(resolver) = unsafe { self.resolver(Some(&path)) }? {
                parent.resolver = Some(resolver);
            }
            parents.push(parent);
        }
        Ok(parents)
    }

    /// # Safety
    /// As [`OpenOptionsRecord::opener`].
    unsafe fn spool(&self) -> Result<Spool> {
        if self.has(DISKIMG_OPEN_NO_TEMPORARY) {
            return Ok(Spool::Never);
        }
        let limit = if self.max_temporary == 0 { 64 << 30 } else { self.max_temporary };
        let directory = match self.temporary_directory.is_null() {
            true => None,
            // SAFETY: the caller guarantees the strings.
            false => Some(unsafe { strings::path(self.temporary_directory) }?),
        };
        Ok(Spool::Temporary { directory, limit })
    }

    /// Returns the resolver of the names in the file at `path`.
    ///
    /// # Safety
    /// As [`OpenOptionsRecord::opener`].
    unsafe fn resolver(&self, path: Option<&Path>) -> Result<Option<Arc<dyn Resolver>>> {
        let follow = self.has(DISKIMG_OPEN_REFERENCES);
        let searches = !self.search_directory.is_null();
        if let Some(resolver) = CallbackResolver::new(self.resolve, self.resolve_user) {
            return match (follow, searches) {
                (true, _) => Err(invalid("flags", "either resolve or DISKIMG_OPEN_REFERENCES, not both")),
                (false, true) => Err(invalid("search_directory", "NULL if resolve is set")),
                (false, false) => Ok(Some(Arc::new(resolver))),
            };
        }
        let mut directories = SearchPath::default();
        if searches {
            // SAFETY: guaranteed by the caller.
            let directory = unsafe { strings::path(self.search_directory) }?;
            let opened = WithinDirectory::new(&directory);
            directories.push(opened.map_err(|error| error.field("search_directory"))?.by_last_component());
        }
        if follow {
            directories.push(self.directory_of(path)?);
        }
        Ok((searches || follow).then(|| Arc::new(directories) as Arc<dyn Resolver>))
    }

    /// Returns the directory of `DISKIMG_OPEN_REFERENCES`.
    fn directory_of(&self, path: Option<&Path>) -> Result<WithinDirectory> {
        if self.has(DISKIMG_OPEN_DIR_FD) {
            return WithinDirectory::opened(duplicate(self.dir_fd, "dir_fd")?);
        }
        let path = path.ok_or_else(|| {
            invalid(
                "flags",
                "DISKIMG_OPEN_DIR_FD together with DISKIMG_OPEN_REFERENCES, because the image has no path",
            )
        })?;
        WithinDirectory::of_image(path)
    }
}

fn limit_kind(limit: &Setting) -> Result<LimitKind> {
    LimitKind::by_name(&limit.name).ok_or_else(|| {
        let names: Vec<_> = LimitKind::all().map(LimitKind::name).collect();
        invalid("limits", format_args!("one of {}", names.join(", "))).found_name(limit.name.as_bytes())
    })
}

/// Duplicates `fd`. The caller keeps ownership of `fd`.
pub(crate) fn duplicate(fd: RawFd, field: &'static str) -> Result<File> {
    if fd < 0 {
        return Err(invalid(field, "an open file descriptor").found(fd));
    }
    // SAFETY: not -1, and the header requires a descriptor that is open during the call. A closed one gives EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = borrowed.try_clone_to_owned().map_err(|error| Error::from(error).field(field))?;
    Ok(File::from(owned))
}
