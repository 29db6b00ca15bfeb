//! Tests of the command: against `qemu-img`, with pipes, and with signals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]

mod archives;
mod cat;
mod check;
mod compare;
mod compressed;
mod convert;
mod create;
mod discs;
mod existing_targets;
mod info;
mod inspect;
mod locks;
mod map;
mod measure;
mod names;
mod options;
mod packaging;
mod parents;
mod parts;
mod pipes;
mod preallocation;
mod progress;
mod qcow2_headers;
mod raw_sizes;
mod references;
mod refusals;
mod signals;
mod streams;
mod strict;
mod tools;
mod truncated;
mod vmdk_descriptors;
mod warnings;
mod whole_or_nothing;
