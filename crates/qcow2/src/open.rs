//! Opening: everything that is checked once, before the first guest byte is read.

use std::fmt;
use std::sync::Arc;

use diskimg_codec::units::UnitReader;
use diskimg_core::{BlockSource, Budget, ErrorKind, Image, ImageInfo, Limits, OpenOptions, Result};

use crate::addr::{HostOffset, span};
use crate::cluster_codec::ClusterCodec;
use crate::describe::describe;
use crate::errors::FORMAT;
use crate::errors::{corrupt, limit};
use crate::features;
use crate::file_window::FileWindow;
use crate::header::{Compression, Header, MAX_L1_BYTES, MAX_REFCOUNT_TABLE_BYTES};
use crate::l1;
use crate::l2::Rules;
use crate::lookup::{Lookup, Reserved};
use crate::parsed::Parsed;
use crate::snapshot;
use crate::tables::Tables;

/// A qcow2 image, or an internal snapshot of one, as a disk to read. One layer: what is unallocated reads as
/// zeros, and a backing file is only reported.
///
/// Any number of threads may read at once; no lock is held while bytes are read or inflated.
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
    /// Where data clusters are: the image itself or its external data file.
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

/// An L1 table to read through, and the size of its disk.
pub(crate) struct Active {
    pub(crate) offset: u64,
    pub(crate) entries: u64,
    pub(crate) size: u64,
}

impl Active {
    /// The tables of the active state.
    pub(crate) fn of(header: &Header) -> Self {
        Self { offset: header.l1_table_offset, entries: header.l1_entries, size: header.virtual_size() }
    }
}

