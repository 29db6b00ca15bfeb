//! Findings of a stream that its end shows.

use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::Finding;

/// The findings of a stream that is read once, from all readers that the stream passes through. Clones share one list.
///
/// A reader adds a finding when it knows it, at the latest before it reports the end of the stream.
#[derive(Clone, Default)]
pub(crate) struct FindingLog(Arc<Mutex<Vec<Finding>>>);

impl FindingLog {
    /// Adds findings that are not yet in the list.
    pub(crate) fn add(&self, findings: impl IntoIterator<Item = Finding>) {
        merge(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), findings);
    }

    /// The findings so far.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Appends the findings that are not yet in the list.
pub(crate) fn merge(list: &mut Vec<Finding>, findings: impl IntoIterator<Item = Finding>) {
    for finding in findings {
        if !list.contains(&finding) {
            list.push(finding);
        }
    }
}
