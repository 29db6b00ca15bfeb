//! `qemu-img` and `qemu-io` for the tests of the format crates, and host files as sources. Test programs include this
//! folder by its path; those that only run the tools include `tools.rs`.

mod host_file;
mod tools;
mod workshop;

pub(crate) use host_file::HostFile;
pub(crate) use workshop::Workshop;
