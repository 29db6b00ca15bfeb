//! Whole-buffer codecs for the compressed units of an image: qcow2 clusters, VMDK grains.
//!
//! Each type keeps what it allocates and is meant to be made once per thread. What comes out depends on the
//! input and the level alone, never on what the object did before. After an error the output buffer holds
//! nothing to rely on. Errors say what is wrong with the data; the caller adds the format and the offsets.
//!
//! ```
//! use diskimg_codec::cluster::{Deflater, Inflater};
//! let cluster = vec![7; 65536];
//! let mut packed = vec![0; 65536];
//! let len = Deflater::new(None)?.raw_deflate(&cluster, &mut packed)?.expect("sevens pack well");
//!
//! let mut back = vec![0; 65536];
//! Inflater::new().raw_deflate(&packed[..len], &mut back)?;
//! assert_eq!(back, cluster);
//! # Ok::<(), diskimg_core::Error>(())
//! ```

mod deflate;
mod inflate;
#[cfg(test)]
mod tests;
mod zlib;
mod zstd;

pub use deflate::Deflater;
pub use inflate::Inflater;
pub use zlib::ZlibEncoder;
pub use zstd::{ZstdDecoder, ZstdEncoder};
