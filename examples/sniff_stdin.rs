//! Detects the format of a streamed image and the size of its disk.
//!
//!     curl -s https://example.org/disk.qcow2.xz | cargo run --release --example sniff_stdin
//!
//! It writes nothing and reads only until the result is certain: about 200 KiB of a qcow2. The prober does no I/O, so an
//! asynchronous server can push the bytes of a socket in the same way.

use std::io::Read;
use std::process::ExitCode;

use diskimg::{Printable, ProbeReport, Probed, Prober, Severity};

fn main() -> ExitCode {
    match probe(&mut std::io::stdin().lock()) {
        Ok(report) => print(&report),
        Err(error) => {
            eprintln!("sniff_stdin: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads until the result is certain or the stream ends.
fn probe(stream: &mut dyn Read) -> std::io::Result<ProbeReport> {
    let mut prober = Prober::new();
    let mut buf = vec![0; 256 << 10];
    loop {
        let len = stream.read(&mut buf)?;
        if len == 0 || prober.push(buf.get(..len).unwrap_or(&buf)) == Probed::Done {
            return Ok(prober.finish());
        }
    }
}

/// Exit codes: 0 safe, 1 not recognised, 3 unsafe.
fn print(report: &ProbeReport) -> ExitCode {
    let wrapper = report.wrapper.map_or(String::new(), |wrapper| format!(" in {}", wrapper.name()));
    let info = match &report.image {
        Ok(info) => info,
        Err(error) => {
            let formats: Vec<&str> = report.formats.iter().map(|format| format.name()).collect();
            println!(
                "{}{wrapper}: {error}",
                if formats.is_empty() { "unknown".into() } else { formats.join(" or ") }
            );
            return ExitCode::FAILURE;
        }
    };
    let disc = if info.is_optical_disc { ", a CD-ROM" } else { "" };
    println!("{}{wrapper}, {} bytes{disc}", info.format, info.virtual_size);
    for reference in &info.references {
        println!("refers to a {}: {}", reference.role.name(), Printable::new(&reference.name));
    }
    for finding in &info.findings {
        println!("{:?}: {}", finding.severity, finding.message);
    }
    let is_safe = info.findings.iter().all(|finding| finding.severity < Severity::Unsafe);
    ExitCode::from(if is_safe { 0 } else { 3 })
}
