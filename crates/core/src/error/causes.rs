//! The causes of an error.

use std::error::Error;
use std::io;

/// The errors of the standard library among an error and its causes.
pub(super) fn io_errors<'a>(first: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a io::Error> {
    std::iter::successors(Some(first), |error| cause_of(*error)).filter_map(|error| error.downcast_ref())
}

/// The cause of an error. An [`io::Error`] that contains another error does not return that one as its source, but the
/// source of that one.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
}
