//! The options and the result of a conversion, for C, and its target.

use std::ffi::{c_char, c_void};
use std::fs::File;

use diskimg::{
    BlockSink, ConvertOptions, Converted, Driver, Preallocation, Result, Setting, Sparse, Target, driver,
};

use crate::argument::{check_flags, check_reserved, invalid};
use crate::callback_sink::CallbackSink;
use crate::format::{FormatNumber, driver_of};
use crate::io::Callbacks;
use crate::progress::{CallHooks, CancelFlag, ProgressFn};
use crate::sized_record::SizedRecord;
use crate::strings;
use crate::target_record::Destination;

/// Replaces an existing file once the new one is complete. Without it, an existing file is
/// DISKIMG_ERR_EXISTS.
pub const DISKIMG_CONVERT_OVERWRITE: u32 = 1 << 0;
/// Compresses clusters or grains, if the format supports it. Without it, they are stored uncompressed.
pub const DISKIMG_CONVERT_COMPRESS: u32 = 1 << 1;
/// Writes stored zeros as data. Holes of the source still become holes. Without it, stored zeros become holes
/// too, as `sparse_size` says.
pub const DISKIMG_CONVERT_NO_SPARSE: u32 = 1 << 2;
/// Writes into an existing file or block device, which keeps its size. A raw target keeps its bytes past
/// the disk. Any other target must be an image of the format that reads as zeros and has no backing
/// file, parent, data file, snapshot or bitmap; it is rewritten with its own size and settings. Without
/// it, a path gets a new file, an open file is truncated first, and a block device is overwritten.
pub const DISKIMG_CONVERT_IN_PLACE: u32 = 1 << 3;
/// Assumes that an existing target reads as zeros: it is not truncated first, and zeros are not written. The
/// same applies to a file that callbacks provide. Without it, zeros are written unless the target is new or
/// truncated.
pub const DISKIMG_CONVERT_TARGET_IS_ZERO: u32 = 1 << 4;
/// Returns before the data is on stable storage. Without it, the data is durable when the call returns.
pub const DISKIMG_CONVERT_NO_SYNC: u32 = 1 << 5;
/// Bypasses the page cache when writing the file, where the system supports it. Without it, the page cache is
/// used.
pub const DISKIMG_CONVERT_DIRECT: u32 = 1 << 6;

/// Writes all zeros as data, also those of holes: the target has no holes, and a block device receives all
/// bytes. Without it, holes of the source stay holes.
pub const DISKIMG_CONVERT_STORE_ZEROS: u32 = 1 << 7;
/// Passes each write to stable storage before the next (O_DSYNC), where the system supports it. Without it,
/// the data is synced at the end.
pub const DISKIMG_CONVERT_WRITE_THROUGH: u32 = 1 << 8;
/// Neither takes the locks of QEMU on a target that is opened by path, nor asks for those of others. Without
/// it, a target that another process uses is DISKIMG_ERR_IN_USE.
pub const DISKIMG_CONVERT_IGNORE_LOCKS: u32 = 1 << 9;

const FLAGS: u32 = (1 << 10) - 1;

/// Blocks are allocated when they are written.
pub const DISKIMG_PREALLOCATION_OFF: u32 = 0;
/// Allocates all blocks of a raw file first.
pub const DISKIMG_PREALLOCATION_FALLOC: u32 = 1;
/// Writes zeros to all blocks of a raw file first.
pub const DISKIMG_PREALLOCATION_FULL: u32 = 2;

