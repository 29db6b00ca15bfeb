//! Findings of a stream that its end shows.

use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::Finding;

/// The findings of a stream that is read once, from all readers that the stream passes through. Clones share one list.
///
/// A reader adds a finding when it knows it, at the latest before it reports the end of the stream.
#[derive(Clone, Default)]
pub(crate) struct FindingLog(Arc<Mutex<LoggedFindings>>);

#[derive(Default)]
struct LoggedFindings {
    findings: Vec<Finding>,
    /// Return findings that depend on the virtual size of the image.
    late: Vec<Box<dyn Fn(u64) -> Vec<Finding> + Send>>,
}

impl FindingLog {
    /// Adds findings that are not yet in the list.
    #[cfg(feature = "wrappers")]
    pub(crate) fn add(&self, findings: impl IntoIterator<Item = Finding>) {
        merge(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).findings, findings);
    }

    /// Adds findings that depend on the virtual size of the image in bytes.
    pub(crate) fn add_late(&self, findings: impl Fn(u64) -> Vec<Finding> + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).late.push(Box::new(findings));
    }

    /// The findings so far about an image of this virtual size in bytes.
    pub(crate) fn findings(&self, virtual_size: u64) -> Vec<Finding> {
        let logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut findings = logged.findings.clone();
        logged.late.iter().for_each(|late| merge(&mut findings, late(virtual_size)));
        findings
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
