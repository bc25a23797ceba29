//! How a command fails, and the exit codes.

use dunlin_loadtest::preflight;

/// A command that did not come to a good end.
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) code: u8,
    /// What to tell people; nothing when all is said.
    why: Option<anyhow::Error>,
}

/// Exit codes.
const USAGE: u8 = 1;
const UNREACHABLE: u8 = 2;
pub(crate) const THRESHOLD: u8 = 99;
pub(crate) const INTERRUPTED: u8 = 130;

impl Failure {
    /// Tells people on standard error.
    pub(crate) fn print(&self) {
        if let Some(why) = &self.why {
            eprintln!("dunlin-loadtest: {why:#}");
        }
    }

    /// One of which everything is said.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, why: None }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(why: anyhow::Error) -> Self {
        let code = match why.downcast_ref() {
            Some(preflight::Error::Unreachable(_)) => UNREACHABLE,
            _ => USAGE,
        };
        Self { code, why: Some(why) }
    }
}
