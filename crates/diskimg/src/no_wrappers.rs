//! The decompressors of a build without the feature `wrappers`: no value of them exists.

use std::io::Read;
use std::marker::PhantomData;

use diskimg_codec::Wrapper;
use diskimg_core::{Error, ErrorKind, Limits, Result};

pub(crate) use NoDecompressReader as DecompressReader;
pub(crate) use NoDecompressor as Decompressor;

pub(crate) enum NoDecompressor {}

impl NoDecompressor {
    pub(crate) fn wrapper(&self) -> Wrapper {
        match *self {}
    }

    pub(crate) fn push(&mut self, _: &[u8], _: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match *self {}
    }

    pub(crate) fn finish(&mut self, _: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match *self {}
    }
}

pub(crate) struct NoDecompressReader<R>(NoDecompressor, PhantomData<R>);

impl<R> Read for NoDecompressReader<R> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        match self.0 {}
    }
}

pub(crate) fn decompressor(wrapper: Wrapper, _: &Limits, _: u32) -> Result<NoDecompressor> {
    Err(unsupported(wrapper))
}

pub(crate) fn decompress_reader<R>(
    _: R,
    wrapper: Wrapper,
    _: &Limits,
    _: u32,
) -> Result<NoDecompressReader<R>> {
    Err(unsupported(wrapper))
}

fn unsupported(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Unsupported)
        .format(wrapper.format())
        .because("compressed files are not supported by this build")
}
