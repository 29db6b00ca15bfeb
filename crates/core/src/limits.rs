//! Limits on the cost of hostile input.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, ErrorKind, Fault, LimitKind, Remedy, Result};

/// Limits on the cost of opening and reading an image.
///
/// ```
/// use diskimg_core::Limits;
/// let careful = Limits { virtual_size: 1 << 40, ..Limits::default() };
/// assert!(careful.check_virtual_size(1 << 41).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest accepted virtual size in bytes. Default 64 TiB, our limit; no format of this workspace exceeds
    /// 2^63 - 1. An image that states a larger size is an error however it is asked for: opened, described, probed,
    /// checked or converted.
    pub virtual_size: u64,
    /// The maximum number of bytes cached for one disk, all its layers together: tables, and clusters and grains that
    /// were decompressed and read in part (at most 4 MiB for each layer). A cache keeps the page or cluster that it used
    /// last, whatever its size. Default 16 MiB, our limit: 16 MiB of qcow2 L2 tables map 128 GiB with 64 KiB clusters.
    pub metadata_cache: u64,
    /// The maximum number of bytes that a decoder may allocate for its dictionary or window. Default 128 MiB, which
    /// suffices for `xz -9` (65 MiB) and `zstd --long=27` (128 MiB).
    pub decoder_memory: u64,
    /// The maximum number of layers below the top one of a chain. Default 16, our limit.
    pub chain_depth: u32,
    /// The maximum number of internal snapshots that are listed. Default 65536, the limit of QEMU
    /// (`QCOW_MAX_SNAPSHOTS`).
    pub snapshots: u32,
    /// The maximum number of bytes of names, descriptions and lists stored from the headers of one image. Default 4
    /// MiB.
    pub header_bytes: u64,
    /// The maximum number of decompressed bytes that a probe reads of a compressed stream of unknown format, in which
    /// only a trailer could still name a format. Default 1 GiB, our limit.
    pub probed_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            virtual_size: 64 << 40,
            metadata_cache: 16 << 20,
            decoder_memory: 128 << 20,
            chain_depth: 16,
            snapshots: 65_536,
            header_bytes: 4 << 20,
            probed_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// The value of a limit. `None` for one that is not a field: [`LimitKind::TemporaryFiles`].
    #[must_use]
    pub fn value(&self, kind: LimitKind) -> Option<u64> {
        Some(match kind {
            LimitKind::VirtualSize => self.virtual_size,
            LimitKind::Tables => self.metadata_cache,
            LimitKind::DecoderMemory => self.decoder_memory,
            LimitKind::ChainDepth => self.chain_depth.into(),
            LimitKind::Snapshots => self.snapshots.into(),
            LimitKind::HeaderBytes => self.header_bytes,
            LimitKind::ProbedBytes => self.probed_bytes,
            LimitKind::TemporaryFiles => return None,
        })
    }

    /// Sets a limit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a value that the field cannot hold, and for a limit that is not a field.
    pub fn set(&mut self, kind: LimitKind, value: u64) -> Result<()> {
        let refused = || Error::new(ErrorKind::InvalidInput).field(format!("limit {kind}")).found(value);
        let count =
            || u32::try_from(value).map_err(|_| refused().expected(format_args!("at most {}", u32::MAX)));
        match kind {
            LimitKind::VirtualSize => self.virtual_size = value,
            LimitKind::Tables => self.metadata_cache = value,
            LimitKind::DecoderMemory => self.decoder_memory = value,
            LimitKind::ChainDepth => self.chain_depth = count()?,
            LimitKind::Snapshots => self.snapshots = count()?,
            LimitKind::HeaderBytes => self.header_bytes = value,
            LimitKind::ProbedBytes => self.probed_bytes = value,
            LimitKind::TemporaryFiles => {
                return Err(refused().because("this limit belongs to the temporary files"));
            }
        }
        Ok(())
    }

    /// Returns a budget of [`Limits::header_bytes`].
    #[must_use]
    pub const fn header_budget(&self) -> Budget {
        Budget::new("header", self.header_bytes).of_limit(LimitKind::HeaderBytes)
    }

    /// Returns a budget of [`Limits::metadata_cache`]. `what` is its name in errors.
    #[must_use]
    pub const fn table_budget(&self, what: &'static str) -> Budget {
        Budget::new(what, self.metadata_cache).of_limit(LimitKind::Tables)
    }

    /// Checks the virtual size of an image.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if it is larger than [`Limits::virtual_size`].
    pub fn check_virtual_size(&self, size: u64) -> Result<()> {
        if size <= self.virtual_size {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Limit)
            .field("virtual size")
            .found(size)
            .expected(format_args!("at most {} bytes", self.virtual_size))
            .with_remedy(Remedy::RaiseLimit(LimitKind::VirtualSize)))
    }
}

/// A number of bytes that may be spent, shared by all holders of a reference.
///
/// A count from an image never sizes an allocation directly: it is taken from a budget first, and a failed
/// allocation is an error.
///
/// ```
/// use diskimg_core::{Budget, ErrorKind};
/// let budget = Budget::new("snapshot table", 100);
/// assert_eq!(budget.zeroed(60)?.len(), 60);
/// assert_eq!(budget.zeroed(60).unwrap_err().kind(), ErrorKind::Limit);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Budget {
    what: &'static str,
    limit: Option<LimitKind>,
    total: u64,
    left: AtomicU64,
}

impl Budget {
    /// Creates a budget of `bytes`. `what` is its name in errors.
    #[must_use]
    pub const fn new(what: &'static str, bytes: u64) -> Self {
        Self { what, limit: None, total: bytes, left: AtomicU64::new(bytes) }
    }

    /// Sets the limit that the budget is the value of. Its errors then recommend to raise it.
    #[must_use]
    pub const fn of_limit(mut self, limit: LimitKind) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The bytes left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Spends `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if less is left; nothing is spent then.
    pub fn take(&self, bytes: u64) -> Result<()> {
        let spent =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        match spent {
            Ok(_) => Ok(()),
            Err(left) => {
                let error = Error::new(ErrorKind::Limit)
                    .field(self.what)
                    .found(format_args!("{bytes} more bytes"))
                    .expected(format_args!("at most {left} of {} bytes", self.total));
                Err(match self.limit {
                    Some(limit) => error.with_remedy(Remedy::RaiseLimit(limit)),
                    None => error,
                })
            }
        }
    }

    /// Returns `bytes` that were spent before.
    pub fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Spends `len` bytes and allocates a zeroed buffer of this length.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if less is left or the system has no memory.
    pub fn zeroed(&self, len: u64) -> Result<Vec<u8>> {
        self.take(len)?;
        let refused = || {
            self.give_back(len);
            Error::new(ErrorKind::Limit)
                .field(self.what)
                .because(format_args!("no memory for {len} bytes"))
                .with_fault(Fault::Machine)
        };
        let len = usize::try_from(len).map_err(|_| refused())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| refused())?;
        bytes.resize(len, 0);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limit_is_64_tib() {
        let limits = Limits::default();
        assert!(limits.check_virtual_size(64 << 40).is_ok());
        let error = limits.check_virtual_size((64 << 40) + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.remedy(), Some(Remedy::RaiseLimit(LimitKind::VirtualSize)));
    }

    #[test]
    fn refused_allocation_spends_nothing() {
        let budget = Budget::new("test", u64::MAX);
        assert_eq!(budget.zeroed(u64::MAX / 2).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(budget.left(), u64::MAX);
    }
}
