//! Disks in archives: opened in place in a file, or extracted from a stream.
//!
//! An archive is a tar: an OVF package (OVA), a Vagrant box, an image of a cloud in a tarball. Source of the package:
//! DSP0243 (Open Virtualization Format) 1.1 section 5.3 and 2.1 section 6.4.
//!
//! Any member that its own bytes show to be a disk counts ([`member_kind`]), compressed or not, and so does every disk of
//! the OVF descriptor ([`ovf`]). A file and a stream are read with the same parser of headers ([`tar`]) and fill the same
//! [`catalog`], which chooses the disk ([`conclusion`]). In a file only headers and the first bytes of members are read
//! ([`members`], [`archived_disk`]). A stream is read as it is pushed ([`tar_stream`]), and the selected disk is extracted
//! ([`disk_search`], [`unpacker`]).

mod archive_member;
mod archived_disk;
mod catalog;
mod conclusion;
mod disk_search;
mod manifest;
mod member_kind;
mod member_source;
mod members;
mod name_list;
mod names;
mod ovf;
mod pax;
mod reader;
mod recognise;
mod sparse_map;
mod tar;
mod tar_header;
mod tar_stream;
#[cfg(test)]
mod tests;
mod unpacker;
mod unrecognised;

pub use archive_member::ArchiveMember;
pub(crate) use archived_disk::{ArchivedDisk, MemberVerification, VerifiedReader};
pub(crate) use conclusion::Conclusion;
pub(crate) use disk_search::{MemberForm, StreamedDisk, Unpacked};
pub(crate) use reader::DiskReader;
pub(crate) use recognise::opens;
pub(crate) use tar_header::{TAR, is_tar};
pub(crate) use unpacker::Unpacker;
