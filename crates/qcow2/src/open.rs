//! Opening an image: everything that is checked once, before the first guest byte is read.

use std::fmt;
use std::sync::Arc;

use diskimg_codec::units::UnitReader;
use diskimg_core::{BlockSource, Image, ImageInfo, Limits, MetadataCache, OpenOptions, Result};

use crate::cluster_codec::ClusterCodec;
use crate::describe::describe;
use crate::errors::FORMAT;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::header::Compression;
use crate::l2::L2Rules;
use crate::lookup::Lookup;
use crate::selected_l1::SelectedL1;
use crate::snapshot;
use crate::table_survey::TableSurvey;

/// A qcow2 image, or an internal snapshot of one, as a disk to read. It is one layer: unallocated clusters read
/// as zeros, and a backing file is only reported.
///
/// Any number of threads may read at the same time. No lock is held while bytes are read or decompressed.
///
/// ```
/// use diskimg_core::{ErrorKind, Memory, OpenOptions};
/// use diskimg_qcow2::Qcow2;
/// use std::sync::Arc;
///
/// let not_an_image = Arc::new(Memory::new(vec![0; 512]));
/// let error = Qcow2::open(not_an_image, &OpenOptions::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownFormat);
/// ```
pub struct Qcow2 {
    pub(crate) source: Arc<dyn BlockSource>,
    /// The file with the data clusters: the image itself or its external data file.
    pub(crate) data: Arc<dyn BlockSource>,
    pub(crate) lookup: Lookup,
    pub(crate) compression: Compression,
    pub(crate) units: UnitReader<ClusterCodec>,
    pub(crate) info: ImageInfo,
    pub(crate) size: u64,
}

impl fmt::Debug for Qcow2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qcow2").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Qcow2 {
    /// Opens an image, or the internal snapshot that `options` name.
    ///
    /// Reads the header, the header extensions and the snapshot table. Pages of L1 and L2 tables are read when
    /// they are first needed.
    ///
    /// A disk size that is not a multiple of 512 bytes is rounded down, as QEMU does, and reported in
    /// [`ImageInfo::findings`].
    ///
    /// A read fails only if it needs something damaged. Tables and clusters past the end of the file are
    /// [`diskimg_core::ErrorKind::Truncated`], never zeros. If the file ends inside a data cluster, the rest of that
    /// cluster reads as zeros, as in QEMU, which is the finding `truncated_cluster`.
    ///
    /// # Errors
    /// - [`diskimg_core::ErrorKind::Encrypted`] for an encrypted image
    /// - [`diskimg_core::ErrorKind::Unsupported`] for another version or an unknown incompatible feature
    /// - [`diskimg_core::ErrorKind::Denied`], or the resolver's error, for an external data file
    /// - [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limit
    /// - [`diskimg_core::ErrorKind::InvalidInput`] for a snapshot that does not exist
    /// - [`diskimg_core::ErrorKind::Corrupt`] and [`diskimg_core::ErrorKind::Truncated`] for damage
    pub fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        let limits = &options.limits;
        let budget = limits.header_budget();
        let mut window = FileWindow::new(source.as_ref(), limits)?;
        let parsed = FirstCluster::read(&mut window, &budget)?;
        parsed.check_readable()?;
        let header = &parsed.header;
        let selected = match &options.snapshot {
            None => SelectedL1::active(header),
            Some(wanted) => {
                SelectedL1::of_snapshot(header, &snapshot::find(header, limits, &mut window, wanted)?)?
            }
        };
        limits.check_virtual_size(selected.disk_size).map_err(|error| error.format(FORMAT).at(24))?;
        selected.check_in_file(header, source.size())?;
        let mut info = describe(&parsed, limits, &budget, &mut window);
        info.virtual_size = selected.disk_size;
        let data = match &parsed.data_file {
            None => Arc::clone(&source),
            Some(reference) => options.resolver.resolve(reference)?,
        };
        let survey = TableSurvey {
            source: source.as_ref(),
            rules: L2Rules::new(header, parsed.data_file.is_some()),
            l1: selected.mapping_bytes(header),
            disk_size: selected.disk_size,
            data_size: Some(data.size()),
            table_bytes: limits.metadata_cache,
        };
        info.findings.extend(survey.short_cluster());
        let cache = MetadataCache::in_group(limits.metadata_cache, &options.caches);
        let lookup = Lookup::new(Arc::clone(&source), &parsed, &selected, data.size(), cache);
        Ok(Self {
            data,
            lookup,
            compression: header.compression,
            units: UnitReader::in_group(limits.metadata_cache, &options.caches),
            info,
            size: selected.disk_size,
            source,
        })
    }
}

/// Opens one layer: [`diskimg_core::Driver::open`] of this format.
///
/// # Errors
/// As [`Qcow2::open`].
pub(crate) fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Arc<dyn Image>> {
    Ok(Arc::new(Qcow2::open(source, options)?))
}

/// Describes an image without opening any file that it names.
///
/// An image that cannot be opened, because it is encrypted, truncated, has unknown features or an external data
/// file, is described too. A virtual size larger than [`Limits::virtual_size`] is a finding here, not an error.
///
/// ```
/// use diskimg_core::{ErrorKind, Limits, Memory};
/// let empty = Memory::new(Vec::new());
/// let error = diskimg_qcow2::inspect(&empty, &Limits::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Truncated);
/// assert_eq!(error.to_string(), "qcow2: header at byte 0 is 0 bytes, expected at least 72");
/// ```
///
/// # Errors
/// If the header is invalid: [`diskimg_core::ErrorKind::UnknownFormat`],
/// [`diskimg_core::ErrorKind::Truncated`], [`diskimg_core::ErrorKind::Unsupported`],
/// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Limit`].
pub fn inspect(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    let budget = limits.header_budget();
    let mut window = FileWindow::new(source, limits)?;
    let parsed = FirstCluster::read(&mut window, &budget)?;
    Ok(describe(&parsed, limits, &budget, &mut window))
}
