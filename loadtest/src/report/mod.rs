//! What a run leaves behind: a folder with one page for people, and files for machines.
//!
//! | File | Is |
//! |---|---|
//! | `report.html` | everything, in one page that needs no network |
//! | `results.json` | [`Results`], without loss: it can be merged, compared and reported again |
//! | `summary.json` | the headlines as plain numbers: seconds, bytes, shares of one |
//! | `summary.md` | the headlines as a comment on a change |
//! | `junit.xml` | each threshold as a test case |
//! | `series.csv` | what was read once a second |

mod chart;
mod escape;
mod html;
mod sections;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

use crate::results::Results;

/// A file that was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said no.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not hold results.
    #[error("{path} does not hold results of a run: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
}

/// Name of the file that holds the results themselves.
pub const RESULTS: &str = "results.json";

/// Writes all files into a folder, which is made if it is missing. The results themselves come first: from them all others can be made again.
pub fn write(results: &Results, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::File {
        path: folder.to_owned(),
        source,
    })?;
    let json = serde_json::to_string(results).map_err(|source| Error::Json {
        path: folder.join(RESULTS),
        source,
    })?;
    let files = [
        (RESULTS, json),
        ("report.html", html::Page(results).to_string()),
        ("summary.json", summary::json(results)),
        ("summary.md", summary::markdown(results)),
        ("junit.xml", summary::junit(results)),
        ("series.csv", summary::csv(results)),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// Reads the results of a run, from its folder or from the file itself.
pub fn read(path: &Path) -> Result<Results, Error> {
    let path = if path.is_dir() {
        path.join(RESULTS)
    } else {
        path.to_owned()
    };
    let text = fs::read(&path).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })
}

/// All runs at a path: a file, the folder of a run, or a folder of such folders, in the order of their names.
pub fn read_all(path: &Path) -> Result<Vec<Results>, Error> {
    if !path.is_dir() || path.join(RESULTS).exists() {
        return Ok(vec![read(path)?]);
    }
    let entries = fs::read_dir(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(RESULTS).exists())
        .collect();
    folders.sort();
    if folders.is_empty() {
        // Says which file is missing.
        return read(path).map(|results| vec![results]);
    }
    folders.iter().map(|folder| read(folder)).collect()
}

#[cfg(test)]
mod tests;
