//! What only Rust can see of the C library: panics inside it, and the layout of its structures.

mod layout;
mod panics;
