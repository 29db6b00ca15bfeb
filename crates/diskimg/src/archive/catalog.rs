//! The members of an archive: its disks, its OVF descriptor and its manifest.
//!
//! Files and streams fill a catalog by the same calls, in the order of the archive. [`Catalog::conclude`] chooses the
//! disk when all members are known.

use std::collections::HashMap;

use diskimg_core::{Error, ErrorKind, Format, Remedy, Result};

use super::manifest::{Manifest, MemberHasher};
use super::member_kind::{DiskKind, MemberKind};
use super::name_list::NameList;
use super::names::{MemberId, MemberIds, NamedRole};
use super::ovf::{Ovf, OvfFile};
use super::recognise::OVA;
use super::tar::{RefusedMember, TarMember};
use super::tar_header::{TAR, shown};
use super::unrecognised::UnrecognisedMembers;

/// The maximum number of bytes of all names that are stored. Our limit.
const MAX_NAMES: usize = 64 << 10;

/// The maximum number of keys of extended headers that a finding lists. Our limit.
const MAX_KEYS: usize = 16;

/// The longest descriptor or manifest in bytes. Our limit; [`diskimg_core::Limits::header_bytes`] may be lower.
pub(super) const MAX_TEXT: u64 = 1 << 20;

/// The members of an archive so far.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(super) requested: Option<String>,
    pub(super) ids: MemberIds,
    /// The length of each member, and the number of members with the name.
    members: HashMap<MemberId, (u64, usize)>,
    pub(super) disks: Vec<CatalogDisk>,
    /// The bytes of the names stored.
    stored: usize,
    /// The disk that a stream passes on.
    pub(super) selected: Option<MemberId>,
    pub(super) descriptor: OvfDescriptor,
    pub(super) manifest: Option<Manifest>,
    /// Members that are not searched, and members that are not read.
    pub(super) unsearched: NameList,
    pub(super) unread: NameList,
    /// Members that are not recognised as disks.
    pub(super) unrecognised: UnrecognisedMembers,
    /// The keys of extended headers that are not known and were ignored.
    pub(super) ignored_keys: Vec<String>,
}

/// The descriptor of an archive.
#[derive(Default)]
pub(super) enum OvfDescriptor {
    #[default]
    None,
    Read {
        ovf: Ovf,
        name: String,
        id: MemberId,
        hasher: Box<MemberHasher>,
    },
    /// A descriptor that cannot be read, and the reason.
    Unreadable(String),
}

/// A disk of an archive.
#[derive(Clone, Debug)]
pub(super) struct CatalogDisk {
    pub(super) id: MemberId,
    /// Its name as it is listed: escaped and short; empty if too many names are stored.
    pub(super) name: String,
    pub(super) kind: DiskKind,
}

/// The result of [`Catalog::add`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DiskMatch {
    /// The selected disk, unless the choice becomes ambiguous later.
    Selected,
    /// A second disk, while no name is requested.
    Ambiguous,
    /// A member that is not selected.
    Other,
}

impl Catalog {
    pub(super) fn new(requested: Option<&str>) -> Self {
        Self { requested: requested.map(str::to_owned), ..Self::default() }
    }

    /// The kind of the archive.
    pub(super) fn format(&self) -> Format {
        if matches!(self.descriptor, OvfDescriptor::None) { TAR } else { OVA }
    }

    pub(super) fn is_requested(&self, name: &str) -> bool {
        self.requested.as_deref().is_some_and(|requested| self.ids.of(requested) == self.ids.of(name))
    }

    /// Returns true if [`Catalog::add`] may select a member of this name.
    pub(super) fn may_select(&self, name: &str) -> bool {
        self.selected.is_none() && (self.requested.is_none() || self.is_requested(name))
    }

    /// Adds a file.
    pub(super) fn begin(&mut self, member: &TarMember) {
        let (last, count) = self.members.entry(self.ids.of(&member.name)).or_default();
        (*last, *count) = (member.size(), count.saturating_add(1));
        let key = member.ignored_key.as_ref().filter(|key| !self.ignored_keys.contains(key));
        self.ignored_keys.extend(key.filter(|_| self.ignored_keys.len() < MAX_KEYS).cloned());
    }

