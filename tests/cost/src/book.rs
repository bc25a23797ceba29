//! The committed counts, and what a change makes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Counts that differ by no more are the same.
const SAME: f64 = 0.05;
const HEAD: &str = "# Instructions of one round of each case (docs/performance.md). Written by `make cost-accept`.\n\n";

/// Instructions by case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    /// What compiled the program that was counted.
    pub(crate) compiler: String,
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// Two books side by side.
pub(crate) struct Comparison {
    rows: Vec<Row>,
    /// Before and now, when they differ.
    compilers: Option<(String, String)>,
}

struct Row {
    case: String,
    before: Option<u64>,
    now: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Cheaper,
    Dearer,
    Gone,
    New,
    Same,
}

impl Book {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("read {}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEAD}{}", toml::to_string(self)?);
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    /// How `now` stands to this book.
    pub(crate) fn compare(&self, now: &Self) -> Comparison {
        let mut cases: Vec<&String> = self.instructions.keys().chain(now.instructions.keys()).collect();
        cases.sort();
        cases.dedup();
        let row = |case: &String| Row {
            before: self.instructions.get(case).copied(),
            now: now.instructions.get(case).copied(),
            case: case.clone(),
        };
        Comparison {
            rows: cases.into_iter().map(row).collect(),
            compilers: (self.compiler != now.compiler).then(|| (self.compiler.clone(), now.compiler.clone())),
        }
    }
}

impl Comparison {
    /// Whether the change must not pass: a case became dearer, or is not counted.
    pub(crate) fn is_dearer(&self) -> bool {
        self.any(&[Verdict::Dearer, Verdict::Gone, Verdict::New])
    }

    fn any(&self, verdicts: &[Verdict]) -> bool {
        self.rows.iter().any(|row| verdicts.contains(&row.verdict()))
    }

    /// What to do.
    fn advice(&self) -> &'static str {
        match (&self.compilers, self.any(&[Verdict::Dearer])) {
            (Some(_), true) => {
                "Another compiler makes other programs. Count the commit before the change with it: \
                 `make cost-accept` there, committed alone, and only then look at the change again."
            }
            (None, true) => {
                "What became dearer by more than 5 % is to be made cheaper. Where the change is worth it, \
                 `make cost-accept` renews tests/cost/counts.toml, and the commit says why."
            }
            _ if self.any(&[Verdict::Cheaper, Verdict::Gone, Verdict::New]) => {
                "Renew tests/cost/counts.toml: `make cost-accept`."
            }
            _ => "Nothing became dearer.",
        }
    }
}

impl Row {
    fn verdict(&self) -> Verdict {
        match (self.before, self.now, self.change()) {
            (None, _, _) => Verdict::New,
            (_, None, _) => Verdict::Gone,
            (_, _, change) if change > SAME => Verdict::Dearer,
            (_, _, change) if change < -SAME => Verdict::Cheaper,
            _ => Verdict::Same,
        }
    }

    /// By what share of what it was it changed.
    fn change(&self) -> f64 {
        let (before, now) = (self.before.unwrap_or(0) as f64, self.now.unwrap_or(0) as f64);
        (now - before) / before.max(1.0)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
        writeln!(f, "{:<28}{:>10}{:>10}{:>9}", "instructions", "before", "now", "%")?;
        for row in &self.rows {
            let (before, now, change) = (shown(row.before), shown(row.now), 100.0 * row.change());
            let verdict = row.verdict();
            let said = match verdict {
                Verdict::Same => String::new(),
                verdict => format!("  {verdict}"),
            };
            let change = if matches!(verdict, Verdict::Gone | Verdict::New) {
                "–".to_owned()
            } else {
                format!("{change:+.1}")
            };
            writeln!(f, "{:<28}{before:>10}{now:>10}{change:>9}{said}", row.case)?;
        }
        if let Some((before, now)) = &self.compilers {
            writeln!(f, "before: {before}; now: {now}")?;
        }
        writeln!(f, "{}", self.advice())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cheaper => "cheaper: renew",
            Self::Dearer => "DEARER",
            Self::Gone => "NOT COUNTED ANY MORE: renew",
            Self::New => "NOT IN THE FILE: renew",
            Self::Same => "same",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(compiler: &str, counts: &[(&str, u64)]) -> Book {
        Book {
            compiler: compiler.into(),
            instructions: counts
                .iter()
                .map(|(case, count)| ((*case).to_owned(), *count))
                .collect(),
        }
    }

    /// Whether the step fails, and the lines about case `a` and about what to do.
    fn check(before: &Book, now: &Book, fails: bool, line: &str, advice: &str) {
        let comparison = before.compare(now);
        assert_eq!(comparison.is_dearer(), fails);
        let text = comparison.to_string();
        let found = text.lines().find(|line| line.starts_with("a ")).expect("a line");
        assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), line);
        assert!(text.lines().last().expect("advice").contains(advice), "{text}");
    }

    #[test]
    fn five_per_cent_are_the_limit() {
        let counted = |count| book("c", &[("a", count)]);
        let before = counted(1_000);
        check(
            &before,
            &counted(1_050),
            false,
            "a 1000 1050 +5.0",
            "Nothing became dearer.",
        );
        check(
            &before,
            &counted(1_051),
            true,
            "a 1000 1051 +5.1 DEARER",
            "the commit says why",
        );
        check(
            &before,
            &counted(950),
            false,
            "a 1000 950 -5.0",
            "Nothing became dearer.",
        );
        check(&before, &counted(949), false, "a 1000 949 -5.1 cheaper: renew", "Renew");
    }

    #[test]
    fn a_case_that_only_one_side_has_is_said() {
        let (with, without) = (book("c", &[("a", 7)]), book("c", &[]));
        check(&with, &without, true, "a 7 – – NOT COUNTED ANY MORE: renew", "Renew");
        check(&without, &with, true, "a – 7 – NOT IN THE FILE: renew", "Renew");
    }

    #[test]
    fn another_compiler_is_named() {
        let (before, now) = (book("rustc 1", &[("a", 100)]), book("rustc 2", &[("a", 110)]));
        check(&before, &now, true, "a 100 110 +10.0 DEARER", "Another compiler");
        assert!(
            before
                .compare(&now)
                .to_string()
                .contains("before: rustc 1; now: rustc 2")
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("dunlin-cost-{}", std::process::id()));
        let written = book("rustc 1", &[("a", 1), ("b", 2)]);
        written.write(&folder).expect("written");
        let read = Book::read(&folder).expect("read");
        fs::remove_file(&folder).expect("removed");
        assert_eq!(read, written);
    }

    #[test]
    fn the_committed_file_has_every_case() {
        let committed = Book::read(&crate::path()).expect("the committed file");
        let mut cases: Vec<&str> = crate::cases::ALL.iter().map(|case| case.name).collect();
        cases.sort_unstable();
        assert_eq!(committed.instructions.keys().collect::<Vec<_>>(), cases);
    }
}
