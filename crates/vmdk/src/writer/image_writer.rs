//! The writer as a sink.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{
    Batch, BlockSink, HostRange, Remedy, Result, Siblings, SinkProperties, WriteOrder, ensure,
};

use super::descriptor::{self, ExtentEntry};
use super::extent_files::largest_disk;
use super::extent_layout::checked_geometry;
use super::file_names::FileNames;
use super::multi_file_writer::MultiFileWriter;
use super::options::{Subformat, WriterOptions};
use super::sparse_writer::SparseWriter;
use super::stream_optimized_writer::StreamOptimizedWriter;
use crate::addr::SECTOR;
use crate::descriptor::NO_PARENT;
use crate::errors::{invalid_option, misuse, needs_seek};
use crate::geometry::Geometry;

/// The file name in the descriptor of a streamOptimized image: VMware's. It is constant, so that the bytes do not
/// depend on the target.
const STREAM_NAME: &str = "generated-stream.vmdk";
/// The file name in the descriptor of a monolithicSparse image whose name is unknown. Readers use the file that they
/// have open.
pub(super) const OWN_NAME: &str = "disk.vmdk";

/// A VMDK image being written over a sink that grows, and over other files if the subformat has some.
///
/// Grains of zeros are not stored. Ranges may be written in any order, split in any way, and rewritten. Only
/// [`Subformat::StreamOptimized`] requires ascending offsets; its sink may be a pipe. Apart from a random
/// content id, the files depend on the bytes, the options, the name of the image and the order of the calls; with [`BlockSink::batch`] they do not depend on the
/// order or the number of threads.
///
/// [`BlockSink::batch`] writes a sparse image in order. Grain tables leave memory as soon as they are complete, and
/// their range of the disk cannot be rewritten. With direct writes, up to 256 MiB of grain tables per extent stay in
/// memory (4 TiB of touched disk at grains of 64 KiB). Then tables with all grains written leave memory; if that is
/// not enough, the error is [`diskimg_core::ErrorKind::Limit`]. A sparse extent has at most 2 TiB, which is an
/// [`diskimg_core::ErrorKind::Limit`] too.
///
/// The files are not a valid image until [`BlockSink::finish`]: headers are written last, a streamOptimized image has
/// no footer before, and a descriptor file is written when all other files are complete. After an error the writer can
/// only be dropped.
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// use diskimg_vmdk::{ImageWriter, WriterOptions};
/// let file = MemorySink::new(1 << 20);
/// let options = WriterOptions { virtual_size: 1 << 30, ..WriterOptions::default() };
/// let image = ImageWriter::new(Box::new(file.clone()), &options, None)?;
/// image.write_at(3 << 20, &[7; 65_536])?;
/// Box::new(image).finish()?;
/// assert!(file.bytes().len() < 1 << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct ImageWriter(Box<dyn BlockSink>);

impl ImageWriter {
    /// Begins an image in `sink`, which must be empty. `siblings` creates the other files and knows the name of the
    /// image.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for invalid options and for options that exclude each other, for a
    /// disk that is empty or too large for the subformat, and for a subformat of several files without `siblings` or
    /// with a name that a descriptor does not support; [`diskimg_core::ErrorKind::NeedsSeek`] if `sink` accepts only
    /// ascending offsets and the image is not streamOptimized; errors of creating the files.
    pub fn new(
        sink: Box<dyn BlockSink>,
        options: &WriterOptions,
        siblings: Option<Arc<dyn Siblings>>,
    ) -> Result<Self> {
        check(options)?;
        if options.subformat != Subformat::StreamOptimized && sink.properties().order == WriteOrder::Ascending
        {
            return Err(needs_seek(options.subformat.name())
                .because("cannot be written to a stream: its tables precede its data")
                .with_remedy(Remedy::WriteToFile {
                    or_format: "vmdk",
                    or_subformat: Some("streamOptimized"),
                }));
        }
        Ok(Self(match options.subformat {
            Subformat::MonolithicSparse => Box::new(monolithic_sparse(sink, options, siblings.as_deref())?),
            Subformat::StreamOptimized => Box::new(stream_optimized(sink, options)?),
            _ => {
                let siblings = siblings.ok_or_else(|| {
                    let because = "needs files beside it, and only one file can be written";
                    misuse(options.subformat.name()).because(because).with_remedy(Remedy::SetOption(&[(
                        "subformat",
                        "monolithicSparse or streamOptimized",
                    )]))
                })?;
                Box::new(MultiFileWriter::new(sink, options, siblings)?)
            }
        }))
    }
}

/// Checks the options that are invalid for any subformat, or for all but some.
pub(super) fn check(options: &WriterOptions) -> Result<()> {
    let size = options.virtual_size;
    // QEMU rejects a header of no sectors: the file would be only a descriptor.
    ensure(size != 0, || invalid_option("virtual_size").found(size).expected("at least one byte"))?;
    if size.checked_next_multiple_of(SECTOR).is_none_or(|size| i64::try_from(size).is_err()) {
        let most = largest_disk(options.subformat);
        return Err(invalid_option("virtual_size")
            .found(size)
            .expected(format_args!("at most {most} bytes")));
    }
    if options.cid == Some(NO_PARENT) {
        return Err(invalid_option("cid")
            .found("ffffffff")
            .expected("any other: this value means no parent"));
    }
    let marks = matches!(options.subformat, Subformat::MonolithicSparse | Subformat::TwoGbMaxExtentSparse);
    if options.zeroed_grain && !marks {
        let why = "only monolithicSparse and twoGbMaxExtentSparse support it";
        return Err(invalid_option("zeroed_grain").because(why));
    }
    if options.level.is_some() && options.subformat != Subformat::StreamOptimized {
        return Err(invalid_option("level").because("only streamOptimized is compressed"));
    }
    Ok(())
}

fn monolithic_sparse(
    sink: Box<dyn BlockSink>,
    options: &WriterOptions,
    siblings: Option<&dyn Siblings>,
) -> Result<SparseWriter> {
    let geometry = checked_geometry(options.virtual_size, options.grain_size)?;
    let name = siblings.map(Siblings::image_name).filter(|name| FileNames::new(name).is_ok());
    let extent = own_extent("RW", geometry, name.unwrap_or(OWN_NAME));
    let descriptor = descriptor::embedded(options, extent)?;
    SparseWriter::new(sink, geometry, options.zeroed_grain, descriptor)
}

fn stream_optimized(sink: Box<dyn BlockSink>, options: &WriterOptions) -> Result<StreamOptimizedWriter> {
    let geometry = checked_geometry(options.virtual_size, options.grain_size)?;
    let descriptor = descriptor::embedded(options, own_extent("RDONLY", geometry, STREAM_NAME))?;
    StreamOptimizedWriter::new(sink, geometry, options.level, descriptor)
}

/// The entry of the extent in which the descriptor is embedded.
fn own_extent(access: &'static str, geometry: Geometry, name: &str) -> ExtentEntry {
    ExtentEntry { access, sectors: geometry.capacity_sectors(), kind: "SPARSE", name: name.to_owned() }
}

impl BlockSink for ImageWriter {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_at(offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.0.zero(range)
    }

    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.0.copy_from(offset, from)
    }

    fn properties(&self) -> SinkProperties {
        self.0.properties()
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        self.0.batch()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.0.finish()
    }
}