    /// Adds a file of `size` bytes that its bytes do not show to be a disk.
    pub(super) fn unrecognised(&mut self, name: &str, size: u64, is_compressed: bool) {
        self.unrecognised.add(self.ids.of(name), name, size, is_compressed);
    }

    /// Returns the length of a member, and the number of members with this name.
    pub(super) fn member(&self, id: MemberId) -> Option<(u64, usize)> {
        self.members.get(&id).copied()
    }

    /// Adds the kind of a file.
    pub(super) fn add(&mut self, name: &str, kind: MemberKind) -> DiskMatch {
        let id = self.ids.of(name);
        let disk = match kind {
            MemberKind::Disk(disk) => Some(disk),
            _ if self.is_disk_of_descriptor(id) => Some(DiskKind::default()),
            MemberKind::Unsearched(format) => {
                self.unsearched.add(&format!("{} ({format})", shown(name)));
                None
            }
            MemberKind::Other => None,
        };
        if let Some(kind) = disk {
            let listed = Some(shown(name)).filter(|name| self.stored.saturating_add(name.len()) <= MAX_NAMES);
            let name = listed.unwrap_or_default();
            self.stored = self.stored.saturating_add(name.len());
            self.disks.push(CatalogDisk { id, name, kind });
        }
        let is_candidate = match &self.requested {
            Some(_) => self.is_requested(name),
            None => disk.is_some_and(|kind| !self.is_attached_disc(id, kind)),
        };
        match self.selected {
            _ if !is_candidate => DiskMatch::Other,
            None => {
                self.selected = Some(id);
                DiskMatch::Selected
            }
            Some(_) if self.requested.is_none() && self.is_ambiguous() => DiskMatch::Ambiguous,
            Some(_) => DiskMatch::Other,
        }
    }

    /// Returns true if several disks were found, whatever follows.
    fn is_ambiguous(&self) -> bool {
        // A descriptor may still say that a disc is not one of the disks.
        let is_open = matches!(self.descriptor, OvfDescriptor::None);
        let disks = self.disks.iter().filter(|disk| {
            !(self.is_attached_disc(disk.id, disk.kind) || is_open && disk.kind.is_optical_disc)
        });
        disks.count() > 1
    }

    /// Adds a member that cannot be read.
    ///
    /// # Errors
    /// The error of the member, unless it is a link or another one is requested.
    pub(super) fn refused(&mut self, member: RefusedMember) -> Result<()> {
        let concerns = match &self.requested {
            Some(_) => self.is_requested(&member.name),
            None => !member.is_link,
        };
        if concerns {
            return Err(member.error);
        }
        self.unread.add(&shown(&member.name));
        Ok(())
    }

    /// Adds the text of a descriptor or manifest; `None` if it is too long.
    pub(super) fn text(&mut self, role: NamedRole, name: &str, text: Option<&[u8]>) {
        match role {
            NamedRole::Descriptor if matches!(self.descriptor, OvfDescriptor::None) => {
                let parsed =
                    text.ok_or_else(|| format!("it is longer than {MAX_TEXT} bytes")).and_then(Ovf::parse);
                self.descriptor = match parsed {
                    Ok(mut ovf) => {
                        ovf.locate(name, &self.ids);
                        let mut hasher = MemberHasher::for_any();
                        hasher.update(text.unwrap_or_default());
                        let (name, id) = (name.to_owned(), self.ids.of(name));
                        OvfDescriptor::Read { ovf, name, id, hasher: Box::new(hasher) }
                    }
                    Err(reason) => OvfDescriptor::Unreadable(format!("'{}': {reason}", shown(name))),
                };
            }
            NamedRole::Manifest => {
                let manifest = self.manifest.get_or_insert_default();
                match text {
                    Some(text) => manifest.add(text, name, &self.ids),
                    None => manifest.bad_line = manifest.bad_line.or(Some(1)),
                }
            }
            NamedRole::Descriptor | NamedRole::Other => {}
        }
    }

