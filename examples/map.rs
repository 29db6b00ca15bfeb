//! Prints the extents of a disk and their offsets in the host file.
//!
//!     cargo run --release --example map -- disk.qcow2

use diskimg::{BlockSource, Extents, Opener, Result};

fn main() -> Result<()> {
    for path in std::env::args_os().skip(1) {
        let disk = Opener::new().open(&path)?;
        for extent in Extents::new(&disk, 0..disk.size()) {
            let extent = extent?;
            let place = extent.location.host.map_or(String::new(), |host| format!(" at {:#x}", host.offset));
            println!("{:#14x} {:#12x} {:?}{place}", extent.offset, extent.len, extent.kind);
        }
    }
    Ok(())
}
