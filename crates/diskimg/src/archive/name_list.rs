//! Lists of names of limited length.

/// The maximum number of bytes of all names that an error or finding lists. Our limit.
const MAX_LIST: usize = 4096;

/// A list of names of limited length.
#[derive(Clone, Default)]
pub(super) struct NameList {
    listed: String,
    unlisted: usize,
}

impl NameList {
    /// Adds a name that is escaped.
    pub(super) fn add(&mut self, name: &str) {
        if self.listed.len() >= MAX_LIST || name.is_empty() {
            return self.leave_out(1);
        }
        if !self.listed.is_empty() {
            self.listed.push_str(", ");
        }
        self.listed.push_str(name);
    }

    /// Counts names that are not listed.
    pub(super) fn leave_out(&mut self, count: usize) {
        self.unlisted = self.unlisted.saturating_add(count);
    }
}

impl std::fmt::Display for NameList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.listed)?;
        if self.unlisted > 0 { write!(f, " and {} more", self.unlisted) } else { Ok(()) }
    }
}
