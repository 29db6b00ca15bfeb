//! Disks in an OVA: opened in place in a file, or extracted from a stream.
//!
//! Source: DSP0243 (Open Virtualization Format) 1.1 section 5.3 and 2.1 section 6.4: an OVA is a tar whose first
//! member is the OVF descriptor.
//!
//! A file and a stream are read with the same header parser ([`tar`]) and choose a disk by the same rules
//! ([`disk_choice`]). In a file only the headers are read ([`members`]). A stream is read as it is pushed
//! ([`tar_stream`]), and the selected disk is extracted ([`unpacker`]).

mod archived_disk;
mod disk_choice;
mod members;
mod reader;
mod recognise;
mod tar;
mod tar_stream;
#[cfg(test)]
mod tests;
mod unpacker;

pub(crate) use reader::DiskReader;
pub(crate) use recognise::{OVA, is_ova};
pub(crate) use unpacker::{Unpacked, Unpacker};
