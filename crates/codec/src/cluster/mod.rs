//! Whole-buffer codecs for the compressed units of an image: qcow2 clusters, VMDK grains.
//!
//! Each type reuses its allocations; create one per thread. The output depends only on the input and the level,
//! never on earlier calls. After an error the content of the output buffer is undefined. Errors describe the
//! data; the caller adds the format and the offsets.
//!
//! ```
//! use diskimg_codec::cluster::{Deflater, Inflater};
//! let cluster = vec![7; 65536];
//! let mut packed = vec![0; 65536];
//! let len = Deflater::new(None)?.raw_deflate(&cluster, &mut packed)?.expect("sevens compress well");
//!
//! let mut back = vec![0; 65536];
//! Inflater::new().raw_deflate(&packed[..len], &mut back)?;
//! assert_eq!(back, cluster);
//! # Ok::<(), diskimg_core::Error>(())
//! ```

mod deflate;
mod deflate_level;
mod inflate;
#[cfg(test)]
mod tests;
mod zlib;
mod zstd;
mod zstd_frame;

pub use deflate::Deflater;
pub use inflate::Inflater;
pub use zlib::ZlibEncoder;
pub use zstd::{ZstdDecoder, ZstdEncoder};
