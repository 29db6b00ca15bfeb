//! References of an image to other files.

use std::borrow::Cow;

use crate::{Error, ErrorKind, Format, Identity, ReferenceRole, Remedy};

/// A reference of an image to another file. It is untrusted input and must never be opened as a path directly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Creates a reference by a name that is stored in an image of the format `found_in`. Empty if the file is identified
    /// by its identity alone.
    #[must_use]
    pub fn new(role: ReferenceRole, name: impl Into<Vec<u8>>, found_in: Format) -> Self {
        let (name, identity) = (name.into(), Identity::default());
        Self { role, name, identity, format: None, found_in, offset: None }
    }

    /// Returns the reference with another name.
    #[must_use]
    pub fn with_name(&self, name: Vec<u8>) -> Self {
        Self { name, ..self.clone() }
    }

    /// Returns the name as text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn name_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// Returns the error of a resolver that refuses this reference: [`ErrorKind::Denied`], naming it.
    #[must_use]
    pub fn denied(&self) -> Error {
        self.describe(Error::new(ErrorKind::Denied))
            .because("following references of an image is not allowed")
            .with_remedy(Remedy::FollowReferences { role: self.role })
    }

    /// Adds the role, the name and its offset to an error about this reference. A file without a name is described by
    /// its UUID.
    #[must_use]
    pub fn describe(&self, error: Error) -> Error {
        let error = error.format(self.found_in).field(self.role.name());
        let error = match self.identity.uuid_text() {
            Some(uuid) if self.name.is_empty() => error.found(format_args!("an image with the UUID {uuid}")),
            _ => error.found_name(&self.name),
        };
        match self.offset {
            Some(offset) => error.at(offset),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(role: ReferenceRole, name: &[u8], uuid: Option<[u8; 16]>) -> Reference {
        let identity = Identity { uuid, ..Identity::default() };
        Reference {
            role,
            name: name.to_vec(),
            identity,
            format: None,
            found_in: Format::new("test"),
            offset: Some(7),
        }
    }

    #[test]
    fn refused_reference_names_its_role_in_the_remedy() {
        for role in
            [ReferenceRole::Backing, ReferenceRole::Parent, ReferenceRole::DataFile, ReferenceRole::Extent]
        {
            let error = reference(role, b"other", None).denied();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Denied, Some(7)));
            assert_eq!(error.remedy(), Some(Remedy::FollowReferences { role }));
        }
    }

    #[test]
    fn reference_without_a_name_is_described_by_its_uuid() {
        let error = reference(ReferenceRole::Parent, b"", Some([0x1F; 16])).denied().to_string();
        assert!(
            error.contains("parent at byte 7 is an image with the UUID 1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f"),
            "{error}"
        );
        let named = reference(ReferenceRole::Parent, b"base", Some([0x1F; 16])).denied().to_string();
        assert!(named.contains("is \"base\"") && !named.contains("1f1f"), "{named}");
    }
}
