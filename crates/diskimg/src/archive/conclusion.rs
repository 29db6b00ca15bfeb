//! The choice of a disk when all members of an archive are known, and the facts about it.

use diskimg_codec::Wrapper;
use diskimg_core::{Error, ErrorKind, Finding, ImageInfo, Result};

use super::archive_member::ArchiveMember;
use super::catalog::{Catalog, CatalogDisk, OvfDescriptor};
use super::manifest::ManifestDigest;
use super::name_list::NameList;
use super::names::{MemberId, beside};
use super::ovf::{OvfCapacity, OvfDisk, OvfFile};
use super::recognise::OVA;
use super::tar_header::shown;

/// The smallest difference in bytes between the capacity in a descriptor and the size of the disk that is reported: the
/// largest grain of common VMDKs, to which programs round. Our limit.
const ROUNDING: u64 = 64 << 10;

/// The disk of an archive that is read.
pub(crate) struct Conclusion {
    pub(crate) member: ArchiveMember,
    pub(super) id: MemberId,
    /// The digests of the member in the manifest.
    pub(crate) digests: Vec<ManifestDigest>,
    findings: Vec<Finding>,
    capacity: Option<OvfCapacity>,
    /// The reason for which the member must not be read, although it can be described.
    refusal: Option<Error>,
    /// True if the descriptor says that the member is compressed with gzip.
    is_gzip: bool,
}

impl Conclusion {
    /// Adds the name of the member in full, and the compression that its bytes show.
    pub(super) fn with_member(mut self, name: &str, wrapper: Option<Wrapper>) -> Self {
        name.clone_into(&mut self.member.name);
        let name = shown(name);
        if self.is_gzip && wrapper != Some(Wrapper::Gzip) {
            self.findings.push(Finding::warning(
                "ovf_compression",
                format!("the OVF descriptor says that '{name}' is compressed with gzip, but it is not"),
            ));
        }
        self.member.wrapper = wrapper;
        self
    }

    /// Adds findings about the compression of the member.
    pub(super) fn with_findings(mut self, findings: &[Finding]) -> Self {
        self.findings.extend_from_slice(findings);
        self
    }

    /// Checks that the member is a whole disk that can be read.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a difference to another disk, or a compression that is not supported.
    pub(crate) fn check(&self) -> Result<()> {
        self.refusal.clone().map_or(Ok(()), Err)
    }

    /// The findings about the archive, whose disk has this size in bytes.
    pub(crate) fn findings(&self, virtual_size: u64) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        let name = shown(&self.member.name);
        let differs =
            |capacity: &OvfCapacity| capacity.bytes.abs_diff(virtual_size) >= capacity.unit.max(ROUNDING);
        if let Some(capacity) = self.capacity.filter(differs) {
            findings.push(Finding::warning(
                "ovf_capacity",
                format!(
                    "the OVF descriptor gives '{name}' a capacity of {} bytes, but the disk has {virtual_size}",
                    capacity.bytes
                ),
            ));
        }
        findings
    }

    /// Adds the facts about the archive to the description of its disk.
    pub(crate) fn describe(&self, info: &mut ImageInfo) {
        info.findings.extend(self.findings(info.virtual_size));
        if let Some(refusal) = &self.refusal {
            info.findings.push(Finding::hazard("ovf_disk", refusal.to_string()));
        }
        if let Some(digest) = self.digests.first() {
            info.findings.push(Finding::note(
                "manifest",
                format!(
                    "the {} of '{}' in the manifest is verified by a conversion, and not here",
                    digest.algorithm(),
                    shown(&self.member.name)
                ),
            ));
        }
    }
}

/// A disk that can be chosen.
struct Candidate {
    id: Option<MemberId>,
    name: String,
}

impl Catalog {
    /// Chooses the disk: the requested member, or the only disk.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the archive has no disk, or the disk is not in it as one file.
    /// [`ErrorKind::InvalidInput`], which lists the disks, if there are several and no name is requested, or none has
    /// the requested name, or several have it.
    pub(crate) fn conclude(&self) -> Result<Conclusion> {
        self.refuse_chunks()?;
        let candidates = self.candidates();
        let names = || candidates.iter().map(|candidate| candidate.name.as_str());
        let (id, name) = match &self.requested {
            Some(requested) => {
                let id = self.ids.of(requested);
                match self.member(id) {
                    Some((_, 1)) => {}
                    Some((_, count)) => return Err(self.duplicate(&shown(requested), count)),
                    None if candidates
                        .iter()
                        .any(|candidate| candidate.id.is_none() && candidate.name == shown(requested)) =>
                    {
                        return Err(missing(&shown(requested)));
                    }
                    None if candidates.is_empty() => return Err(self.no_disk()),
                    None => return Err(self.no_choice(names())),
                }
                (id, requested.clone())
            }
            None => match candidates.as_slice() {
                [] => return Err(self.no_disk()),
                [Candidate { id: Some(id), name }] => (*id, name.clone()),
                [Candidate { id: None, name }] => return Err(missing(name)),
                [first, others @ ..] if others.iter().all(|other| other.id == first.id) => {
                    return Err(self.duplicate(&first.name, candidates.len()));
                }
                _ => return Err(self.no_choice(names())),
            },
        };
        let member = ArchiveMember { archive: self.format(), name, wrapper: None };
        let (refusal, capacity, is_gzip) = self.disk_of_descriptor(id);
        Ok(Conclusion {
            member,
            id,
            digests: self.digests_of(id),
            findings: self.findings(id, &candidates),
            capacity,
            refusal,
            is_gzip,
        })
    }

