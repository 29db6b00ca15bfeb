//! The identity of an image and of its parent, from the descriptor.

use diskimg_core::Identity;

use crate::descriptor::{Descriptor, NO_PARENT};

/// The identity of the image.
pub(crate) fn identity(descriptor: &Descriptor) -> Identity {
    Identity {
        content_id: descriptor.cid,
        uuid: uuid(descriptor, "ddb.uuid.image"),
        modification_uuid: uuid(descriptor, "ddb.uuid.modification"),
    }
}

/// The identity of the parent; `None` without one.
///
/// A `parentCID` other than ffffffff indicates a parent. That includes fffffffe, the content id of a disk that
/// was never written. A UUID alone indicates one too: VirtualBox leaves the `parentCID` at ffffffff. A UUID of
/// zeros does not; an invalid one does. A `parentCID` of 0 without a file name or UUID does not: govmomi writes it.
pub(crate) fn parent(descriptor: &Descriptor) -> Option<Identity> {
    let is_zero = |byte: &u8| matches!(byte, b'0' | b'-' | b'{' | b'}' | b' ');
    let has_uuid = descriptor.ddb("ddb.uuid.parent").is_some_and(|value| !value.bytes.iter().all(is_zero));
    let hint = descriptor.parent_file_name_hint.as_ref();
    let has_name = has_uuid || hint.is_some_and(|hint| !hint.bytes.trim_ascii().is_empty());
    let content_id = descriptor.parent_cid.filter(|cid| *cid != NO_PARENT && (*cid != 0 || has_name));
    (content_id.is_some() || has_uuid).then(|| Identity {
        content_id,
        uuid: uuid(descriptor, "ddb.uuid.parent"),
        modification_uuid: uuid(descriptor, "ddb.uuid.parentmodification"),
    })
}

/// Parses a UUID of the disk database into the byte order of its text. `None` if it is zero or invalid.
fn uuid(descriptor: &Descriptor, name: &str) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(&descriptor.ddb(name)?.bytes).ok()?;
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}' | ' ')).collect();
    let number = digits.bytes().all(|c| c.is_ascii_hexdigit()).then(|| u128::from_str_radix(&digits, 16));
    let number = number?.ok().filter(|number| *number != 0 && digits.len() == 32)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ddb(lines: &str) -> Descriptor {
        Descriptor::parse(lines.as_bytes(), 0).unwrap()
    }

    #[test]
    fn uuid_alone_names_a_parent_as_in_virtualbox() {
        let child = with_ddb(
            "CID=1\nparentCID=ffffffff\nddb.uuid.parent=\"00112233-4455-6677-8899-aabbccddeeff\"\n\
             ddb.uuid.parentmodification=\"00000000-0000-0000-0000-000000000000\"\n",
        );
        let parent = parent(&child).unwrap();
        let bytes = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255];
        assert_eq!(parent, Identity { uuid: Some(bytes), ..Identity::default() });
    }

    #[test]
    fn parent_that_was_never_written_is_identified_by_its_content_id() {
        let base = identity(&with_ddb("CID=fffffffe\nparentCID=ffffffff"));
        let written = identity(&with_ddb("CID=12345678\nparentCID=ffffffff"));
        let recorded = parent(&with_ddb("CID=fffffffe\nparentCID=fffffffe")).unwrap();
        assert!(recorded.accepts(&base).is_ok());
        assert!(recorded.accepts(&written).is_err(), "written since");
    }

    #[test]
    fn parent_cid_of_zero_names_a_parent_only_with_a_name_or_uuid() {
        assert_eq!(parent(&with_ddb("parentCID=00000000\nparentFileNameHint=\"\"")), None);
        for more in
            ["parentFileNameHint=\"a.vmdk\"", "ddb.uuid.parent=\"00112233-4455-6677-8899-aabbccddeeff\""]
        {
            let parent = parent(&with_ddb(&format!("parentCID=00000000\n{more}"))).unwrap();
            assert_eq!(parent.content_id, Some(0), "{more}");
        }
    }

    #[test]
    fn zero_uuid_names_no_parent() {
        for lines in [
            "",
            "parentCID=ffffffff",
            "parentCID=ffffffff\nddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"",
            "ddb.uuid.parent=\"\"",
        ] {
            assert_eq!(parent(&with_ddb(lines)), None, "{lines}");
        }
        assert_eq!(parent(&with_ddb("ddb.uuid.parent=\"hello\"")), Some(Identity::default()));
    }
}
