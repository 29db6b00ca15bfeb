//! The names of the members of an archive.

use std::hash::{BuildHasher, RandomState};

/// Identifies a member by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct MemberId(u64);

/// Computes the ids of names. The key is random, so an archive cannot contain two names with one id on purpose.
#[derive(Clone, Default)]
pub(crate) struct MemberIds(RandomState);

impl MemberIds {
    /// The id of a name. A leading `./` does not count.
    pub(super) fn of(&self, name: &str) -> MemberId {
        let mut name = name;
        while let Some(rest) = name.strip_prefix("./") {
            name = rest.trim_start_matches('/');
        }
        MemberId(self.0.hash_one(name))
    }
}

/// The name of a file that the member `referrer` calls `name`: relative to the directory of that member.
pub(super) fn beside(referrer: &str, name: &str) -> String {
    let directory = referrer.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts = Vec::new();
    for part in directory.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            // The name of no member, if it leads out of the archive.
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The role of a member according to its name. Any member may be a disk as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NamedRole {
    /// The descriptor of an OVF package.
    Descriptor,
    /// The digests of the files.
    Manifest,
    Other,
}

impl NamedRole {
    pub(super) fn of(name: &str) -> Self {
        let ends_with = |end: &str| {
            let from = name.len().saturating_sub(end.len());
            name.get(from..).is_some_and(|found| found.eq_ignore_ascii_case(end))
        };
        match () {
            () if ends_with(".ovf") => Self::Descriptor,
            () if ends_with(".mf") => Self::Manifest,
            () => Self::Other,
        }
    }
}
