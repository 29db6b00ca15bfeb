//! Handles move between threads, and those that are only read are shared by threads.

use crate::create::WriterHandle;
use crate::error::ErrorReport;
use crate::image::ImageHandle;
use crate::probe::ProbeHandle;
use crate::progress::CancelFlag;

fn moves<T: Send>() {}
fn is_shared<T: Send + Sync>() {}

#[test]
fn handles_support_the_threads_that_the_header_documents() {
    is_shared::<ImageHandle>();
    is_shared::<WriterHandle>();
    is_shared::<CancelFlag>();
    is_shared::<ErrorReport>();
    moves::<ProbeHandle>();
}
