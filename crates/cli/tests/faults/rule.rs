//! The rule that holds after each run.

use crate::strace::{Ended, Fault, Injected};

/// The state of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Old,
    New,
    /// Nothing opens, with the reason.
    Nothing(String),
    /// Neither: what must never be.
    Other(String),
}

/// The state after a run.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) found: Found,
    /// All names in the directory.
    pub(crate) names: Vec<String>,
    /// True if the target is standard output, which has a part of the disk after an error.
    pub(crate) is_stream: bool,
    /// False if the system cannot exchange two files, so that an error after a rename leaves the new image.
    pub(crate) reverts: bool,
}

/// Returns the reason if the rule does not hold: after success the target is complete; otherwise the old image is
/// whole, or nothing opens. No temporary file is left except by SIGKILL. An interrupted call is
/// repeated, and a thread that cannot be started is done without.
pub(crate) fn violation(
    fault: &Fault,
    ended: &Ended,
    observed: &Observed,
    before: &[String],
    after_success: &[String],
) -> Option<&'static str> {
    if ended.stderr.contains("panicked") {
        return Some("a panic");
    }
    let is_killed = ended.code.is_none();
    if observed.is_stream && ended.code != Some(0) && (!is_killed || fault.injected == Injected::Kill) {
        return None;
    }
    match (&observed.found, ended.code) {
        (_, None) if fault.injected != Injected::Kill => return Some("it did not end"),
        (Found::Other(_), Some(0) | None) => return Some("neither the old nor the new disk"),
        (Found::Other(_), _) => return Some("a mixture after an error"),
        (Found::Old | Found::Nothing(_), Some(0)) => return Some("success without a target"),
        (Found::New, Some(code)) if code != 0 && !is_double(fault) && observed.reverts => {
            return Some("an error with a target");
        }
        _ => {}
    }
    if fault.injected == Injected::Error("EINTR") && !fault.is_startup && ended.code != Some(0) {
        return Some("an interrupted call is not repeated");
    }
    let is_refused_thread =
        matches!(fault.injected, Injected::Error("EAGAIN") | Injected::Persistent("EAGAIN"));
    if is_refused_thread && ended.code != Some(0) {
        return Some("a thread that cannot be started is not done without");
    }
    let expected = if ended.code == Some(0) { after_success } else { before };
    if !is_killed && !is_double(fault) && observed.names != expected {
        return Some("other files are left");
    }
    None
}

/// True if what reverts or cleans up fails too.
fn is_double(fault: &Fault) -> bool {
    matches!(fault.injected, Injected::Persistent(_)) || fault.call.starts_with("unlink")
}
