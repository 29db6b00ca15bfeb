//! Comparing two disks as a guest sees them. A strict comparison also compares how the images store them.

mod comparison;
mod scan;
#[cfg(test)]
mod tests;

pub use comparison::{CompareOptions, Comparison, Difference, Status};
pub use scan::compare;
