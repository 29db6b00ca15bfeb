//! The rows of a map: extents, split at holes of the image file.

use diskimg::core::range;
use diskimg::{BlockSource, Disk, Extent, ExtentKind, Extents, Image, PreallocatedFiles};

use crate::failure::Failure;

/// One row, with the names of `qemu-img map --output=json`.
pub(super) struct MapRow {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) depth: u32,
    /// True if this layer determines the content, not one below.
    pub(super) present: bool,
    /// True if it reads as zeros.
    pub(super) zero: bool,
    /// True if space is allocated for it.
    pub(super) data: bool,
    pub(super) compressed: bool,
    /// The offset in the file of the verbatim bytes, or of the space reserved for them.
    pub(super) offset: Option<u64>,
}

/// The conversion of extents to rows.
pub(super) struct MapRows<'a> {
    disk: &'a Disk,
    preallocated: PreallocatedFiles<'a>,
}

impl<'a> MapRows<'a> {
    pub(super) fn new(disk: &'a Disk) -> Self {
        Self { disk, preallocated: PreallocatedFiles::new(disk) }
    }

    /// Passes the rows of one extent to `give`, in order.
    pub(super) fn each(
        &mut self,
        extent: &Extent<'_>,
        mut give: impl FnMut(MapRow) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let size = self.layer(extent.depth).map_or(u64::MAX, BlockSource::size);
        if extent.kind == ExtentKind::Zero && extent.end() > size && extent.depth > 0 {
            // QEMU attributes zeros past the end of a layer to the layer above.
            let inside = range::len(&(extent.offset..size));
            if inside > 0 {
                give(self.row(&extent.truncated(inside)))?;
            }
            let rest = extent.without_first(inside);
            let depth = extent.depth.saturating_sub(1);
            return give(MapRow { depth, present: false, offset: None, ..self.row(&rest) });
        }
        let whole = self.row(extent);
        let (Some(offset), Some(file)) = (whole.offset, self.preallocated.file_of(extent)?) else {
            return give(whole);
        };
        for run in Extents::new(file, offset..offset.saturating_add(extent.len)) {
            let run = run?;
            give(MapRow {
                start: extent.offset.saturating_add(run.offset.saturating_sub(offset)),
                length: run.len,
                zero: run.kind.reads_as_zeros(),
                offset: Some(run.offset),
                ..whole
            })?;
        }
        Ok(())
    }

    fn row(&self, extent: &Extent<'_>) -> MapRow {
        let stored = matches!(extent.kind, ExtentKind::Data | ExtentKind::Encoded);
        // QEMU reports even holes of a flat VMDK extent as data, unlike holes of a raw file.
        let flat =
            extent.reserved.is_some() && self.layer(extent.depth).is_some_and(|layer| is(layer, "vmdk"));
        let offset = match extent.location.host {
            // The decompressed image is in a temporary file without a name.
            _ if self.disk.wrapper().is_some()
                || self.disk.archive().is_some_and(|member| member.wrapper.is_some()) =>
            {
                None
            }
            Some(host) => Some(host.offset),
            None => extent.reserved,
        };
        MapRow {
            start: extent.offset,
            length: extent.len,
            depth: extent.depth,
            present: extent.kind != ExtentKind::Unallocated,
            zero: !stored,
            data: stored || flat,
            compressed: extent.kind == ExtentKind::Encoded,
            offset,
        }
    }

    fn layer(&self, depth: u32) -> Option<&dyn Image> {
        let index = usize::try_from(depth).ok()?;
        self.disk.layers().get(index).map(|layer| &**layer as &dyn Image)
    }
}

fn is(layer: &dyn Image, format: &str) -> bool {
    layer.info().format.name() == format
}
