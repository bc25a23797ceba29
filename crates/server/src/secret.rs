//! The secret of a server that stands alone: what a cluster keeps in etcd. It outlives restarts, as tokens and resources follow from it
//! (decision 10).

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const BYTES: usize = 32;

/// Reads the secret at `path`; makes it when there is none. Only its owner may read the file.
///
/// # Errors
/// When it cannot be read or made, or is something else.
pub(crate) fn at(path: &Path) -> Result<[u8; BYTES]> {
    match fs::read(path) {
        Ok(bytes) => <[u8; BYTES]>::try_from(bytes)
            .ok()
            .with_context(|| format!("{} does not hold {BYTES} bytes", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Written beside and linked, so that nobody reads half a secret and nobody's is replaced.
fn make(path: &Path) -> Result<[u8; BYTES]> {
    let secret: [u8; BYTES] = rand::random();
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let attempt = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&secret)?;
        file.sync_all()?;
        let linked = fs::hard_link(&beside, path);
        fs::remove_file(&beside)?;
        linked
    };
    match attempt() {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => at(path),
        Err(error) => Err(error).with_context(|| format!("making {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/secret");
        let made = at(&path).unwrap();
        assert_eq!(at(&path).unwrap(), made);
        assert_eq!(make(&path).unwrap(), made, "not replaced");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::write(&path, b"short").unwrap();
        assert!(at(&path).is_err());
    }
}
