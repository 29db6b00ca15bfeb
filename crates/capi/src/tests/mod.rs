//! Tests that C cannot do: panics inside the library, the layout of its structures, and the threads of its
//! handles.

mod layout;
mod panics;
mod threads;
