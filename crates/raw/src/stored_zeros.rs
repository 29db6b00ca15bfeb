//! The way in which a file or device stores zeros.

/// The way in which a host file or block device stores zeros, from the least space to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum StoredZeros {
    /// As holes, or discarded on a block device.
    #[default]
    Deallocated,
    /// In allocated blocks, which the system may mark as unwritten.
    Allocated,
    /// As bytes that are written.
    Written,
}