impl Qcow2 {
    /// Opens an image, or the internal snapshot that `options` name.
    ///
    /// The disk's size is that of the header in whole sectors of 512 bytes: a size that is no multiple is
    /// rounded down, as QEMU does, and noted in [`ImageInfo::findings`]. Reads the header, the extensions and
    /// the snapshot table; L1 and L2 tables are read in pages when they are first needed.
    ///
    /// Damage is reported where it is met: clusters and tables behind the end of the file are
    /// [`ErrorKind::Truncated`], never zeros. Only the end of a cluster that begins inside the file reads as
    /// zeros where the file has no more.
    ///
    /// # Errors
    /// [`ErrorKind::Encrypted`] for an encrypted image; [`ErrorKind::Unsupported`] for other versions and
    /// unknown incompatible features; [`ErrorKind::Denied`], or what the resolver says, for an external data
    /// file; [`ErrorKind::Limit`] for a disk larger than the limit; [`ErrorKind::InvalidInput`] for a
    /// snapshot that is not there; [`ErrorKind::Corrupt`] and [`ErrorKind::Truncated`] for damage.
    pub fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        let limits = &options.limits;
        let budget = Budget::new("header", limits.header_bytes);
        let mut window = FileWindow::new(source.as_ref(), limits)?;
        let parsed = Parsed::read(&mut window, &budget)?;
        let header = &parsed.header;
        check_readable(&parsed)?;
        let active = match &options.snapshot {
            None => Active::of(header),
            Some(wanted) => snapshot_tables(header, &snapshot::find(header, limits, &mut window, wanted)?)?,
        };
        limits.check_virtual_size(active.size).map_err(|error| error.format(FORMAT).at(24))?;
        check_l1_in_file(header, &active, source.size())?;
        let mut info = describe(&parsed, limits, &budget, &mut window);
        info.virtual_size = active.size;
        let data = match &parsed.data_file {
            None => Arc::clone(&source),
            Some(reference) => options.resolver.resolve(reference)?,
        };
        let lookup = Lookup {
            tables: Tables::new(Arc::clone(&source), header.geometry, limits),
            rules: Rules::of(header, parsed.data_file.is_some()),
            l1_table: HostOffset(active.offset),
            data_size: data.size(),
            reserved: reserved(header, &active),
        };
        Ok(Self {
            data,
            lookup,
            compression: header.compression,
            units: UnitReader::new(),
            info,
            size: active.size,
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

/// Reads what an image claims without opening anything it names, whatever it may be that keeps it from being
/// opened: encryption, unknown features, an external data file, tables cut off.
///
/// A virtual size past [`Limits::virtual_size`] is a finding here, not an error.
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
/// When the header itself cannot be: [`ErrorKind::UnknownFormat`], [`ErrorKind::Truncated`],
/// [`ErrorKind::Unsupported`], [`ErrorKind::Corrupt`] or [`ErrorKind::Limit`].
pub fn inspect(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    let budget = Budget::new("header", limits.header_bytes);
    let mut window = FileWindow::new(source, limits)?;
    let parsed = Parsed::read(&mut window, &budget)?;
    Ok(describe(&parsed, limits, &budget, &mut window))
}

/// Checks that this crate can read the guest's bytes.
pub(crate) fn check_readable(parsed: &Parsed) -> Result<()> {
    features::check_known(parsed.header.incompatible, &parsed.extensions.feature_names)?;
    match parsed.header.encryption {
        None => Ok(()),
        Some(method) => Err(corrupt("crypt_method")
            .with_kind(ErrorKind::Encrypted)
            .at(32)
            .because(format_args!("the image is encrypted with {}", method.name()))),
    }
}

/// The L1 table of a snapshot, checked as the header's is.
fn snapshot_tables(header: &Header, entry: &snapshot::Entry) -> Result<Active> {
    let geometry = header.geometry;
    let size = entry.told.virtual_size;
    if i64::try_from(size).is_err() {
        return Err(limit("disk size of a snapshot")
            .at(entry.at)
            .found(size)
            .expected("less than 2^63 bytes"));
    }
    let needed = geometry.l1_entries_for(size);
    let fault = |field: &str, value: u64| corrupt(field).at(entry.at).found(value);
    if entry.l1_entries < needed {
        return Err(fault("L1 size of a snapshot", entry.l1_entries)
            .expected(format_args!("at least {needed} for a disk of {size} bytes")));
    }
    if entry.l1_entries.saturating_mul(8) > MAX_L1_BYTES {
        let most = format_args!("at most {}", MAX_L1_BYTES / 8);
        return Err(fault("L1 size of a snapshot", entry.l1_entries)
            .with_kind(ErrorKind::Limit)
            .expected(most));
    }
    if geometry.in_cluster(entry.l1_table_offset) != 0 {
        return Err(fault("L1 table offset of a snapshot", entry.l1_table_offset)
            .expected(format_args!("a multiple of the cluster size {}", geometry.cluster_size())));
    }
    Ok(Active { offset: entry.l1_table_offset, entries: entry.l1_entries, size })
}

/// The part of the L1 table that maps the disk has to be there; QEMU allows the rest, which maps saved
/// machine state, to be large.
pub(crate) fn check_l1_in_file(header: &Header, active: &Active, file_size: u64) -> Result<()> {
    let needed = header.geometry.l1_entries_for(active.size).saturating_mul(8);
    let l1 = span(active.offset, needed);
    let first_cluster = header.geometry.cluster_size();
    if needed > 0 && l1.start < first_cluster {
        return Err(corrupt("l1_table_offset").at(40).found(l1.start).expected("no overlap with the header"));
    }
    if needed > 0 && l1.end > file_size {
        return Err(l1::cut(&l1, file_size));
    }
    Ok(())
}

/// Metadata whose place is known without reading more: no cluster of the guest may lie there.
pub(crate) fn reserved(header: &Header, active: &Active) -> Vec<Reserved> {
    let cluster = header.geometry.cluster_size();
    let refcounts = u64::from(header.refcount_table_clusters).saturating_mul(cluster);
    // A length that QEMU would refuse says nothing about where the table is.
    let refcounts = if refcounts <= MAX_REFCOUNT_TABLE_BYTES { refcounts } else { 0 };
    let part = |what, range| Reserved { what, range };
    let mut all = vec![
        part("header", 0..cluster),
        part("active L1 table", span(header.l1_table_offset, header.l1_bytes())),
        part("refcount table", span(header.refcount_table_offset, refcounts)),
        part("L1 table of the snapshot", span(active.offset, active.entries.saturating_mul(8))),
    ];
    all.retain(|reserved| !reserved.range.is_empty());
    if active.offset == header.l1_table_offset {
        all.truncate(3);
    }
    all
}
