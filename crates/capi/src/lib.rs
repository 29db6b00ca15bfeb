//! libdiskimg: the library `diskimg` for C, and whatever speaks C.
//!
//! Thin on purpose: each function checks its pointers, calls one thing of the facade inside a boundary that no
//! panic crosses ([`guard`]), and writes its results. What a C programmer has to know stands in the header,
//! which is made of the comments here: `include/diskimg.h`, compared by a test.
//!
//! This is the only crate that needs `unsafe` to do its work: it believes what the header asks of its callers,
//! and nothing else.
#![cfg(unix)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(unreachable_pub, reason = "what C sees is public, and nothing of Rust sees it")]
#![allow(clippy::missing_safety_doc, reason = "the header says of each pointer what it has to be")]

mod check;
mod compare;
mod convert;
mod convert_options;
mod create;
mod error;
mod format;
mod guard;
mod image;
mod info;
mod io;
mod lists;
mod measure;
mod open;
mod open_options;
mod probe;
mod progress;
mod read;
mod record;
mod resolver;
mod sink;
mod source;
mod status;
mod stream;
mod strings;
mod version;

#[cfg(test)]
mod tests;
