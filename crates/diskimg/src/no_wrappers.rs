//! The decompressor of a build without the feature `wrappers`: no value of it exists.

use std::io::Read;

use diskimg_codec::Wrapper;
use diskimg_core::{Error, ErrorKind, Finding, Result};

use crate::finding_log::FindingLog;
use crate::opener::Opener;

pub(crate) use NoDecompressor as Decompressor;

pub(crate) enum NoDecompressor {}

impl NoDecompressor {
    pub(crate) fn wrapper(&self) -> Wrapper {
        match *self {}
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        match *self {}
    }

    pub(crate) fn push(&mut self, _: &[u8], _: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match *self {}
    }

    pub(crate) fn finish(&mut self, _: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match *self {}
    }
}

pub(crate) fn decompressor(wrapper: Wrapper, _: &Opener) -> Result<NoDecompressor> {
    Err(unsupported(wrapper))
}

pub(crate) fn least_size(_: Wrapper, _: &[u8]) -> Option<u64> {
    None
}

pub(crate) fn decompress_reader(
    _: impl Read,
    wrapper: Wrapper,
    _: &Opener,
    _: &FindingLog,
) -> Result<Box<dyn Read + Send>> {
    Err(unsupported(wrapper))
}

pub(crate) fn decompress_prefix(_: &mut dyn Read, wrapper: Wrapper, _: usize, _: &Opener) -> Result<Vec<u8>> {
    Err(unsupported(wrapper))
}

fn unsupported(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Unsupported)
        .format(wrapper.format())
        .because("compressed files are not supported by this build")
}
