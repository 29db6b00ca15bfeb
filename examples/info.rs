//! Prints the description of an image. Opens no file that the image refers to.
//!
//!     cargo run --release --example info -- disk.qcow2

use diskimg::{Printable, Result, inspect};

fn main() -> Result<()> {
    for path in std::env::args_os().skip(1) {
        let inspection = inspect(&path)?;
        let info = inspection.info;
        println!("{}: {}, {} bytes", path.to_string_lossy(), info.format, info.virtual_size);
        if let Some(unit) = info.allocation_unit {
            println!("  allocated in units of {unit} bytes");
        }
        for snapshot in &info.snapshots {
            println!("  snapshot {}: {}", snapshot.id, Printable::new(snapshot.name.as_bytes()));
        }
        for finding in &info.findings {
            println!("  {:?}: {}", finding.severity, finding.message);
        }
    }
    Ok(())
}
