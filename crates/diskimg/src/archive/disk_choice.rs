//! The choice of a disk in an archive.

use diskimg_core::{Error, ErrorKind, Remedy, Result};

use super::recognise::OVA;

/// The maximum number of characters of one name, and bytes of all names, that an error lists. Our limits.
const MAX_NAME: usize = 256;
const MAX_LIST: usize = 4096;

/// Selects a disk of an archive: the only one, or the first with the requested name.
pub(crate) struct DiskChoice {
    requested: Option<String>,
    disks: usize,
    found: bool,
    listed: String,
    unlisted: usize,
}

/// The result of [`DiskChoice::add`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DiskMatch {
    /// The selected disk, unless the choice becomes ambiguous later.
    Selected,
    /// A second disk, while no name is requested.
    Ambiguous,
    /// A disk that is not selected.
    Other,
}

impl DiskChoice {
    pub(super) fn new(requested: Option<&str>) -> Self {
        let requested = requested.map(str::to_owned);
        Self { requested, disks: 0, found: false, listed: String::new(), unlisted: 0 }
    }

    /// Adds the next disk of the archive.
    pub(super) fn add(&mut self, name: &str) -> DiskMatch {
        self.disks = self.disks.saturating_add(1);
        self.list(name);
        match &self.requested {
            None if self.found => return DiskMatch::Ambiguous,
            Some(requested) if self.found || requested != name => return DiskMatch::Other,
            _ => self.found = true,
        }
        DiskMatch::Selected
    }

    /// Checks that a disk is selected among those added so far.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the archive has no disk. [`ErrorKind::InvalidInput`], which lists the disks, if
    /// there are several and no name is requested, or none has the requested name.
    pub(crate) fn check(&self) -> Result<()> {
        if self.disks == 0 {
            return Err(Error::new(ErrorKind::Unsupported).format(OVA).because("it holds no disk image"));
        }
        let more = if self.unlisted > 0 { format!(" and {} more", self.unlisted) } else { String::new() };
        let error = Error::new(ErrorKind::InvalidInput)
            .format(OVA)
            .field("disk")
            .found(format_args!("{}{more}", self.listed));
        match &self.requested {
            Some(requested) if !self.found => {
                Err(error.expected(format_args!("'{}'", requested.escape_debug())))
            }
            None if self.disks > 1 => {
                Err(error.expected("one disk, or the name of one").with_remedy(Remedy::NameMember))
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, name: &str) {
        if self.listed.len() >= MAX_LIST {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        if !self.listed.is_empty() {
            self.listed.push_str(", ");
        }
        self.listed.extend(name.escape_debug().take(MAX_NAME));
    }
}
