//! Refusing the names in a disk that is a member of an archive.

use std::sync::Arc;

use diskimg_core::{BlockSource, Error, ErrorKind, Reference, Remedy, Resolver, Result};

/// Refuses every reference of a disk in an archive. A file beside the archive is not the file that the disk means, even if
/// it has the name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAlone;

impl Resolver for ReadAlone {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let error = reference.describe(Error::new(ErrorKind::Denied));
        let error = error.because("it is named by a disk in an archive, which is read alone");
        Err(match reference.role.is_below() {
            true => error.with_remedy(Remedy::NameParent),
            false => error,
        })
    }
}
