//! QED images, read only. Source: QEMU's `docs/interop/qed_spec`.
//!
//! A header, an L1 table and L2 tables of little-endian numbers lead to clusters. Everything in the file is untrusted: each
//! number is checked before it is used, and a bad one is an error with its place.

use std::ops::Range;
use std::sync::Arc;

use diskimg::core::{
    CheckReport, MetadataCache, OpenOptions, ReadCursor, Verdict, check_extent_range, check_range, range,
};
use diskimg::{
    BlockSource, Driver, Error, ErrorKind, Extent, ExtentKind, Finding, Format, Image, ImageInfo, Limits,
    Reference, ReferenceRole, Result,
};

/// The name of the format.
const QED: Format = Format::new("qed");

/// The driver to pass to [`diskimg::Opener::with_drivers`].
pub(crate) static DRIVER: Driver = Driver::new(QED, probe, inspect, open)
    .with_description("QEMU enhanced disks, read only")
    .with_extensions(&["qed"])
    .with_check(check);

const MAGIC: &[u8] = b"QED\0";
const HEADER_LEN: u64 = 64;
/// Bits of the field `features`: the image has a backing file; it was not closed; its backing file is raw.
const BACKING_FILE: u64 = 1;
const NEED_CHECK: u64 = 2;
const BACKING_IS_RAW: u64 = 4;
/// The longest name of a backing file in bytes, as in QEMU.
const MAX_NAME: u64 = 1023;
/// The bytes of a table that are read at a time. No cluster is smaller.
const PAGE: u64 = 4096;

fn probe(head: &[u8]) -> Verdict {
    match head.get(..MAGIC.len()) {
        Some(MAGIC) => Verdict::Yes,
        None if MAGIC.starts_with(head) => Verdict::NeedBytes(MAGIC.len()),
        _ => Verdict::No,
    }
}

fn error(kind: ErrorKind, field: &str, at: u64) -> Error {
    Error::new(kind).format(QED).field(field).at(at)
}

fn number<const N: usize>(bytes: &[u8], at: u64) -> Option<[u8; N]> {
    bytes.get(usize::try_from(at).ok()?..)?.first_chunk().copied()
}

/// The fields of the header, all of them valid.
struct Header {
    cluster_size: u64,
    /// The entries of each table.
    entries: u64,
    features: u64,
    l1_table: u64,
    virtual_size: u64,
    /// The place of the name of the backing file; empty if there is none.
    backing_name: Range<u64>,
}

impl Header {
    fn read(source: &dyn BlockSource) -> Result<Self> {
        let mut bytes = vec![0; range::buffer_len(&(0..source.size().min(HEADER_LEN)))];
        source.read_at(0, &mut bytes)?;
        let short = || error(ErrorKind::Truncated, "header", 0).found(format_args!("{} bytes", bytes.len()));
        let u32_at = |at| number(&bytes, at).map(u32::from_le_bytes).map(u64::from).ok_or_else(short);
        let u64_at = |at| number(&bytes, at).map(u64::from_le_bytes).ok_or_else(short);
        if !bytes.starts_with(MAGIC) {
            return Err(error(ErrorKind::UnknownFormat, "magic", 0));
        }
        let (cluster_size, table_size, features) = (u32_at(4)?, u32_at(8)?, u64_at(16)?);
        let unknown = features & !(BACKING_FILE | NEED_CHECK | BACKING_IS_RAW);
        if unknown != 0 {
            return Err(error(ErrorKind::Unsupported, "features", 16).found_hex(unknown));
        }
        if !cluster_size.is_power_of_two() || !(PAGE..=64 << 20).contains(&cluster_size) {
            let expected = "a power of two from 4096 to 67108864";
            return Err(error(ErrorKind::Corrupt, "cluster_size", 4).found(cluster_size).expected(expected));
        }
        if !table_size.is_power_of_two() || table_size > 16 {
            let expected = "a power of two from 1 to 16";
            return Err(error(ErrorKind::Corrupt, "table_size", 8).found(table_size).expected(expected));
        }
        // At most 2^26 * 2^4 / 8.
        let entries = cluster_size * table_size / 8;
        let (l1_table, virtual_size) = (u64_at(40)?, u64_at(48)?);
        let most = entries.saturating_mul(entries).saturating_mul(cluster_size);
        if virtual_size > most || virtual_size % 512 != 0 {
            let expected = format!("sectors of 512 bytes, at most {most} bytes");
            return Err(error(ErrorKind::Corrupt, "image_size", 48).found(virtual_size).expected(expected));
        }
        if l1_table == 0 || l1_table % cluster_size != 0 {
            let expected = format!("a multiple of the cluster size {cluster_size:#x}");
            let error = error(ErrorKind::Corrupt, "l1_table_offset", 40).found_hex(l1_table);
            return Err(error.expected(expected));
        }
        let (name, name_len) = match features & BACKING_FILE {
            0 => (0, 0),
            _ => (u32_at(56)?, u32_at(60)?),
        };
        if name_len > MAX_NAME {
            let error = error(ErrorKind::Limit, "backing_filename_size", 60).found(name_len);
            return Err(error.expected(format_args!("at most {MAX_NAME}")));
        }
        let backing_name = name..name.saturating_add(name_len);
        Ok(Self { cluster_size, entries, features, l1_table, virtual_size, backing_name })
    }
}

