//! Decompression of one grain.

use diskimg_codec::cluster::Inflater;
use diskimg_core::{Error, ErrorKind, Result};

use crate::errors::{FORMAT, corrupt, truncated};
use crate::lookup::SparseExtent;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, most_compressed};
use crate::sparse_header::SECTOR;

/// Decompresses grains. One per thread.
#[derive(Default)]
pub(crate) struct GrainCodec {
    inflater: Inflater,
    /// The compressed bytes of a grain of which only a part was read with its neighbours.
    single: Vec<u8>,
}

impl GrainCodec {
    /// Decompresses the grain at `host`, which starts at `guest` in the extent. `input` holds the bytes of the
    /// file from its marker on; the missing ones are read.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the marker is not that of this grain, or `input` is no zlib stream, or has
    /// fewer bytes than the disk needs or more than `output`; [`ErrorKind::Truncated`] if the file ends before
    /// the grain.
    pub(crate) fn decode(
        &mut self,
        extent: &SparseExtent,
        host: u64,
        guest: u64,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        let len = usize::try_from(compressed_len(extent, host, guest, input)?).unwrap_or(usize::MAX);
        let data = match input.get(GRAIN_HEADER..).and_then(|data| data.get(..len)) {
            Some(data) => data,
            None => {
                self.single.resize(len, 0);
                extent.tables.source.read_at(host.saturating_add(GRAIN_HEADER as u64), &mut self.single)?;
                &self.single
            }
        };
        let of_disk = extent.of_disk(guest);
        let place = |error: Error| error.format(FORMAT).field("compressed grain").at(host).guest(of_disk);
        let needed = extent.grain_len(guest);
        match self.inflater.zlib(data, output).map_err(place)? {
            len if len as u64 >= needed => Ok(()),
            len => Err(place(
                Error::new(ErrorKind::Corrupt)
                    .because(format_args!("the zlib stream ends after {len} of {needed} bytes of output")),
            )),
        }
    }
}

/// Returns the number of compressed bytes after the marker at `host`. `head` starts with the marker.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the marker is not that of the grain at `guest`; [`ErrorKind::Truncated`] if the
/// file ends before the grain.
pub(crate) fn compressed_len(extent: &SparseExtent, host: u64, guest: u64, head: &[u8]) -> Result<u64> {
    let mut marker = [0; MARKER_LENGTH];
    for (to, from) in marker.iter_mut().zip(head) {
        *to = *from;
    }
    let of_disk = extent.of_disk(guest);
    let (lba, bytes) = match Marker::parse(&marker, host).map_err(|error| error.guest(of_disk))? {
        Marker::Grain { lba, bytes } => (lba, u64::from(bytes)),
        other => {
            return Err(corrupt("marker")
                .at(host)
                .guest(of_disk)
                .found(format_args!("{other:?}"))
                .expected("a compressed grain"));
        }
    };
    if lba.checked_mul(SECTOR) != Some(guest) {
        return Err(corrupt("first sector of a compressed grain")
            .at(host)
            .guest(of_disk)
            .found(lba)
            .expected(format_args!("{}, by the grain table", guest / SECTOR)));
    }
    let most = most_compressed(extent.grain_bytes);
    if bytes > most {
        return Err(corrupt("size of a compressed grain")
            .at(host.saturating_add(8))
            .guest(of_disk)
            .found(bytes)
            .expected(format_args!("at most {most} for a grain of {} bytes", extent.grain_bytes)));
    }
    let size = extent.tables.file_size();
    let end = host.saturating_add(GRAIN_HEADER as u64).saturating_add(bytes);
    if end > size {
        return Err(truncated("compressed grain")
            .at(host)
            .guest(of_disk)
            .because(format_args!("it ends at byte {end}, and the file ends at byte {size}")));
    }
    Ok(bytes)
}
