//! libdiskimg: the library `diskimg` for C, and for every language that can call C.
//!
//! Each exported function checks its pointers, calls one function of the facade inside a panic boundary
//! ([`guard`]) and writes its results. The comments on the exported items become the header,
//! `include/diskimg.h`. A test compares the two.
//!
//! The `unsafe` code here relies on the contract that the header states for callers, and on nothing else.
#![cfg(unix)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(unreachable_pub, reason = "the exported items are public for C; no Rust crate uses them")]
#![allow(clippy::missing_safety_doc, reason = "the header states the contract of each pointer")]

mod argument;
mod callback_resolver;
mod callback_sink;
mod callback_source;
mod callback_stream;
mod check;
mod compare;
mod convert;
mod convert_record;
mod create;
mod error;
mod format;
mod guard;
mod handle;
mod image;
mod info;
mod info_record;
mod io;
mod list_records;
mod lists;
mod measure;
mod name_lists;
mod open;
mod open_record;
mod parent_record;
mod probe;
mod progress;
mod read;
mod sized_record;
mod status;
mod stream_record;
mod strings;
mod target_record;
mod version;

#[cfg(test)]
mod tests;
