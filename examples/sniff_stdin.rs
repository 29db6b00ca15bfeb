//! The prober to copy first: what is it that arrives on a pipe, and how large is the disk inside?
//!
//!     curl -s https://example.org/disk.qcow2.xz | cargo run --release --example sniff_stdin
//!
//! Nothing is written to disk for a raw, qcow2 or compressed image, and of a qcow2 only the head is read.

use std::process::ExitCode;

use diskimg::{ErrorKind, Opener, Result, Severity};

fn main() -> ExitCode {
    match run() {
        Ok(safe) if safe => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) if error.kind() == ErrorKind::UnknownFormat => {
            println!("unknown");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("sniff_stdin: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints format, wrapper, size and kind; says whether nothing unsafe was found.
fn run() -> Result<bool> {
    let inspection = Opener::new().inspect_stream(std::io::stdin())?;
    let info = &inspection.info;
    let wrapper = inspection.wrapper.map_or(String::new(), |wrapper| format!(" in {}", wrapper.name()));
    let disc = if info.is_optical_disc { ", a CD-ROM" } else { "" };
    println!("{}{wrapper}, {} bytes{disc}", info.format, info.virtual_size);
    for reference in &info.references {
        println!("refers to a {}: {}", reference.role.name(), diskimg::Printable::new(&reference.name));
    }
    for finding in &info.findings {
        println!("{:?}: {}", finding.severity, finding.message);
    }
    Ok(info.findings.iter().all(|finding| finding.severity < Severity::Unsafe))
}
