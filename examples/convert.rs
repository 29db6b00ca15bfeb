//! Converts any image to raw or qcow2: `cargo run --release --example convert -- disk.vmdk.xz disk.qcow2`

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use diskimg::{ConvertOptions, Converted, Opener, Progress, Result, Target, driver};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = args.as_slice() else {
        eprintln!("usage: convert SOURCE TARGET");
        return ExitCode::from(2);
    };
    match convert(source, target) {
        Ok(done) => eprintln!("{} bytes: {} stored, {} holes", done.virtual_size, done.written, done.zeros),
        Err(error) => {
            eprintln!("convert: {error}");
            error.remedy().iter().for_each(|remedy| eprintln!("hint: {remedy}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn convert(source: &str, target: &str) -> Result<Converted> {
    let format = driver(if target.ends_with(".qcow2") { "qcow2" } else { "raw" })?.format;
    let target = Target::file(target, format);
    Opener::new().input(source)?.convert_to(&target, &ConvertOptions::default(), &Percent::default())
}

#[derive(Default)]
struct Percent {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress for Percent {
    fn begin(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(0), Relaxed);
    }

    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let (done, total) = (self.done.fetch_add(bytes, Relaxed) + bytes, self.total.load(Relaxed));
        if total > 0 && std::io::stderr().is_terminal() {
            eprint!("\r{:3} %", done * 100 / total);
        }
        ControlFlow::Continue(())
    }
}
