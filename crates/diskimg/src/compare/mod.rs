//! Comparing two disks as a guest would see them; strictly, also how their images keep them.

mod comparison;
mod scan;
#[cfg(test)]
mod tests;

pub use comparison::{CompareOptions, Comparison, Difference, Status};
pub use scan::compare;
