//! Makes a failure small enough to read: fewer faults that still lead to one, and of its log what matters.

use crate::plan::Plan;
use crate::world::{Outcome, run};

/// Lines at the end of a log that always matter.
const LAST: usize = 12;

/// Leaves out faults, one at a time, as long as something still goes wrong.
pub(crate) fn shrink(plan: &Plan, outcome: Outcome) -> (Plan, Outcome) {
    let (mut least, mut failure) = (plan.clone(), outcome);
    let mut at = least.faults.len();
    while at > 0 {
        at -= 1;
        let mut fewer = least.clone();
        fewer.faults.remove(at);
        let outcome = run(&fewer);
        if !outcome.violations.is_empty() {
            (least, failure) = (fewer, outcome);
        }
    }
    (least, failure)
}

/// The faults, and what was said of the stanzas and sessions that something is wrong with.
pub(crate) fn trace(outcome: &Outcome) -> Vec<&str> {
    let names: Vec<&str> = outcome
        .violations
        .iter()
        .filter_map(|violation| violation.split(':').next())
        .take(3)
        .collect();
    let matters = |line: &str| {
        let named = names
            .iter()
            .any(|name| line.split(' ').any(|word| word == *name) || line.contains(&format!("{name}:")));
        named
            || [
                "FAULT",
                "VIOLATION",
                "HEALED",
                "starts",
                "gone",
                "resume",
                "begins",
                "over",
                "cut off",
            ]
            .iter()
            .any(|word| line.contains(word))
    };
    let last = outcome.log.len().saturating_sub(LAST);
    let lines = outcome.log.iter().enumerate();
    lines
        .filter(|(at, line)| *at >= last || matters(line))
        .map(|(_, line)| line.as_str())
        .collect()
}
