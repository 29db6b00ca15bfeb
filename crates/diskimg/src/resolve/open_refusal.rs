//! The outcome of opening a name in a directory.

/// The reason why a name in a directory was not opened.
pub(super) enum OpenRefusal {
    /// It leads out of the directory.
    Outside,
    /// An error of the system.
    System(std::io::Error),
}
