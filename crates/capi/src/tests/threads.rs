//! Handles go from thread to thread, and those that are read may be read from many at once.

use crate::create::Writer;
use crate::error::ErrorReport;
use crate::image::Image;
use crate::probe::Probe;
use crate::progress::CancelFlag;

fn moves<T: Send>() {}
fn is_shared<T: Send + Sync>() {}

#[test]
fn handles_keep_the_threads_that_the_header_promises() {
    is_shared::<Image>();
    is_shared::<Writer>();
    is_shared::<CancelFlag>();
    is_shared::<ErrorReport>();
    moves::<Probe>();
}
