//! The row by which a stream feature appears in the generated documentation.

/// What a stream feature says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name: that of its file.
    pub name: &'static str,
    /// The XEPs it implements, each with the version followed; none where an RFC alone describes it.
    pub xeps: &'static [(u16, &'static str)],
    /// One sentence.
    pub summary: &'static str,
}
