//! Converting a disk: a plan over extents, executed by workers, into a sink.
//!
//! [`segment_plan`] splits the disk into segments. Each [`worker`] takes the next segment and, depending on where
//! its bytes are and what the sink supports, has the kernel copy them, writes them from memory, or reads and writes
//! them. [`sequencer`] orders the writes to sinks that need it, so that the output does not depend on the number of
//! workers. Streamed images go through [`one_pass`] instead, which decodes them in order.

mod byte_counts;
mod convert_file;
mod convert_to;
mod counting_sink;
mod directory_calls;
mod dry_run;
mod engine;
mod existing_image;
mod in_place;
mod mount_point;
mod one_pass;
mod options;
mod padded_sink;
mod publication;
mod publishing_sink;
mod rate_limit;
mod replaced_extents;
mod segment_plan;
mod sequencer;
mod sibling_files;
mod source_guard;
mod stream_convert;
mod stream_reader;
mod target;
mod target_locks;
mod target_options;
mod target_sink;
mod unfinished_files;
mod unpublished_file;
mod verified;
mod whole_sector_sink;
mod worker;
mod workload;

pub use convert_file::convert_file;
pub use engine::convert;
pub use options::{ConvertOptions, Converted, Sparse};
pub use stream_convert::StreamConvert;
pub use target::Target;
pub use unfinished_files::UnfinishedFiles;

#[cfg(test)]
mod tests;
