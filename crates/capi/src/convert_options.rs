//! How a conversion is done, as C says it, and where it goes.

use std::ffi::{c_char, c_void};
use std::fs::File;
use std::path::PathBuf;

use diskimg::{
    BlockSink, BlockSource, ConvertOptions, Converted, Driver, FileSink, Measured, Preallocation, Result,
    Setting, SinkOptions, Sparse, Target, driver,
};

use crate::format::{FormatNumber, driver_of};
use crate::guard::{check_flags, invalid};
use crate::io::Callbacks;
use crate::progress::{CancelFlag, ProgressFn};
use crate::record::Record;
use crate::sink::CallbackSink;
use crate::stream::Outgoing;
use crate::strings;

/// A file that exists is replaced, once the new one is whole. Without it that is DISKIMG_ERR_EXISTS.
pub const DISKIMG_CONVERT_OVERWRITE: u32 = 1 << 0;
/// Units (clusters, grains) are stored compressed, by a format that can. Without it as they are.
pub const DISKIMG_CONVERT_COMPRESS: u32 = 1 << 1;
/// Stored zeros are written as bytes. What the source says is a hole is one all the same. Without it stored zeros
/// become holes too, by `sparse_size`.
pub const DISKIMG_CONVERT_NO_SPARSE: u32 = 1 << 2;
/// A file that exists is written into, in place; block devices always are. Without it a file at a path is a new one.
pub const DISKIMG_CONVERT_IN_PLACE: u32 = 1 << 3;
/// What is written in place, or by callbacks, is known to read as zeros: these are left out then. Without it a file is
/// emptied first, and zeros are written elsewhere.
pub const DISKIMG_CONVERT_TARGET_IS_ZERO: u32 = 1 << 4;
/// Returns before the bytes are on stable storage. Without it they are when the call returns.
pub const DISKIMG_CONVERT_NO_SYNC: u32 = 1 << 5;
/// The file is written past the page cache, where the system can. Without it through it.
pub const DISKIMG_CONVERT_DIRECT: u32 = 1 << 6;

const FLAGS: u32 = (1 << 7) - 1;

/// Blocks are given out when they are written.
pub const DISKIMG_PREALLOCATION_OFF: u32 = 0;
/// All blocks of a raw file are given out first.
pub const DISKIMG_PREALLOCATION_FALLOC: u32 = 1;
/// All blocks of a raw file are written with zeros first.
pub const DISKIMG_PREALLOCATION_FULL: u32 = 2;

/// How a disk is converted or created. Begin with DISKIMG_CONVERT_OPTIONS_INIT; members left at zero have their
/// defaults, and so has NULL for the whole: a sparse raw file, durable when the call returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConvertRecord {
    /// sizeof(diskimg_convert_options).
    pub struct_size: usize,
    /// Bits of DISKIMG_CONVERT_*.
    pub flags: u32,
    /// The format of the target; DISKIMG_FORMAT_AUTO is raw.
    pub format: FormatNumber,
    /// Worker threads; 0 for one a core. The bytes written do not depend on it.
    pub threads: u32,
    /// The compression level; 0 for the method's default.
    pub level: i32,
    /// One of DISKIMG_PREALLOCATION_*, for raw files; an image format has a setting for it.
    pub preallocation: u32,
    /// 0.
    pub reserved: u32,
    /// Bytes of buffers over all threads; 0 for 32 MiB.
    pub max_memory: u64,
    /// Runs of zeros of this many bytes become holes, a power of two of at least 512: all bytes are searched
    /// then. 0: by 4 KiB, where bytes pass through our hands at all.
    pub sparse_size: u64,
    /// The format's own settings, as `qemu-img -o` takes them: "cluster_size=2M,compat=v3". May be NULL.
    pub settings: *const c_char,
    /// Told of progress; may be NULL.
    pub progress: ProgressFn,
    /// Handed to `progress`.
    pub progress_user: *mut c_void,
    /// Stops the work when it is triggered; may be NULL.
    pub cancel: *const CancelFlag,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers, null pointers and absent functions.
unsafe impl Record for ConvertRecord {}

/// What a conversion did, in bytes of the guest's disk. Begin with DISKIMG_CONVERT_RESULT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConvertResult {
    /// sizeof(diskimg_convert_result).
    pub struct_size: usize,
    /// Size of the disk.
    pub virtual_size: u64,
    /// Bytes stored as data, before any compression.
    pub written: u64,
    /// Bytes of these that the kernel copied from file to file.
    pub copied: u64,
    /// Bytes left as holes or zeros.
    pub zeros: u64,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers.
unsafe impl Record for ConvertResult {}

impl From<Converted> for ConvertResult {
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

/// Where a disk is written.
pub(crate) enum Place {
    Path(PathBuf),
    File(File),
    Callbacks(Callbacks),
    Stream(Outgoing),
}

impl ConvertRecord {
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The format of the target.
    pub(crate) fn driver(&self) -> Result<&'static Driver> {
        match driver_of(self.format)? {
            Some(driver) => Ok(driver),
            None => driver("raw"),
        }
    }

