//! How far a command is, on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often progress is shown.
pub(super) const SAY: Duration = Duration::from_secs(1);

/// Progress: on a terminal one line that changes.
pub(super) fn say(done: usize, total: usize, started: Instant) {
    let (begin, end) = match std::io::stderr().is_terminal() {
        true if done < total => ("\r", ""),
        true => ("\r", "\n"),
        false => ("", "\n"),
    };
    eprint!(
        "{begin}{done} of {total} in {:.1} s{end}",
        started.elapsed().as_secs_f64()
    );
}
