//! Which disk of an archive is meant.

use diskimg_core::{Error, ErrorKind, Remedy, Result};

use super::OVA;

/// Letters of a name, and bytes of all names, that an error lists. Bounds of ours.
const SHOWN: usize = 256;
const LISTED: usize = 4096;

/// The choice among the disks of an archive: the only one, or the first of the name that is wanted.
pub(crate) struct Choice {
    wanted: Option<String>,
    disks: usize,
    found: bool,
    listed: String,
    unlisted: usize,
}

/// What a disk is to a [`Choice`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Met {
    /// The one that is meant, as far as is known.
    Meant,
    /// One too many: it is not clear any more which is meant.
    Unclear,
    /// One of those that are not meant.
    Other,
}

impl Choice {
    pub(super) fn new(wanted: Option<&str>) -> Self {
        let wanted = wanted.map(str::to_owned);
        Self { wanted, disks: 0, found: false, listed: String::new(), unlisted: 0 }
    }

    /// Takes the next disk of the archive.
    pub(super) fn meet(&mut self, name: &str) -> Met {
        self.disks = self.disks.saturating_add(1);
        self.list(name);
        match &self.wanted {
            None if self.found => return Met::Unclear,
            Some(wanted) if self.found || wanted != name => return Met::Other,
            _ => self.found = true,
        }
        Met::Meant
    }

    /// Whether there is a disk that is meant, with all disks seen, or as many as are known.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the archive has no disk; [`ErrorKind::InvalidInput`] naming those it has
    /// when there are several and none is wanted, or the wanted one is not among them.
    pub(crate) fn check(&self) -> Result<()> {
        if self.disks == 0 {
            return Err(Error::new(ErrorKind::Unsupported).format(OVA).because("it holds no disk image"));
        }
        let more = if self.unlisted > 0 { format!(" and {} more", self.unlisted) } else { String::new() };
        let error = Error::new(ErrorKind::InvalidInput)
            .format(OVA)
            .field("disk")
            .found(format_args!("{}{more}", self.listed));
        match &self.wanted {
            Some(wanted) if !self.found => Err(error.expected(format_args!("'{}'", wanted.escape_debug()))),
            None if self.disks > 1 => {
                Err(error.expected("one disk, or the name of one").with_remedy(Remedy::NameMember))
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, name: &str) {
        if self.listed.len() >= LISTED {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        if !self.listed.is_empty() {
            self.listed.push_str(", ");
        }
        self.listed.extend(name.escape_debug().take(SHOWN));
    }
}
