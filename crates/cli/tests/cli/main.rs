//! The command as a user or a script meets it: against `qemu-img`, through pipes, under signals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets neither fails")]

mod cat;
mod check;
mod compare;
mod convert;
mod create;
mod info;
mod inspect;
mod map;
mod measure;
mod packaging;
mod parents;
mod pipes;
mod progress;
mod refusals;
mod signals;
mod streams;
mod strict;
mod tools;
