//! How far the exporters are on their way out.

/// How far the exporters are on their way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// They work as usual.
    Running,
    /// They send what they have, once.
    Ending,
    /// They let go of what they have.
    Cut,
}
