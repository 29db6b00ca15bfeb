//! The conversion of a disk that is compared with the manifest of its archive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use diskimg_core::{BlockSink, Progress, Result};

use super::engine::{convert, convert_if};
use super::options::{ConvertOptions, Converted};
use crate::archive::MemberVerification;
use crate::disk::Disk;
use crate::workers::{join, spawn_worker};

/// Copies `disk` into `sink` and finishes the sink, unless its bytes have another digest than the manifest says. One
/// thread hashes the file of the disk while others convert it.
///
/// # Errors
/// [`ErrorKind::Corrupt`] for another digest; otherwise as [`convert()`].
pub(super) fn convert_verified(
    disk: &Disk,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    let Some(verification) = disk.verification() else { return convert(disk, sink, options, progress) };
    let has_failed = AtomicBool::new(false);
    let run = || verification.run(&|| has_failed.load(Ordering::Relaxed) || progress.advance(0).is_break());
    scope(|scope| {
        let mut hashing = spawn_worker(scope, run).ok();
        let converted = convert_if(disk, sink, options, progress, || match hashing.take() {
            Some(hashing) => join(hashing),
            // The system starts no more threads.
            None => verification_in_turn(verification, progress),
        });
        has_failed.store(converted.is_err(), Ordering::Relaxed);
        if let Some(hashing) = hashing {
            // The conversion has failed before; its error is returned.
            let _ = join(hashing);
        }
        converted
    })
}

fn verification_in_turn(verification: &MemberVerification, progress: &dyn Progress) -> Result<()> {
    verification.run(&|| progress.advance(0).is_break())
}