    /// Whether a target can be made before the size of the disk is known.
    pub(crate) fn takes_any_size(&self) -> Result<bool> {
        Ok(self.is_raw()? && self.preallocation == DISKIMG_PREALLOCATION_OFF)
    }

    fn is_raw(&self) -> Result<bool> {
        Ok(self.driver()?.format.name() == "raw")
    }

    pub(crate) fn how(&self) -> Result<ConvertOptions> {
        let mut how = ConvertOptions::default();
        how.threads = usize::try_from(self.threads).unwrap_or(usize::MAX);
        if self.max_memory != 0 {
            how.memory = self.max_memory;
        }
        how.sparse = match self.sparse_size {
            _ if self.has(DISKIMG_CONVERT_NO_SPARSE) => Sparse::Never,
            0 => Sparse::Auto,
            bytes if bytes.is_power_of_two() && bytes >= 512 => Sparse::Search(bytes),
            bytes => {
                return Err(invalid("sparse_size", "0, or a power of two of at least 512").found(bytes));
            }
        };
        Ok(how)
    }

    /// Makes the target for a disk of `size` bytes; `None` where that is known at its end.
    ///
    /// # Safety
    /// The strings are NULL or end with a NUL.
    ///
    /// # Errors
    /// What cannot be meant, and what the target gives.
    pub(crate) unsafe fn target(&self, place: Place, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        self.check()?;
        let format = self.driver()?.format;
        let target = match place {
            Place::Path(path) => Target::file(path, format),
            Place::Stream(stream) => Target::stream(stream, format),
            Place::File(file) if is_disk(&file)? => {
                // A file is emptied when its sink is made: nothing may be wrong by then.
                // SAFETY: the caller's promise.
                unsafe { self.described(Target::file("", format)) }?.check(size)?;
                Target::sink(Box::new(self.file(file, size)?), format)
            }
            Place::File(file) => Target::stream(file, format),
            Place::Callbacks(callbacks) => Target::sink(Box::new(self.callbacks(callbacks, size)?), format),
        };
        // SAFETY: the caller's promise.
        unsafe { self.described(target) }?.create(size)
    }

    /// A target with everything that these options say of it.
    ///
    /// # Safety
    /// As [`ConvertRecord::target`].
    unsafe fn described(&self, mut target: Target) -> Result<Target> {
        // SAFETY: the caller's promise.
        if let Some(settings) = unsafe { strings::optional(self.settings, "settings") }? {
            target.settings = Setting::parse_list(settings)?;
        }
        target.compress = self.has(DISKIMG_CONVERT_COMPRESS);
        target.level = (self.level != 0).then_some(self.level);
        target.overwrite = self.has(DISKIMG_CONVERT_OVERWRITE);
        target.in_place = self.has(DISKIMG_CONVERT_IN_PLACE);
        target.is_zero = self.has(DISKIMG_CONVERT_TARGET_IS_ZERO);
        target.direct = self.has(DISKIMG_CONVERT_DIRECT);
        target.durable = !self.has(DISKIMG_CONVERT_NO_SYNC);
        target.preallocation = self.preallocation()?;
        Ok(target)
    }

    /// What a disk would take up as these options make it.
    ///
    /// # Safety
    /// As [`ConvertRecord::target`].
    ///
    /// # Errors
    /// What cannot be meant, what cannot be measured, and what the disk gives.
    pub(crate) unsafe fn measure(&self, disk: &dyn BlockSource) -> Result<Measured> {
        self.check()?;
        // SAFETY: the caller's promise.
        unsafe { self.described(Target::file("", self.driver()?.format)) }?.measure(disk)
    }

    /// What cannot be meant whatever the target is.
    pub(crate) fn check(&self) -> Result<()> {
        check_flags(self.flags, FLAGS)?;
        check_flags(self.reserved, 0)?;
        self.preallocation()?;
        self.how()?;
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

    /// An open file or block device: emptied or zeroed first, unless it is known to be empty.
    fn file(&self, file: File, size: Option<u64>) -> Result<FileSink> {
        let empty = file.metadata().is_ok_and(|there| there.is_file() && there.len() == 0);
        let options = SinkOptions {
            size: if self.is_raw()? { size } else { None },
            is_zero: empty || self.has(DISKIMG_CONVERT_TARGET_IS_ZERO),
            preallocation: self.preallocation()?,
            direct: self.has(DISKIMG_CONVERT_DIRECT),
            sync: !self.has(DISKIMG_CONVERT_NO_SYNC),
            ..SinkOptions::default()
        };
        FileSink::new(file, options)
    }

    fn callbacks(&self, callbacks: Callbacks, size: Option<u64>) -> Result<CallbackSink> {
        let raw = self.is_raw()?;
        // Of a raw disk each byte is mentioned once; the file of an image may be zeroed where it was written.
        let is_zero = raw && self.has(DISKIMG_CONVERT_TARGET_IS_ZERO);
        let size = if raw { size } else { None };
        CallbackSink::new(callbacks, size, is_zero, !self.has(DISKIMG_CONVERT_NO_SYNC))
    }
}

/// Whether an open file takes writes anywhere, and not only in order.
fn is_disk(file: &File) -> Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    let kind = file.metadata()?.file_type();
    Ok(kind.is_file() || kind.is_block_device())
}
