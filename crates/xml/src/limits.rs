//! How much a peer may make us keep.

/// Limits on what one stream may hold; all are checked before anything is allocated for the excess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest first-level element (and largest stream header), in bytes. Default 262,144.
    pub stanza_bytes: usize,
    /// Deepest nesting below the stream root; a stanza itself is depth 1. Default 64.
    pub depth: usize,
    /// Most attributes (namespace declarations included) on one element. Default 64.
    pub attributes: usize,
    /// Longest element or attribute name, in bytes. Default 256.
    pub name_bytes: usize,
    /// Most elements within one first-level element. Default 10,000.
    pub elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza_bytes: 262_144,
            depth: 64,
            attributes: 64,
            name_bytes: 256,
            elements: 10_000,
        }
    }
}

impl Limits {
    /// No limits: for bytes that have been validated before.
    pub const UNLIMITED: Self = Self {
        stanza_bytes: usize::MAX,
        depth: usize::MAX,
        attributes: usize::MAX,
        name_bytes: usize::MAX,
        elements: usize::MAX,
    };
}
