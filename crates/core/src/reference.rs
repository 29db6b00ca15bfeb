//! Names inside an image that point outside it, and who may follow them.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{BlockSource, Error, ErrorKind, Format, Identity, Remedy, Result};

/// A name inside an image that points outside it. Bytes of a stranger: never a path to open as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What the image wants of the file.
    pub role: ReferenceRole,
    /// The name exactly as it stands in the image; empty where the file is known by its identity alone.
    pub name: Vec<u8>,
    /// What the file was known by when the image was made; empty if the image does not say.
    pub identity: Identity,
    /// The format the image says the file has, if it says; not yet escaped.
    pub format: Option<String>,
    /// The format of the image that names it.
    pub found_in: Format,
    /// The byte offset of the name in the image file, if known.
    pub offset: Option<u64>,
}

impl Reference {
    /// The name as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn name_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// The error of whoever refuses this reference: [`ErrorKind::Denied`], naming it.
    #[must_use]
    pub fn denied(&self) -> Error {
        let error = Error::new(ErrorKind::Denied)
            .format(self.found_in)
            .field(self.role.name())
            .found_name(&self.name)
            .because("following names inside an image is not allowed")
            .with_remedy(Remedy::FollowReferences { role: self.role });
        match self.offset {
            Some(offset) => error.at(offset),
            None => error,
        }
    }
}

/// What an image wants of a file it names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReferenceRole {
    /// The layer below: what is unallocated here is read there.
    Backing,
    /// The guest's bytes themselves (a qcow2 external data file).
    DataFile,
    /// One of the files a disk is put together from (a VMDK descriptor's extents).
    Extent,
    /// The parent of a differencing image.
    Parent,
}

impl ReferenceRole {
    /// Whether it is the layer below, which is read where nothing is stored in this one.
    #[must_use]
    pub const fn is_below(self) -> bool {
        matches!(self, Self::Backing | Self::Parent)
    }

    /// In words: `backing file`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backing => "backing file",
            Self::DataFile => "data file",
            Self::Extent => "extent",
            Self::Parent => "parent",
        }
    }
}

/// Turns a [`Reference`] into the bytes of a file, or refuses. The only way out of an image.
///
/// ```
/// use diskimg_core::{BlockSource, Memory, Reference, Resolver, Result};
/// use std::sync::Arc;
///
/// /// Serves one base image to whoever asks for it by its exact name.
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
    /// The bytes of the file that `reference` names, as they lie on disk: whoever asked opens their format.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] (best by [`Reference::denied`]) to refuse; [`ErrorKind::Io`] when the file is
    /// allowed and cannot be opened.
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>>;
}

/// Refuses every reference: the default everywhere.
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
