//! Reads a format of one's own: QED, which this project does not have.
//!
//!     cargo run --release --example custom_format -- disk.qed [disk.raw]
//!
//! `qed.rs` is the format: a driver that recognises, describes, opens and checks an image. With it an opener reads QED
//! images from files and streams, in compressed files and archives, and as backing files.

mod qed;

use std::sync::Arc;

use diskimg::{ConvertOptions, Opener, Result, Target, WithinDirectory, driver, drivers};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(image) = arguments.next() else {
        eprintln!("usage: custom_format IMAGE [TARGET.raw]");
        return Ok(());
    };
    let mut opener = Opener::new().with_drivers(drivers().iter().copied().chain([&qed::DRIVER]));
    // Backing files in the directory of the image.
    opener.resolver = Arc::new(WithinDirectory::of_image(image.as_ref())?);
    let info = opener.inspect(&image)?.info;
    println!("{}: {} bytes", info.format, info.virtual_size);
    if let Some(target) = arguments.next() {
        let target = Target::file(target, driver("raw")?.format);
        let done = opener.input(&image)?.convert_to(&target, &ConvertOptions::default(), &())?;
        println!("{} bytes written", done.written);
    }
    Ok(())
}
