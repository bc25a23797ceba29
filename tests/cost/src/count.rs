//! Counts the instructions of one case, by valgrind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// So often a case runs in the shorter process; memory is warm then.
const WARM: u64 = 50;
/// So much oftener in the longer one.
const MORE: u64 = 1_000;

/// Instructions of one round of `case`.
///
/// # Errors
/// When valgrind is not there, or says something else than a count.
pub(crate) fn count(program: &Path, case: &str) -> Result<u64> {
    let (less, more) = (whole(program, case, WARM)?, whole(program, case, WARM + MORE)?);
    ensure!(more > less, "{case}: {MORE} rounds more took no instructions more");
    Ok((more - less).div_ceil(MORE))
}

/// Instructions of a whole process. Neither its environment nor its folder is that of whoever calls: both would move its stack.
fn whole(program: &Path, case: &str, rounds: u64) -> Result<u64> {
    let mut valgrind = Command::new("/usr/bin/valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", case, &rounds.to_string()])
        .env_clear()
        .current_dir("/");
    let output = valgrind.output().context("start valgrind (scripts/deps installs it)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "count {case}: {said}");
    collected(&said).with_context(|| format!("count {case}: {said}"))
}

/// The number in valgrind's line `==PID== Collected : NUMBER`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_valgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 1234567\n==7== \n";
        assert_eq!(collected(said), Some(1_234_567));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
