//! The name of an image format.

use std::fmt;

/// The name of an image format, as users type it: `raw`, `qcow2`, `vmdk`, `vdi`.
///
/// Each format crate has one constant of this type. Two formats are the same if their names are equal.
///
/// ```
/// use diskimg_core::Format;
/// const QCOW2: Format = Format::new("qcow2");
/// assert_eq!(QCOW2.to_string(), "qcow2");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Format(&'static str);

impl Format {
    /// Creates a format of this name, in lower case without blanks.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as users type it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
