//! The identity by which a differencing image records its parent.

use crate::{Error, ErrorKind, Remedy, Result};

/// The identity of an image. A differencing image records the identity of its parent, so that a wrong or modified
/// parent is detected before it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A number that changes when the content changes (VMDK `CID`).
    pub content_id: Option<u32>,
    /// The UUID of the image, in the byte order of its text form (VDI `uuidCreate`, VMDK `ddb.uuid.image`).
    pub uuid: Option<[u8; 16]>,
    /// A UUID that changes when the content changes (VDI `uuidModify`, VMDK `ddb.uuid.modification`).
    pub modification_uuid: Option<[u8; 16]>,
}

impl Identity {
    /// True if nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The UUID in its text form, if it is known.
    #[must_use]
    pub fn uuid_text(&self) -> Option<String> {
        self.uuid.map(uuid)
    }

    /// Checks that `parent` is the image whose identity this is. Members that both know must be equal.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] naming the difference.
    ///
    /// ```
    /// use diskimg_core::Identity;
    /// let recorded = Identity { content_id: Some(7), ..Identity::default() };
    /// assert!(recorded.accepts(&Identity { content_id: Some(7), uuid: Some([1; 16]), ..Identity::default() }).is_ok());
    /// assert!(recorded.accepts(&Identity { content_id: Some(8), ..Identity::default() }).is_err());
    /// ```
    pub fn accepts(&self, parent: &Self) -> Result<()> {
        agree("content id of the parent", self.content_id, parent.content_id, |id| format!("{id:08x}"))?;
        agree("UUID of the parent", self.uuid, parent.uuid, uuid)?;
        agree("modification UUID of the parent", self.modification_uuid, parent.modification_uuid, uuid)
    }
}

fn agree<T: Copy + PartialEq>(
    field: &str,
    recorded: Option<T>,
    found: Option<T>,
    show: fn(T) -> String,
) -> Result<()> {
    match (recorded, found) {
        (Some(recorded), Some(found)) if recorded != found => Err(Error::new(ErrorKind::Denied)
            .field(field)
            .found(show(found))
            .expected(show(recorded))
            .because("the parent is another image, or was modified since")
            .with_remedy(Remedy::AllowParentMismatch)),
        _ => Ok(()),
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = |range: std::ops::Range<usize>| -> String {
        bytes.get(range).unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    [hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_that_both_know_are_compared() {
        let all = Identity { content_id: Some(1), uuid: Some([2; 16]), modification_uuid: Some([3; 16]) };
        assert!(Identity::default().accepts(&all).is_ok());
        assert!(all.accepts(&Identity::default()).is_ok());
        assert!(all.accepts(&all).is_ok());
        let changed = Identity { modification_uuid: Some([4; 16]), ..all.clone() };
        let error = all.accepts(&changed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("04040404-0404-0404-0404-040404040404"), "{error}");
    }
}