/// Describes an image by its header alone, and opens no other file.
fn inspect(source: &dyn BlockSource, _: &Limits) -> Result<ImageInfo> {
    describe(source, &Header::read(source)?)
}

fn describe(source: &dyn BlockSource, header: &Header) -> Result<ImageInfo> {
    let mut info = ImageInfo::new(QED, header.virtual_size);
    info.allocation_unit = Some(header.cluster_size);
    info.dirty = header.features & NEED_CHECK != 0;
    if !header.backing_name.is_empty() {
        let at = header.backing_name.start;
        let mut name = vec![0; range::buffer_len(&header.backing_name)];
        if header.backing_name.end > source.size() {
            return Err(error(ErrorKind::Truncated, "backing file name", at));
        }
        source.read_at(at, &mut name)?;
        info.findings.push(Finding::hazard("backing_file", "the image refers to a backing file").at(at));
        // Without a format, the facade refuses to guess it; a caller can name it.
        let mut reference = Reference::new(ReferenceRole::Backing, name, QED);
        reference.format = (header.features & BACKING_IS_RAW != 0).then(|| "raw".to_owned());
        reference.offset = Some(at);
        info.references.push(reference);
    }
    Ok(info)
}

fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Arc<dyn Image>> {
    Ok(Arc::new(Qed::open(source, options)?))
}

/// An open image: one layer. The facade reads the backing file where this layer is `Unallocated`.
struct Qed {
    source: Arc<dyn BlockSource>,
    header: Header,
    info: ImageInfo,
    pages: MetadataCache<[u8]>,
}

/// The place of a cluster.
#[derive(Clone, Copy)]
enum Cluster {
    Unallocated,
    Zero,
    /// The offset in the file.
    Data(u64),
}

