//! Decompression of one grain.

use std::ops::Range;

use diskimg_codec::cluster::Inflater;
use diskimg_core::{Error, ErrorKind, GuestOffset, HostOffset, Result, ensure};

use crate::addr::{ExtentOffset, SECTOR};
use crate::errors::{FORMAT, corrupt, truncated};
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, most_compressed};
use crate::sparse_extent::SparseExtent;

/// Decompresses grains. One per thread.
#[derive(Default)]
pub(crate) struct GrainCodec {
    inflater: Inflater,
    /// The compressed bytes of a grain of which only a part was read with its neighbours.
    single: Vec<u8>,
}

impl GrainCodec {
    /// Decompresses the grain at `host`, which starts at `guest`. `input` holds the bytes of the file from its
    /// marker on; the missing ones are read.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the marker is not that of this grain, or `input` is not a zlib stream, or
    /// has fewer bytes than the disk needs or more than `output`; [`ErrorKind::Truncated`] if the file ends
    /// before the grain.
    pub(crate) fn decode(
        &mut self,
        extent: &SparseExtent,
        host: HostOffset,
        guest: ExtentOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        let len = usize::try_from(compressed_len(extent, host, guest, input)?).unwrap_or(usize::MAX);
        let data = match input.get(GRAIN_HEADER..).and_then(|data| data.get(..len)) {
            Some(data) => data,
            None => {
                self.single.resize(len, 0);
                extent.tables().source().read_at(host.plus(GRAIN_HEADER as u64).0, &mut self.single)?;
                &self.single
            }
        };
        let start = extent.in_disk(guest);
        let in_disk = start..start.plus(extent.geometry().grain_len(guest));
        inflate(&mut self.inflater, data, host, &in_disk, output).map(|_| ())
    }
}

/// Decompresses the grain of the disk's bytes `guest`, whose marker is at `host`, into `output`. Returns the bytes of
/// `guest`; the grain may have been compressed with or without those past the end of the disk.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if `data` is no zlib stream or has fewer bytes than `guest`, or more than `output`.
pub(crate) fn inflate<'a>(
    inflater: &mut Inflater,
    data: &[u8],
    host: HostOffset,
    guest: &Range<GuestOffset>,
    output: &'a mut [u8],
) -> Result<&'a [u8]> {
    let locate =
        |error: Error| error.format(FORMAT).field("compressed grain").at(host.0).guest(guest.start.0);
    let needed = guest.end.since(guest.start);
    let len = inflater.zlib(data, output).map_err(locate)?;
    ensure(len as u64 >= needed, || {
        let because = format!("the zlib stream ends after {len} of {needed} bytes of output");
        locate(Error::new(ErrorKind::Corrupt).because(because))
    })?;
    Ok(output.get(..usize::try_from(needed).unwrap_or(len)).unwrap_or_default())
}

/// Returns the number of compressed bytes after the marker at `host`. `head` starts with the marker.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the marker is not that of the grain at `guest`; [`ErrorKind::Truncated`] if the
/// file ends before the grain.
pub(crate) fn compressed_len(
    extent: &SparseExtent,
    host: HostOffset,
    guest: ExtentOffset,
    head: &[u8],
) -> Result<u64> {
    let mut marker = [0; MARKER_LENGTH];
    for (to, from) in marker.iter_mut().zip(head) {
        *to = *from;
    }
    let marker = Marker::parse(&marker, host);
    let len = marker.and_then(|marker| len_in_marker(marker, extent, host, guest));
    len.map_err(|error| error.guest(extent.in_disk(guest).0))
}

/// The checks of [`compressed_len`]. Errors do not name the guest offset.
fn len_in_marker(
    marker: Marker,
    extent: &SparseExtent,
    host: HostOffset,
    guest: ExtentOffset,
) -> Result<u64> {
    let Marker::Grain { lba, bytes } = marker else {
        let found = format!("{marker:?}");
        return Err(corrupt("marker").at(host.0).found(found).expected("a compressed grain"));
    };
    ensure(lba.checked_mul(SECTOR) == Some(guest.0), || {
        let expected = format!("{}, by the grain table", guest.0 / SECTOR);
        corrupt("first sector of a compressed grain").at(host.0).found(lba).expected(expected)
    })?;
    let (grain_bytes, bytes) = (extent.geometry().grain_bytes(), u64::from(bytes));
    let max = most_compressed(grain_bytes);
    ensure(bytes <= max, || {
        let expected = format!("at most {max} for a grain of {grain_bytes} bytes");
        corrupt("size of a compressed grain").at(host.plus(8).0).found(bytes).expected(expected)
    })?;
    let end = host.plus(GRAIN_HEADER as u64).plus(bytes).0;
    let size = extent.tables().file_size();
    ensure(end <= size, || {
        let because = format!("it ends at byte {end}, and the file ends at byte {size}");
        truncated("compressed grain").at(host.0).because(because)
    })?;
    Ok(bytes)
}
