//! The files of an image other than its own, and the locks on them.

use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::{BlockSource, CacheGroup, Format, Printable, Reference, Resolver, Result};

use crate::locking::{LockState, Locking};
use crate::resolve::relative_to;

/// The files that were opened in addition to the image itself.
pub(crate) struct OpenedFiles {
    locking: Locking,
    /// The caches of the layers, which share one budget.
    pub(crate) caches: CacheGroup,
    files: Mutex<Vec<(Arc<dyn BlockSource>, LockState)>>,
}

impl OpenedFiles {
    pub(crate) fn new(locking: Locking) -> Self {
        Self { locking, caches: CacheGroup::default(), files: Mutex::default() }
    }

    /// Adds a file with this name, to which an image of the format `found_in` refers, and locks it.
    pub(crate) fn add(&self, source: &Arc<dyn BlockSource>, name: &[u8], found_in: Format) -> Result<()> {
        // Escaped, but not quoted: the name is in brackets, as in the message of QEMU.
        let name = Printable::new(name).to_string();
        let used = self.locking.on_source(&**source, name.trim_matches('"'));
        self.push(source, used.map_err(|error| error.format(found_in))?);
        Ok(())
    }

    /// Adds a file that the caller opened.
    pub(crate) fn add_given(&self, source: &Arc<dyn BlockSource>) {
        self.push(source, LockState::default());
    }

    fn push(&self, source: &Arc<dyn BlockSource>, used: LockState) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push((Arc::clone(source), used));
    }

    /// Returns true if a file fulfils the condition.
    pub(crate) fn any(&self, mut holds: impl FnMut(&dyn BlockSource) -> bool) -> bool {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().any(|(source, _)| holds(&**source))
    }

    /// The messages about other processes that write the files.
    pub(crate) fn in_use(&self) -> Vec<String> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().filter_map(|(_, used)| used.in_use.clone()).collect()
    }
}

/// Resolves names relative to the directory of the image that records them.
pub(crate) struct RelativeResolver<'a> {
    pub(crate) resolver: &'a dyn Resolver,
    pub(crate) referrer: &'a [u8],
    pub(crate) opened: &'a OpenedFiles,
}

impl Resolver for RelativeResolver<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let name = relative_to(self.referrer, &reference.name);
        let reference = reference.with_name(name);
        let source = self.resolver.resolve(&reference)?;
        self.opened.add(&source, &reference.name, reference.found_in)?;
        Ok(source)
    }
}