impl Qed {
    fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        if options.snapshot.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput).format(QED).field("snapshot"));
        }
        let header = Header::read(&source)?;
        options.limits.check_virtual_size(header.virtual_size).map_err(|error| error.format(QED))?;
        let info = describe(&source, &header)?;
        let pages = MetadataCache::in_group(options.limits.metadata_cache, &options.caches);
        Ok(Self { source, header, info, pages })
    }

    /// The entry `index` of the table at `table`, and its offset in the file.
    fn entry(&self, table: u64, index: u64) -> Result<(u64, u64)> {
        let at = table.saturating_add(index.saturating_mul(8));
        let start = at - at % PAGE;
        let page = self.pages.get_or_load(start, || {
            let end = start.saturating_add(PAGE).min(self.source.size());
            let mut page = vec![0; range::buffer_len(&(start..end))];
            match start < end {
                true => self.source.read_at(start, &mut page)?,
                false => return Err(error(ErrorKind::Truncated, "table", at)),
            }
            Ok(page.into())
        })?;
        let entry = number(&page, at % PAGE).map(u64::from_le_bytes);
        Ok((entry.ok_or_else(|| error(ErrorKind::Truncated, "table", at))?, at))
    }

    /// Checks that an entry is the offset of `len` bytes of the file.
    fn located(&self, (entry, at): (u64, u64), len: u64, field: &str) -> Result<u64> {
        if entry % self.header.cluster_size != 0 {
            let expected = format!("a multiple of the cluster size {:#x}", self.header.cluster_size);
            return Err(error(ErrorKind::Corrupt, field, at).found_hex(entry).expected(expected));
        }
        match entry.checked_add(len) {
            Some(end) if end <= self.source.size() => Ok(entry),
            _ => Err(error(ErrorKind::Truncated, field, at).found_hex(entry)),
        }
    }

    /// The cluster of the guest byte `guest`, of which `len` bytes are read.
    fn cluster(&self, guest: u64, len: u64) -> Result<Cluster> {
        let index = guest / self.header.cluster_size;
        let l1 = self.entry(self.header.l1_table, index / self.header.entries)?;
        if l1.0 == 0 {
            return Ok(Cluster::Unallocated);
        }
        let l2 = self.located(l1, 8, "L1 entry")?;
        let inside = guest % self.header.cluster_size;
        Ok(match self.entry(l2, index % self.header.entries)? {
            (0, _) => Cluster::Unallocated,
            (1, _) => Cluster::Zero,
            l2 => {
                let host = self.located(l2, inside.saturating_add(len), "L2 entry");
                Cluster::Data(host.map_err(|error| error.guest(guest))?.saturating_add(inside))
            }
        })
    }

    /// The bytes from `guest` to the end of its cluster, or to `end`.
    fn rest_of_cluster(&self, guest: u64, end: u64) -> u64 {
        (self.header.cluster_size - guest % self.header.cluster_size).min(end.saturating_sub(guest))
    }
}

impl BlockSource for Qed {
    fn size(&self) -> u64 {
        self.header.virtual_size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let mut rest = ReadCursor::new(offset, buf);
        while !rest.is_empty() {
            let guest = rest.offset();
            let len = self.rest_of_cluster(guest, rest.end());
            let cluster = self.cluster(guest, len)?;
            let now = rest.take(len).ok_or_else(|| Error::new(ErrorKind::Internal))?;
            match cluster {
                Cluster::Unallocated | Cluster::Zero => now.fill(0),
                Cluster::Data(host) => self.source.read_at(host, now)?,
            }
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size())?;
        let len = self.rest_of_cluster(range.start, range.end);
        let guest = range.start..range.start.saturating_add(len);
        Ok(match self.cluster(range.start, len)? {
            Cluster::Unallocated => Extent::new(guest, ExtentKind::Unallocated),
            Cluster::Zero => Extent::new(guest, ExtentKind::Zero),
            Cluster::Data(host) => {
                let mut extent = Extent::new(guest, ExtentKind::Data);
                // The kernel can copy these bytes if the file is one of the host.
                extent.location = self.source.locate(host..host.saturating_add(len));
                extent
            }
        })
    }
}

impl Image for Qed {
    fn info(&self) -> &ImageInfo {
        &self.info
    }
}

/// Checks that each entry leads to a cluster of the file. Bad entries are reported; only failures are errors.
fn check(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<CheckReport> {
    let image = Qed::open(source, options)?;
    let (size, cluster_size) = (image.size(), image.header.cluster_size);
    let mut report = CheckReport::default();
    let (mut guest, mut allocated) = (0, 0_u64);
    options.progress.begin(Some(size));
    while guest < size {
        let len = image.rest_of_cluster(guest, size);
        match image.cluster(guest, len) {
            Ok(Cluster::Data(host)) => {
                allocated = allocated.saturating_add(1);
                report.image_end = report.image_end.max(Some(host.saturating_add(cluster_size)));
            }
            Ok(Cluster::Unallocated | Cluster::Zero) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated) => {
                report.corruption(error.offset(), error.to_string());
            }
            Err(error) => return Err(error),
        }
        guest = guest.saturating_add(len);
        options.advance(len)?;
    }
    report.total_units = Some(size.div_ceil(cluster_size));
    report.allocated_units = Some(allocated);
    Ok(report)
}