/// The options to convert or create a disk with. Initialise it with DISKIMG_CONVERT_OPTIONS_INIT. A member
/// that is zero has its default; NULL for the structure sets all defaults: a sparse raw file, durable when
/// the call returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConvertOptionsRecord {
    /// sizeof(diskimg_convert_options).
    pub struct_size: usize,
    /// Bits of DISKIMG_CONVERT_*.
    pub flags: u32,
    /// The format of the target; DISKIMG_FORMAT_AUTO means raw.
    pub format: FormatNumber,
    /// The number of worker threads; 0 for one per core. The output does not depend on it.
    pub threads: u32,
    /// The compression level; 0 for the method's default.
    pub level: i32,
    /// One of DISKIMG_PREALLOCATION_*, for raw files only. `settings` can set it for all formats.
    pub preallocation: u32,
    /// Must be 0.
    pub reserved: u32,
    /// The size of the buffers of all threads together, in bytes; 0 for 32 MiB.
    pub max_memory: u64,
    /// The smallest run of zeros that becomes a hole, in bytes: a power of two of at least 512. All data
    /// is then searched. 0 means 4 KiB; data that the kernel copies is then not searched.
    pub sparse_size: u64,
    /// The settings of the target, as for `qemu-img -o`: "cluster_size=2M,compat=v3", for raw "preallocation=full". They win
    /// over other members. diskimg_get_setting() lists them. May be NULL.
    pub settings: *const c_char,
    /// Receives progress; may be NULL.
    pub progress: ProgressFn,
    /// Passed to `progress`.
    pub progress_user: *mut c_void,
    /// Cancels the call when it is triggered, and for a writer also diskimg_finish(); may be NULL.
    pub cancel: *const CancelFlag,
    /// The largest number of bytes of the disk to write per second; 0 for no limit.
    pub rate: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl SizedRecord for ConvertOptionsRecord {}

/// The result of a conversion, in bytes of the guest's disk. Initialise it with DISKIMG_CONVERT_RESULT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConvertResultRecord {
    /// sizeof(diskimg_convert_result).
    pub struct_size: usize,
    /// The size of the disk.
    pub virtual_size: u64,
    /// The bytes stored as data, before compression.
    pub written: u64,
    /// The part of `written` that the kernel copied from file to file.
    pub copied: u64,
    /// The bytes left as holes or zeros.
    pub zeros: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers.
unsafe impl SizedRecord for ConvertResultRecord {}

impl From<Converted> for ConvertResultRecord {
    fn from(done: Converted) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            virtual_size: done.virtual_size,
            written: done.written,
            copied: done.copied,
            zeros: done.zeros,
        }
    }
}

impl ConvertOptionsRecord {
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Returns the callback and the flag of these options.
    ///
    /// # Safety
    /// `cancel` is NULL or a flag that is not freed.
    pub(crate) unsafe fn hooks(&self) -> CallHooks {
        // SAFETY: guaranteed by the caller.
        unsafe { CallHooks::new(self.progress, self.progress_user, self.cancel) }
    }

