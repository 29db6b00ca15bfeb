//! An opened image with everything below it.

use std::ops::Range;
use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Chain, Extent, Image, ImageInfo, Location, Result};

use crate::host_id::HostId;
use crate::inspect::{Inspection, Sizes};

/// An opened image with everything below it: what a guest would see.
///
/// Cheap to clone; clones share caches. Readable from any thread.
#[derive(Clone)]
pub struct Disk {
    pub(crate) layers: Vec<Arc<dyn Image>>,
    pub(crate) top: Arc<dyn Image>,
    pub(crate) whole: Arc<dyn BlockSource>,
    pub(crate) wrapper: Option<Wrapper>,
    pub(crate) member: Option<String>,
    file: Arc<dyn BlockSource>,
    files: Vec<Arc<dyn BlockSource>>,
    sizes: Sizes,
}

impl Disk {
    /// A disk of these layers, top first; `file` holds the first, and `others` is all that was opened besides.
    pub(crate) fn new(
        file: Arc<dyn BlockSource>,
        others: Vec<Arc<dyn BlockSource>>,
        top: Arc<dyn Image>,
        below: Vec<Arc<dyn Image>>,
        wrapper: Option<Wrapper>,
        member: Option<String>,
    ) -> Result<Self> {
        let mut layers = vec![Arc::clone(&top)];
        layers.extend(below);
        let sources: Vec<Arc<dyn BlockSource>> =
            layers.iter().map(|layer| Arc::clone(layer) as Arc<dyn BlockSource>).collect();
        let whole: Arc<dyn BlockSource> = match sources.as_slice() {
            [one] => Arc::clone(one),
            _ => Arc::new(Chain::new(sources)?),
        };
        let sizes = Sizes::of(&file);
        let mut files = vec![Arc::clone(&file)];
        files.extend(others);
        Ok(Self { layers, top, whole, wrapper, member, file, files, sizes })
    }

    /// The layers, top first: the image itself, and what it is based on.
    #[must_use]
    pub fn layers(&self) -> &[Arc<dyn Image>] {
        &self.layers
    }

    /// The file of the image itself, inside any wrapper: its header, its tables, its data.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn BlockSource> {
        &self.file
    }

    /// Whether any byte of the disk may come from this host file or block device: the image's own, or one below it
    /// that it names.
    #[must_use]
    pub fn reads_from(&self, file: &std::fs::Metadata) -> bool {
        let wanted = HostId::of(file);
        wanted.is_some() && self.files.iter().any(|source| HostId::of_source(source) == wanted)
    }

    /// What the image claims, as [`crate::Opener::inspect`] tells it.
    #[must_use]
    pub fn inspection(&self) -> Inspection {
        Inspection::new(self.top.info().clone(), self.wrapper, self.sizes)
    }

    /// The same disk, unwrapped out of a file of these sizes.
    pub(crate) fn out_of(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// How the file was compressed, if it was.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.wrapper
    }

    /// The name of the disk's file in the OVA it was read from; not yet escaped for a terminal.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }
}

impl BlockSource for Disk {
    fn size(&self) -> u64 {
        self.whole.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.whole.read_at(offset, buf)
    }
    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        self.whole.extent_at(range)
    }
    fn locate(&self, range: Range<u64>) -> Location<'_> {
        self.whole.locate(range)
    }
    fn decode_unit(&self) -> u64 {
        self.whole.decode_unit()
    }
}

impl Image for Disk {
    fn info(&self) -> &ImageInfo {
        self.top.info()
    }
}