    /// The OVF descriptor, if it can be read.
    pub(super) fn ovf(&self) -> Option<&Ovf> {
        match &self.descriptor {
            OvfDescriptor::Read { ovf, .. } => Some(ovf),
            _ => None,
        }
    }

    /// Returns true if the descriptor's file is this member.
    pub(super) fn is_file(&self, file: &OvfFile, id: MemberId) -> bool {
        self.member_of(file) == Some(id)
    }

    /// Returns the member that is a file of the descriptor.
    pub(super) fn member_of(&self, file: &OvfFile) -> Option<MemberId> {
        self.first_member(&file.ids)
    }

    /// Returns the first of these that is a member.
    pub(super) fn first_member(&self, ids: &[MemberId]) -> Option<MemberId> {
        ids.iter().copied().find(|id| self.members.contains_key(id))
    }

    /// Returns the files of the disks of the descriptor.
    pub(super) fn disk_files(&self) -> impl Iterator<Item = &OvfFile> {
        self.ovf().into_iter().flat_map(|ovf| ovf.disks.iter().filter_map(|disk| ovf.file_of(disk)))
    }

    pub(super) fn is_disk_of_descriptor(&self, id: MemberId) -> bool {
        self.disk_files().any(|file| self.is_file(file, id))
    }

    /// Returns true for an optical disc that the descriptor lists among its files, but not among its disks.
    pub(super) fn is_attached_disc(&self, id: MemberId, kind: DiskKind) -> bool {
        let Some(ovf) = self.ovf().filter(|_| kind.is_optical_disc) else { return false };
        self.disk_files().next().is_some()
            && !self.is_disk_of_descriptor(id)
            && ovf.files.iter().any(|file| self.is_file(file, id))
    }

    /// The error for an archive without a disk.
    pub(super) fn no_disk(&self) -> Error {
        let not_searched = match self.unsearched.to_string() {
            names if names.is_empty() => names,
            names => format!("; not searched: {names}"),
        };
        Error::new(ErrorKind::Unsupported)
            .format(self.format())
            .because(format_args!("it holds no disk image{not_searched}"))
    }

    /// The error for several members of one name, of which the last replaces the others when the archive is unpacked.
    pub(super) fn duplicate(&self, name: &str, count: usize) -> Error {
        Error::new(ErrorKind::InvalidInput)
            .format(self.format())
            .field("disk")
            .found(format_args!("{count} members named '{name}'"))
            .expected("one")
    }

    /// The error for a choice between these disks.
    pub(super) fn no_choice<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Error {
        let mut list = NameList::default();
        names.into_iter().for_each(|name| list.add(name));
        let error = Error::new(ErrorKind::InvalidInput).format(self.format()).field("disk").found(&list);
        match &self.requested {
            Some(requested) => error.expected(format_args!("'{}'", requested.escape_debug())),
            None => error.expected("one disk, or the name of one").with_remedy(Remedy::NameMember),
        }
    }

    /// The error for the disks so far, of which the archive has several.
    pub(super) fn ambiguous(&self) -> Error {
        let is_disk = |disk: &&CatalogDisk| !self.is_attached_disc(disk.id, disk.kind);
        let disks: Vec<&CatalogDisk> = self.disks.iter().filter(is_disk).collect();
        match disks.as_slice() {
            [first, others @ ..] if others.iter().all(|other| other.id == first.id) => {
                self.duplicate(&first.name, disks.len())
            }
            _ => self.no_choice(disks.iter().map(|disk| disk.name.as_str())),
        }
    }

    /// Replaces the error for too many members if none of them is a disk.
    pub(super) fn or_no_disk(&self, error: Error) -> Error {
        let has_too_many = error.kind() == ErrorKind::Limit && error.field_name() == Some("members");
        let is_plain = self.disks.is_empty() && self.requested.is_none() && self.format() == TAR;
        if has_too_many && is_plain {
            self.no_disk().because("no disk image is among its first members")
        } else {
            error
        }
    }
}
