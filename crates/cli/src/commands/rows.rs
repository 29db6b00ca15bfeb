//! Rows of a map: extents, cut where the image file under them has holes.

use std::collections::BTreeMap;
use std::fs::File;

use diskimg::{BlockSource, Disk, Extent, ExtentKind, Extents, FileSource, Image, Inspection, ReferenceRole};

use crate::failure::Failure;

/// One row, by the names of `qemu-img map --output=json`.
pub(super) struct Row {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) depth: u32,
    /// Whether this layer says what is there, and not one below.
    pub(super) present: bool,
    /// Whether it reads as zeros.
    pub(super) zero: bool,
    /// Whether space is given out for it.
    pub(super) data: bool,
    pub(super) compressed: bool,
    /// Where it lies verbatim in the file, or has room there.
    pub(super) offset: Option<u64>,
}

/// Turns the extents of a disk into rows.
pub(super) struct Rows<'a> {
    disk: &'a Disk,
    /// The files of layers in which QEMU looks for holes under what the image calls data, by depth.
    preallocated: BTreeMap<u32, Option<FileSource>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(disk: &'a Disk) -> Self {
        Self { disk, preallocated: BTreeMap::new() }
    }

    /// Gives the rows of one extent to `give`, in order.
    pub(super) fn each(
        &mut self,
        extent: &Extent<'_>,
        mut give: impl FnMut(Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let size = self.layer(extent.depth).map_or(u64::MAX, BlockSource::size);
        if extent.kind == ExtentKind::Zero && extent.end() > size && extent.depth > 0 {
            // Behind the end of a layer there is nothing, which for QEMU is the layer above's affair.
            let inside = size.saturating_sub(extent.offset);
            if inside > 0 {
                give(self.row(&extent.truncated(inside)))?;
            }
            let rest = extent.without_first(inside);
            let depth = extent.depth.saturating_sub(1);
            return give(Row { depth, present: false, offset: None, ..self.row(&rest) });
        }
        let whole = self.row(extent);
        let (Some(host), Some(offset), true) = (extent.location.host, whole.offset, whole.data) else {
            return give(whole);
        };
        let end = offset.saturating_add(extent.len);
        let Some(file) = self.preallocated_file(extent.depth, host.file)?.filter(|file| end <= file.size())
        else {
            return give(whole);
        };
        for run in Extents::new(file, offset..end) {
            let run = run?;
            give(Row {
                start: extent.offset.saturating_add(run.offset.saturating_sub(offset)),
                length: run.len,
                zero: run.kind.reads_as_zeros(),
                offset: Some(run.offset),
                ..whole
            })?;
        }
        Ok(())
    }

    fn row(&self, extent: &Extent<'_>) -> Row {
        let stored = matches!(extent.kind, ExtentKind::Data | ExtentKind::Encoded);
        // Of a flat file QEMU counts even the holes as given out, but not in the raw format.
        let flat =
            extent.reserved.is_some() && self.layer(extent.depth).is_some_and(|layer| is(layer, "vmdk"));
        let offset = match extent.location.host {
            // What was unwrapped lies in a file that has no name.
            _ if self.disk.wrapper().is_some() => None,
            Some(host) => Some(host.offset),
            None => extent.reserved,
        };
        Row {
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

    /// The file of a layer that was given space ahead of use: QEMU looks for holes in those of qcow2 and VDI.
    fn preallocated_file(&mut self, depth: u32, file: &File) -> Result<Option<&FileSource>, Failure> {
        if !self.preallocated.contains_key(&depth) {
            let preallocated = match self.layer(depth) {
                Some(layer) if is_preallocated(layer, file)? => Some(FileSource::new(file.try_clone()?)?),
                _ => None,
            };
            self.preallocated.insert(depth, preallocated);
        }
        Ok(self.preallocated.get(&depth).and_then(Option::as_ref))
    }
}

fn is(layer: &dyn Image, format: &str) -> bool {
    layer.info().format.name() == format
}

/// Whether space was given out ahead of use: to a fixed VDI, and to a qcow2 image whose file takes up clearly
/// less space than its clusters would. That is how QEMU tells one with `preallocation=metadata`.
fn is_preallocated(layer: &dyn Image, file: &File) -> Result<bool, Failure> {
    let info = layer.info();
    if !is(layer, "qcow2") {
        return Ok(is(layer, "vdi") && info.subformat.as_deref() == Some("fixed"));
    }
    let outside = info.references.iter().any(|reference| reference.role == ReferenceRole::DataFile);
    let (Some(cluster), false) = (info.allocation_unit.filter(|unit| *unit > 0), outside) else {
        return Ok(false);
    };
    let metadata = file.metadata()?;
    let Some(allocated) = Inspection::of_file(info.clone(), &metadata).allocated_size else {
        return Ok(false);
    };
    let clusters = metadata.len().div_ceil(cluster);
    let filled = allocated.checked_div(cluster).unwrap_or(0);
    Ok(clusters >= (filled.saturating_mul(10) / 9).max(filled.saturating_add(2)))
}
