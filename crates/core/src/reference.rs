//! References of an image to other files, and resolvers that allow or deny them.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{BlockSource, Error, ErrorKind, Format, Identity, ReferenceRole, Remedy, Result};

/// A reference of an image to another file. It is untrusted input and must never be opened as a path directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The role of the file.
    pub role: ReferenceRole,
    /// The name exactly as stored in the image; empty if the file is identified by its identity alone.
    pub name: Vec<u8>,
    /// The identity of the file when the image was created; empty if the image does not record it.
    pub identity: Identity,
    /// The format of the file, if the image records it; not escaped.
    pub format: Option<String>,
    /// The format of the referring image.
    pub found_in: Format,
    /// The byte offset of the name in the image file, if known.
    pub offset: Option<u64>,
}

impl Reference {
    /// Returns the name as text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn name_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// Returns the error of a resolver that refuses this reference: [`ErrorKind::Denied`], naming it.
    #[must_use]
    pub fn denied(&self) -> Error {
        let error = Error::new(ErrorKind::Denied)
            .format(self.found_in)
            .field(self.role.name())
            .found_name(&self.name)
            .because("following references of an image is not allowed")
            .with_remedy(Remedy::FollowReferences { role: self.role });
        match self.offset {
            Some(offset) => error.at(offset),
            None => error,
        }
    }
}

/// Opens the file of a [`Reference`], or refuses it. No other file is opened for an image.
///
/// ```
/// use diskimg_core::{BlockSource, Memory, Reference, Resolver, Result};
/// use std::sync::Arc;
///
/// /// Resolves the exact name of one base image.
/// struct OneBase(Arc<dyn BlockSource>);
///
/// impl Resolver for OneBase {
///     fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
///         match reference.name.as_slice() {
///             b"base.raw" => Ok(Arc::clone(&self.0)),
///             _ => Err(reference.denied()),
///         }
///     }
/// }
/// # let _ = OneBase(Arc::new(Memory::new(vec![])));
/// ```
pub trait Resolver: Send + Sync {
    /// Returns the bytes of the file of `reference`. The caller opens its format.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if it is refused, preferably by [`Reference::denied`]; [`ErrorKind::Io`] if the file
    /// is allowed and cannot be opened.
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>>;
}

/// Refuses every reference. This is the default everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyReferences;

impl Resolver for DenyReferences {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        Err(reference.denied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_reference_names_its_role_in_the_remedy() {
        for role in
            [ReferenceRole::Backing, ReferenceRole::Parent, ReferenceRole::DataFile, ReferenceRole::Extent]
        {
            let name = b"other".to_vec();
            let (identity, found_in) = (Identity::default(), Format::new("test"));
            let error = Reference { role, name, identity, format: None, found_in, offset: Some(7) }.denied();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Denied, Some(7)));
            assert_eq!(error.remedy(), Some(Remedy::FollowReferences { role }));
        }
    }
}
