//! The commands, one per file.

mod cat;
mod check;
mod common;
mod compare;
mod convert;
mod create;
mod dispatch;
mod formats;
mod human;
mod info;
mod inspect;
mod manual;
mod map;
mod measure;
mod probe;
mod rows;
mod settings;
mod target;

pub(crate) use dispatch::run;
