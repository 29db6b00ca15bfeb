//! Members of an archive that their bytes do not show to be disks, although they may be ones.

use super::name_list::NameList;
use super::names::{MemberId, NamedRole};
use super::tar_header::shown;
use crate::drivers::drivers;

/// The longest member in bytes that is too small for a disk, whatever its name. Our limit.
const SMALL: u64 = 1 << 20;

/// The maximum number of members that are listed. Our limit.
const MAX_LISTED: usize = 64;

/// The members that are not recognised as disks.
#[derive(Default)]
pub(super) struct UnrecognisedMembers {
    members: Vec<(MemberId, String)>,
    unlisted: usize,
}

impl UnrecognisedMembers {
    /// Adds a member of `size` bytes if it may be a disk: by its size or name, or because it is compressed.
    pub(super) fn add(&mut self, id: MemberId, name: &str, size: u64, is_compressed: bool) {
        let may_be_disk = is_compressed || size > SMALL || has_name_of_disk(name);
        if !may_be_disk || size == 0 || NamedRole::of(name) != NamedRole::Other {
            return;
        }
        if self.members.len() >= MAX_LISTED {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        self.members.push((id, format!("'{}' ({size} bytes)", shown(name))));
    }

    /// The members for which `accept` is true.
    pub(super) fn list(&self, accept: impl Fn(MemberId) -> bool) -> NameList {
        let mut list = NameList::default();
        self.members.iter().filter(|(id, _)| accept(*id)).for_each(|(_, text)| list.add(text));
        list
    }

    /// The number of members that are not listed.
    pub(super) fn unlisted(&self) -> usize {
        self.unlisted
    }
}

/// Returns true if the name ends like that of a disk.
fn has_name_of_disk(name: &str) -> bool {
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    let is_extension = |known: &&str| extension.eq_ignore_ascii_case(known);
    ["vhd", "vhdx"].iter().any(is_extension)
        || drivers().iter().any(|driver| driver.extensions.iter().any(is_extension))
}
