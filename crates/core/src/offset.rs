//! Byte offsets as types: into the disk that the guest sees, and into the file that stores it.

/// A byte offset in the disk that the guest sees.
///
/// Guest and host offsets are different types so that neither is passed where the other is expected:
///
/// ```compile_fail
/// use diskimg_core::{GuestOffset, HostOffset};
/// fn read_table(at: HostOffset) {}
/// read_table(GuestOffset(65_536));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct GuestOffset(pub u64);

impl GuestOffset {
    /// The offset `bytes` further on, at most `u64::MAX`: no disk ends there.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Bytes from `earlier` to this offset; 0 if `earlier` is past it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A byte offset in an image file, or in an external data file.
///
/// ```
/// use diskimg_core::HostOffset;
/// let table = HostOffset(65_536);
/// assert_eq!(table.plus(512), HostOffset(66_048));
/// assert_eq!(table.plus(512).since(table), 512);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HostOffset(pub u64);

impl HostOffset {
    /// The offset `bytes` further on, at most `u64::MAX`: no file ends there.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Bytes from `earlier` to this offset; 0 if `earlier` is past it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