    /// Returns the driver of the target format.
    pub(crate) fn driver(&self) -> Result<&'static Driver> {
        match driver_of(self.format)? {
            Some(driver) => Ok(driver),
            None => driver("raw"),
        }
    }

    pub(crate) fn convert_options(&self) -> Result<ConvertOptions> {
        let mut options = ConvertOptions::default();
        options.threads = usize::try_from(self.threads).unwrap_or(usize::MAX);
        if self.max_memory != 0 {
            options.memory = self.max_memory;
        }
        options.rate = (self.rate != 0).then_some(self.rate);
        options.sparse = match self.sparse_size {
            _ if self.has(DISKIMG_CONVERT_NO_SPARSE | DISKIMG_CONVERT_STORE_ZEROS) => Sparse::Never,
            0 => Sparse::Auto,
            bytes if bytes.is_power_of_two() && bytes >= 512 => Sparse::Search(bytes),
            bytes => {
                return Err(invalid("sparse_size", "0, or a power of two of at least 512").found(bytes));
            }
        };
        Ok(options)
    }

    /// Returns the target at `place`.
    ///
    /// # Safety
    /// The strings are NULL or end with a NUL, and the flag is NULL or not freed.
    ///
    /// # Errors
    /// Rejects invalid options.
    pub(crate) unsafe fn target(&self, place: Destination) -> Result<Target> {
        self.check()?;
        let format = self.driver()?.format;
        let target = match place {
            Destination::Path(path) => Target::file(path, format),
            Destination::Stream(stream) => Target::stream(stream, format),
            Destination::File(file) if is_disk(&file)? => Target::open_file(file, format),
            Destination::File(file) => Target::stream(file, format),
            // SAFETY: guaranteed by the caller.
            Destination::Callbacks(callbacks) => unsafe { self.callbacks(callbacks) }?,
        };
        // SAFETY: guaranteed by the caller.
        unsafe { self.with_options(target) }
    }

    /// Applies these options to a target.
    ///
    /// # Safety
    /// As [`ConvertOptionsRecord::target`].
    unsafe fn with_options(&self, mut target: Target) -> Result<Target> {
        target.compress = self.has(DISKIMG_CONVERT_COMPRESS);
        target.level = (self.level != 0).then_some(self.level);
        target.overwrite = self.has(DISKIMG_CONVERT_OVERWRITE);
        target.in_place = self.has(DISKIMG_CONVERT_IN_PLACE);
        target.is_zero = self.has(DISKIMG_CONVERT_TARGET_IS_ZERO);
        target.direct = self.has(DISKIMG_CONVERT_DIRECT);
        target.durable = !self.has(DISKIMG_CONVERT_NO_SYNC);
        target.store_zeros = self.has(DISKIMG_CONVERT_STORE_ZEROS);
        target.write_through = self.has(DISKIMG_CONVERT_WRITE_THROUGH);
        // SAFETY: guaranteed by the caller.
        target.cancel = unsafe { self.hooks() }.cancel();
        target.lock = !self.has(DISKIMG_CONVERT_IGNORE_LOCKS);
        target.preallocation = self.preallocation()?;
        // SAFETY: guaranteed by the caller.
        if let Some(settings) = unsafe { strings::optional(self.settings, "settings") }? {
            target.configure(Setting::parse_list(settings)?)?;
        }
        Ok(target)
    }

    /// Returns a target with these options to measure.
    ///
    /// # Safety
    /// As [`ConvertOptionsRecord::target`].
    ///
    /// # Errors
    /// Rejects invalid options.
    pub(crate) unsafe fn measured_target(&self) -> Result<Target> {
        self.check()?;
        // SAFETY: guaranteed by the caller.
        unsafe { self.with_options(Target::file("", self.driver()?.format)) }
    }

    /// Checks the options that do not depend on the target.
    pub(crate) fn check(&self) -> Result<()> {
        check_flags(self.flags, FLAGS)?;
        check_reserved(self.reserved)?;
        self.preallocation()?;
        self.convert_options()?;
        self.driver().map(drop)
    }

    fn preallocation(&self) -> Result<Preallocation> {
        match self.preallocation {
            DISKIMG_PREALLOCATION_OFF => Ok(Preallocation::Off),
            DISKIMG_PREALLOCATION_FALLOC => Ok(Preallocation::Falloc),
            DISKIMG_PREALLOCATION_FULL => Ok(Preallocation::Full),
            other => Err(invalid("preallocation", "one of DISKIMG_PREALLOCATION_*").found(other)),
        }
    }

    /// # Safety
    /// As [`ConvertOptionsRecord::hooks`].
    unsafe fn callbacks(&self, callbacks: Callbacks) -> Result<Target> {
        let format = self.driver()?.format;
        // A raw disk is written once per byte. An image may zero a range of its file that it has written.
        let is_zero = format.name() == "raw" && self.has(DISKIMG_CONVERT_TARGET_IS_ZERO);
        let sync = !self.has(DISKIMG_CONVERT_NO_SYNC);
        // SAFETY: guaranteed by the caller.
        let cancel = unsafe { self.hooks() }.cancel();
        let create = move |size| -> Result<Box<dyn BlockSink>> {
            Ok(Box::new(CallbackSink::new(callbacks, size, is_zero, sync, cancel)?))
        };
        Ok(Target::sink_with(create, format))
    }
}

/// Returns true if an open file accepts writes in any order, and for a directory, which is refused as such a file.
fn is_disk(file: &File) -> Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    let kind = file.metadata()?.file_type();
    Ok(kind.is_file() || kind.is_block_device() || kind.is_dir())
}
