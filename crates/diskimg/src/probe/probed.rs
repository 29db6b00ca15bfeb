//! The state of a probe.

/// The state of a [`crate::Prober`] after a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probed {
    /// Nothing is recognised yet; more input is needed.
    More,
    /// The format is certain.
    Format,
    /// Further input cannot change the result.
    Done,
}
