//! The converter to copy first: any image in, raw or qcow2 out, whole or not at all, Ctrl-C included.
//!
//!     cargo run --release --example convert -- disk.qcow2 disk.raw
//!     cargo run --release --example convert -- disk.vmdk.xz disk.qcow2
//!
//! What comes from a stranger is safe to give to it: no name inside the image is followed, raw is not
//! guessed, memory is bounded.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg::{
    BlockSource, ConvertOptions, Converted, Input, Opener, Progress, Result, Target, WriteOrder, convert,
    convert_stream, driver,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = args.as_slice() else {
        eprintln!("usage: convert SOURCE TARGET");
        return ExitCode::from(2);
    };
    match run(source.as_ref(), target.as_ref()) {
        Ok(done) => {
            eprintln!("{} bytes: {} stored, {} holes", done.virtual_size, done.written, done.zeros);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("convert: {error}");
            if let Some(remedy) = error.remedy() {
                eprintln!("hint: {remedy}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(source: &Path, target: &Path) -> Result<Converted> {
    let format = match target.extension() {
        Some(extension) if extension == "qcow2" => driver("qcow2")?.format,
        _ => driver("raw")?.format,
    };
    let opener = Opener::new();
    let target = Target::file(target, format);
    let disk = match opener.input(source)? {
        Input::Disk(disk) => disk,
        // A compressed image is converted as it is decoded. Its size may be known only at the end, which a raw
        // file does not mind.
        Input::Stream(image) if format.name() == "raw" && image.streams(WriteOrder::Any) => {
            let options = ConvertOptions::default();
            return convert_stream(image, target.create(None)?, &options, &Percent::default());
        }
        Input::Stream(image) => image.into_disk(&())?,
    };
    let sink = target.create(Some(disk.size()))?;
    let percent = Percent { total: disk.size(), ..Percent::default() };
    convert(&disk, sink, &ConvertOptions::default(), &percent)
}

/// Shows how far it is, where somebody looks.
#[derive(Default)]
struct Percent {
    total: u64,
    done: AtomicU64,
}

impl Progress for Percent {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.total > 0 && std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\r{:3} %", done * 100 / self.total);
        }
        ControlFlow::Continue(())
    }
}
