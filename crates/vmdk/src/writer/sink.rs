//! The writer as a sink.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{
    Batch, BlockSink, Error, ErrorKind, HostRange, Remedy, Result, Siblings, SinkProperties, WriteOrder,
};

use super::descriptor::{self, ExtentLine};
use super::error::{invalid, misuse};
use super::layout::Shape;
use super::names::Names;
use super::options::{Subformat, WriterOptions};
use super::sparse::Sparse;
use super::split::Split;
use super::stream_optimized::StreamOptimized;
use crate::descriptor::NO_PARENT;
use crate::errors::FORMAT;
use crate::sparse_header::SECTOR;

/// The name that a streamOptimized image gives itself: VMware's, and no part of a file name, so that the bytes
/// do not depend on where they go.
const STREAM_NAME: &str = "generated-stream.vmdk";
/// The name that a monolithicSparse image gives itself where its own is not known. Readers use the file that
/// they have open.
pub(super) const OWN_NAME: &str = "disk.vmdk";

/// A VMDK image being written over a sink that grows, and over files beside it where the subformat has some.
///
/// Grains of zeros take no place. Ranges of all subformats but [`Subformat::StreamOptimized`] may be written in
/// any order and in any pieces, and again; a streamOptimized image takes ascending offsets only, and its own
/// sink may be a pipe. The files depend on the bytes, the options, the name of the image and the order of the
/// calls, and with [`BlockSink::batch`] on all but that order, whatever the number of threads.
///
/// Where a sparse image is written in order through [`BlockSink::batch`], tables leave memory as they are
/// passed, and the range behind cannot be written again. Written in any order, grain tables stay in memory up
/// to 256 MiB for each extent (4 TiB of disk touched at grains of 64 KiB); then those leave of which every grain
/// was written, and if that is not enough, writing is [`ErrorKind::Limit`]. A file of a sparse extent has no
/// more than 2 TiB, which is a [`ErrorKind::Limit`] too.
///
/// Nothing is a valid image before [`BlockSink::finish`]: headers are written last, a streamOptimized image
/// has no footer until then, and a descriptor file is written when all other files are complete. After an
/// error the writer is good for nothing but dropping.
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// use diskimg_vmdk::{Writer, WriterOptions};
/// let file = MemorySink::new(1 << 20);
/// let options = WriterOptions { virtual_size: 1 << 30, ..WriterOptions::default() };
/// let image = Writer::new(Box::new(file.clone()), &options, None)?;
/// image.write_at(3 << 20, &[7; 65_536])?;
/// Box::new(image).finish()?;
/// assert!(file.bytes().len() < 1 << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct Writer(Box<dyn BlockSink>);

impl Writer {
    /// Begins an image in `sink`, which must be empty. Files beside it are made by `siblings`, which also says
    /// how the image is called.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for options that cannot be meant or do not go together, for a disk of no
    /// bytes or of more than the subformat can describe, and for a subformat of several files without
    /// `siblings` or with a name that a descriptor cannot hold; [`ErrorKind::NeedsSeek`] when `sink` takes
    /// ascending offsets only and the image is not streamOptimized; whatever making the files gives.
    pub fn new(
        sink: Box<dyn BlockSink>,
        options: &WriterOptions,
        siblings: Option<Arc<dyn Siblings>>,
    ) -> Result<Self> {
        check(options)?;
        if options.subformat != Subformat::StreamOptimized && sink.properties().order == WriteOrder::Ascending
        {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field(options.subformat.name())
                .because("cannot be written to a stream: its tables stand before its data")
                .with_remedy(Remedy::WriteToFile { or_format: "streamOptimized" }));
        }
        Ok(Self(match options.subformat {
            Subformat::MonolithicSparse => Box::new(monolithic_sparse(sink, options, siblings.as_deref())?),
            Subformat::StreamOptimized => Box::new(stream_optimized(sink, options)?),
            _ => {
                let siblings = siblings.ok_or_else(|| {
                    misuse(options.subformat.name())
                        .because("needs files beside it, and here is only one to write to")
                        .with_remedy(Remedy::SetOption(&[(
                            "subformat",
                            "monolithicSparse or streamOptimized",
                        )]))
                })?;
                Box::new(Split::new(sink, options, siblings)?)
            }
        }))
    }
}

/// What no subformat takes.
pub(super) fn check(options: &WriterOptions) -> Result<()> {
    let size = options.virtual_size;
    // A header that counts no sectors means that there is a descriptor and nothing else: QEMU refuses it.
    if size == 0 {
        return Err(invalid("virtual_size").found(size).expected("at least one byte"));
    }
    if size.checked_next_multiple_of(SECTOR).is_none_or(|size| i64::try_from(size).is_err()) {
        return Err(invalid("virtual_size").found(size).expected("less than 2^63 bytes"));
    }
    if options.cid == NO_PARENT {
        return Err(invalid("cid").found("ffffffff").expected("any other, as this one stands for no image"));
    }
    let marks = matches!(options.subformat, Subformat::MonolithicSparse | Subformat::TwoGbMaxExtentSparse);
    if options.zeroed_grain && !marks {
        let why = "only monolithicSparse and twoGbMaxExtentSparse have it";
        return Err(invalid("zeroed_grain").because(why));
    }
    if options.level.is_some() && options.subformat != Subformat::StreamOptimized {
        return Err(invalid("level").because("only streamOptimized is compressed"));
    }
    Ok(())
}

fn monolithic_sparse(
    sink: Box<dyn BlockSink>,
    options: &WriterOptions,
    siblings: Option<&dyn Siblings>,
) -> Result<Sparse> {
    let shape = Shape::new(options.virtual_size, options.grain_size)?;
    let name = siblings.map(Siblings::image_name).filter(|name| Names::new(name).is_ok());
    let extent = own_extent("RW", &shape, name.unwrap_or(OWN_NAME));
    let descriptor = descriptor::embedded(options, extent)?;
    Sparse::new(sink, shape, options.zeroed_grain, descriptor)
}

fn stream_optimized(sink: Box<dyn BlockSink>, options: &WriterOptions) -> Result<StreamOptimized> {
    let shape = Shape::new(options.virtual_size, options.grain_size)?;
    let descriptor = descriptor::embedded(options, own_extent("RDONLY", &shape, STREAM_NAME))?;
    StreamOptimized::new(sink, shape, options.level, descriptor)
}

/// The line of an extent that the descriptor stands in.
fn own_extent(access: &'static str, shape: &Shape, name: &str) -> ExtentLine {
    ExtentLine { access, sectors: shape.capacity_sectors(), kind: "SPARSE", name: name.to_owned() }
}

impl BlockSink for Writer {
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
