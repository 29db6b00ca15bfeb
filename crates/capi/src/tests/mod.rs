//! What only Rust can see of the C library: panics inside it, the layout of its structures, and what its
//! handles may do.

mod layout;
mod panics;
mod threads;