    /// Returns the disks that can be chosen: the members that are disks, and those that the descriptor names.
    fn candidates(&self) -> Vec<Candidate> {
        let is_disk = |disk: &&CatalogDisk| !self.is_attached_disc(disk.id, disk.kind);
        let found = self.disks.iter().filter(is_disk);
        let mut candidates: Vec<Candidate> =
            found.map(|disk| Candidate { id: Some(disk.id), name: disk.name.clone() }).collect();
        for file in self.disk_files() {
            let id = self.member_of(file);
            let name = shown(&file.href);
            let is_listed =
                |candidate: &Candidate| candidate.id == id && (id.is_some() || candidate.name == name);
            if !candidates.iter().any(is_listed) {
                candidates.push(Candidate { id, name });
            }
        }
        candidates
    }

    /// Refuses a file that the descriptor splits into chunks, which are members of their own.
    fn refuse_chunks(&self) -> Result<()> {
        let OvfDescriptor::Read { ovf, name, .. } = &self.descriptor else { return Ok(()) };
        for file in ovf.files.iter().filter(|file| self.member_of(file).is_none()) {
            let Some(size) = &file.chunk_size else { continue };
            let concerns = self.requested.as_deref().is_none_or(|requested| {
                let requested = beside("", requested);
                let is_chunk_of = |file: String| {
                    let rest = requested.strip_prefix(&file);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                is_chunk_of(beside(name, &file.href)) || is_chunk_of(beside("", &file.href))
            });
            if concerns {
                return Err(Error::new(ErrorKind::Unsupported)
                    .format(OVA)
                    .field(format!("storage of '{}'", shown(&file.href)))
                    .found(format_args!("chunks of {} bytes", shown(size)))
                    .expected("one file"));
            }
        }
        Ok(())
    }

    /// Returns what the descriptor says about a member: the reason to refuse it, its capacity, and if it is gzip.
    fn disk_of_descriptor(&self, id: MemberId) -> (Option<Error>, Option<OvfCapacity>, bool) {
        let Some(ovf) = self.ovf() else { return (None, None, false) };
        let Some(file) = ovf.files.iter().find(|file| self.is_file(file, id)) else {
            return (None, None, false);
        };
        let is_own = |disk: &&OvfDisk| ovf.file_of(disk).is_some_and(|own| std::ptr::eq(own, file));
        let disk = ovf.disks.iter().find(is_own);
        let refused = |field: String, found: &str, expected: &str| {
            let error = Error::new(ErrorKind::Unsupported).format(OVA).field(field);
            error.found(format_args!("'{}'", shown(found))).expected(expected)
        };
        let compression = file.unsupported_compression().map(|method| {
            refused(format!("compression of '{}'", shown(&file.href)), method, "gzip or identity")
        });
        let parent = disk.and_then(|disk| Some((disk, disk.parent_ref.as_ref()?))).map(|(disk, parent)| {
            refused(format!("parentRef of disk '{}'", shown(&disk.id)), parent, "a disk without a parent")
        });
        (compression.or(parent), disk.and_then(|disk| disk.capacity), file.is_gzip())
    }

    /// Returns the digests of a member in the manifest so far.
    pub(super) fn digests_of(&self, id: MemberId) -> Vec<ManifestDigest> {
        let digests = self.manifest.iter().flat_map(|manifest| &manifest.digests);
        digests.filter(|digest| self.first_member(&digest.ids) == Some(id)).cloned().collect()
    }

    fn findings(&self, id: MemberId, candidates: &[Candidate]) -> Vec<Finding> {
        let mut findings = self.descriptor_findings();
        findings.extend(self.manifest_findings(id));
        let mut note = |check, names: NameList, text: &str| {
            let names = names.to_string();
            if !names.is_empty() {
                findings.push(Finding::note(check, format!("the archive also holds {text}: {names}")));
            }
        };
        let mut others = NameList::default();
        candidates.iter().filter(|disk| disk.id != Some(id)).for_each(|disk| others.add(&disk.name));
        note("other_disks", others, "other disks");
        let mut discs = NameList::default();
        let is_disc = |disk: &&CatalogDisk| self.is_attached_disc(disk.id, disk.kind) && disk.id != id;
        self.disks.iter().filter(is_disc).for_each(|disk| discs.add(&disk.name));
        note("other_discs", discs, "optical discs");
        note("unsearched_members", self.unsearched.clone(), "members that are not searched for disks");
        note("unread_members", self.unread.clone(), "links, or members that cannot be read");
        findings.extend(self.unrecognised_findings(id));
        if !self.ignored_keys.is_empty() {
            let keys = self.ignored_keys.join(", ");
            let message = format!("keys of extended headers that are not known are ignored: {keys}");
            findings.push(Finding::note("ignored_keys", message));
        }
        findings
    }

    /// Names the members beside the disk `id` that may be disks, although their bytes do not show it.
    fn unrecognised_findings(&self, id: MemberId) -> Vec<Finding> {
        let mut findings = Vec::new();
        let is_listed = |other: MemberId| self.is_disk_of_descriptor(other);
        let disks = self.unrecognised.list(|other| other != id && is_listed(other)).to_string();
        if !disks.is_empty() {
            let message = format!("disks of the OVF descriptor are not recognised as disks: {disks}");
            findings.push(Finding::warning("unrecognised_disks", message));
        }
        let mut others = self.unrecognised.list(|other| other != id && !is_listed(other));
        others.leave_out(self.unrecognised.unlisted());
        let others = others.to_string();
        if !others.is_empty() {
            let message =
                format!("the archive also holds members that are not recognised as disks: {others}");
            findings.push(Finding::note("unrecognised_members", message));
        }
        findings
    }

    /// Compares the files of the descriptor with the members.
    fn descriptor_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let OvfDescriptor::Unreadable(reason) = &self.descriptor {
            let message = format!("the OVF descriptor is not read: {reason}");
            findings.push(Finding::warning("ovf", message));
        }
        let Some(ovf) = self.ovf() else { return findings };
        let size_of = |file: &OvfFile| Some(self.member(self.member_of(file)?)?.0);
        for file in &ovf.files {
            let name = shown(&file.href);
            let finding = match (size_of(file), file.size) {
                (None, _) => Finding::note(
                    "ovf_file",
                    format!("the OVF descriptor refers to '{name}', which is not in the archive"),
                ),
                // The length of a compressed file may be meant before or after compression.
                (Some(found), Some(size)) if found != size && !file.is_gzip() => Finding::warning(
                    "ovf_size",
                    format!("the OVF descriptor gives '{name}' {size} bytes, but it has {found}"),
                ),
                _ => continue,
            };
            findings.push(finding);
            findings.truncate(MAX_FINDINGS);
        }
        let empty = ovf.disks.iter().filter(|disk| disk.file_ref.is_none()).count();
        if empty > 0 {
            let message =
                format!("the OVF descriptor also has {empty} disks without a file, which are empty");
            findings.push(Finding::note("other_disks", message));
        }
        let is_lost = |disk: &&OvfDisk| disk.file_ref.is_some() && ovf.file_of(disk).is_none();
        if let Some(disk) = ovf.disks.iter().find(is_lost) {
            let file = shown(disk.file_ref.as_deref().unwrap_or_default());
            findings.push(Finding::warning(
                "ovf_disk",
                format!(
                    "disk '{}' of the OVF descriptor has file '{file}', which is not listed",
                    shown(&disk.id)
                ),
            ));
        }
        findings
    }

    fn manifest_findings(&self, id: MemberId) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(manifest) = &self.manifest else { return findings };
        if let Some(line) = manifest.bad_line {
            let message =
                format!("line {line} of the manifest is not understood; its digest is not verified");
            findings.push(Finding::warning("manifest", message));
        }
        if let OvfDescriptor::Read { id, hasher, .. } = &self.descriptor {
            if let Err(error) = hasher.check(&self.digests_of(*id)) {
                findings.push(Finding::warning("manifest", error.to_string()));
            }
        }
        if self.digests_of(id).is_empty() {
            findings.push(Finding::note("manifest", "the manifest has no digest of the disk"));
        }
        findings
    }
}

/// The maximum number of findings about the files of a descriptor. Our limit.
const MAX_FINDINGS: usize = 64;

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported)
        .format(OVA)
        .field("disk")
        .found(format_args!("'{name}', which is not in the archive"))
        .expected("a member of the archive")
}
