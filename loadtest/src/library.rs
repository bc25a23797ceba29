//! The scenarios that come with the load tester, and where else a scenario may be.

use std::path::Path;

/// Name and text of each.
pub const ALL: &[(&str, &str)] = &[
    ("archive-sync", include_str!("../scenarios/archive-sync.toml")),
    ("chat", include_str!("../scenarios/chat.toml")),
    ("edge-kill", include_str!("../scenarios/edge-kill.toml")),
    ("idle-mobile", include_str!("../scenarios/idle-mobile.toml")),
    ("login-storm", include_str!("../scenarios/login-storm.toml")),
    ("mixed-day", include_str!("../scenarios/mixed-day.toml")),
    ("presence-storm", include_str!("../scenarios/presence-storm.toml")),
    ("reconnect-storm", include_str!("../scenarios/reconnect-storm.toml")),
    ("rolling-restart", include_str!("../scenarios/rolling-restart.toml")),
];

/// Why a scenario was not found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Neither a file nor one of ours.
    #[error("`{0}` is neither a file nor a scenario of the library; `dunlin-loadtest ls` lists those: {known}", known = names())]
    Unknown(String),
}

/// The text of a scenario: that of a file, or one of the library's.
///
/// # Errors
/// As [`Error`].
pub fn find(name: &str) -> Result<String, Error> {
    if let Some((_, text)) = ALL.iter().find(|(own, _)| *own == name) {
        return Ok((*text).to_owned());
    }
    let path = Path::new(name);
    if !path.exists() {
        return Err(Error::Unknown(name.to_owned()));
    }
    std::fs::read_to_string(path).map_err(|source| Error::File {
        path: name.to_owned(),
        source,
    })
}

fn names() -> String {
    ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn every_scenario_can_be_read_and_is_called_as_its_file() {
        for (name, text) in ALL {
            let scenario = Scenario::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, *name);
        }
    }
}
