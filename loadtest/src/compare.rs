//! Runs side by side: figures, ratios, and whether a difference is more than noise.
//!
//! A side is one run, or several of the same thing: then its figure is their median, and its band reaches from the least to the most. The band
//! of a single run is what its own histogram allows: for a quantile, the values between which the true one lies with 95 % confidence. Nothing is
//! surer than five per cent, for one run says little about the next. Two figures whose bands overlap are the same.

use std::fmt;

use crate::latency::Latency;
use crate::measure::{Aspect, Count, Measure};
use crate::quantity::{Quantity, digits};
use crate::results::Results;

/// One side of a comparison: its name and its runs.
#[derive(Clone, Debug)]
pub struct Side {
    /// For people: the folder's name.
    pub name: String,
    /// At least one run.
    pub runs: Vec<Results>,
}

/// Figures side by side; the first side is what the others are compared with. Shows itself as a table for a terminal.
#[derive(Clone, Debug)]
pub struct Comparison {
    names: Vec<String>,
    rows: Vec<Row>,
    remarks: Vec<String>,
}

/// One measure on all sides.
#[derive(Clone, Debug)]
struct Row {
    measure: Measure,
    cells: Vec<Option<Band>>,
}

/// A figure and between which values it may as well have been.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Band {
    middle: f64,
    low: f64,
    high: f64,
}

/// How a side stands to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    Better,
    Noise,
    Worse,
}

impl Comparison {
    /// Compares sides by all measures that any of them has.
    pub fn new(sides: &[Side]) -> Self {
        let mut measures: Vec<Measure> = Vec::new();
        for measure in sides.iter().flat_map(|side| &side.runs).flat_map(Measure::headlines) {
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        let row = |measure: Measure| Row {
            cells: sides.iter().map(|side| Band::of(&measure, &side.runs)).collect(),
            measure,
        };
        Self {
            names: sides.iter().map(|side| side.name.clone()).collect(),
            rows: measures.into_iter().map(row).collect(),
            remarks: remarks(sides),
        }
    }

    /// The comparison as a Markdown table.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let table = self.table();
        for (index, row) in table.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|---|{}\n", "--:|".repeat(row.len() - 1)));
            }
        }
        for remark in &self.remarks {
            text.push_str(&format!("\n> {remark}\n"));
        }
        text
    }

    /// Whether any side is worse than the first by any measure, beyond noise.
    pub fn is_worse(&self) -> bool {
        self.rows
            .iter()
            .any(|row| row.differences().any(|(_, difference)| difference == Difference::Worse))
    }

    fn table(&self) -> Vec<Vec<String>> {
        let others = self
            .names
            .iter()
            .skip(1)
            .flat_map(|name| [name.clone(), "ratio".into(), String::new()]);
        let heads = ["".to_owned(), self.names.first().cloned().unwrap_or_default()];
        let mut table = vec![heads.into_iter().chain(others).collect::<Vec<_>>()];
        table.extend(self.rows.iter().map(Row::cells));
        table
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let shown =
            |cell: &Option<Band>| cell.map_or("–".to_owned(), |band| self.measure.unit().of(band.middle).to_string());
        let mut cells = vec![
            self.measure.to_string(),
            self.cells.first().map(shown).unwrap_or_default(),
        ];
        let mut differences = self.differences();
        for cell in self.cells.iter().skip(1) {
            cells.push(shown(cell));
            let known = self.cells[0].is_some() && cell.is_some();
            let (ratio, difference) = match known.then(|| differences.next()).flatten() {
                Some((ratio, difference)) => (
                    ratio.map_or("–".into(), |ratio| format!("× {}", digits(ratio))),
                    difference.to_string(),
                ),
                None => ("–".into(), String::new()),
            };
            cells.extend([ratio, difference]);
        }
        cells
    }

    /// Ratio (none of zero) and difference of each other side that has a figure, if the first has one.
    fn differences(&self) -> impl Iterator<Item = (Option<f64>, Difference)> {
        let first = self.cells.first().copied().flatten();
        let pairs = self
            .cells
            .iter()
            .skip(1)
            .filter_map(move |other| Some((first?, (*other)?)));
        pairs.map(|(first, other)| {
            let ratio = (first.middle != 0.0).then(|| other.middle / first.middle);
            (ratio, first.difference(other, self.measure.more_is_better()))
        })
    }
}

impl Band {
    fn of(measure: &Measure, runs: &[Results]) -> Option<Self> {
        let mut values: Vec<f64> = runs
            .iter()
            .filter_map(|run| measure.of(run).ok())
            .map(|Quantity { value, .. }| value)
            .collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        let (least, most) = match runs {
            [run] => confidence(measure, run).unwrap_or((least, most)),
            _ => (least, most),
        };
        // How many are sent is the schedule's luck; a lost message is a lost message.
        let is_exact = matches!(measure, Measure::Ledger(count) if !matches!(count, Count::Received | Count::Sent));
        let unsure = if is_exact { 0.0 } else { UNSURE };
        Some(Self {
            middle,
            low: least.min(middle * (1.0 - unsure)),
            high: most.max(middle * (1.0 + unsure)),
        })
    }

    fn difference(self, other: Self, more_is_better: bool) -> Difference {
        if self.low <= other.high && other.low <= self.high {
            Difference::Noise
        } else if (other.middle > self.middle) == more_is_better {
            Difference::Better
        } else {
            Difference::Worse
        }
    }
}

/// What no single figure is surer than.
const UNSURE: f64 = 0.05;

/// The values between which a quantile lies with 95 % confidence: ranks are binomial (1.96 standard deviations to either side).
fn confidence(measure: &Measure, run: &Results) -> Option<(f64, f64)> {
    let Measure::Operation {
        what: Aspect::Quantile(share),
        operation,
        phase,
    } = measure
    else {
        return None;
    };
    let latency: Latency = run.operation(operation, phase.as_deref()).latency;
    let off = 1.96 * (share * (1.0 - share) / latency.count() as f64).sqrt();
    let value = |share: f64| Some(latency.quantile(share.clamp(0.0, 1.0))?.as_secs_f64());
    Some((value(share - off)?, value(share + off)?))
}

/// What a reader must know before believing the table.
fn remarks(sides: &[Side]) -> Vec<String> {
    let mut remarks = Vec::new();
    let runs = || sides.iter().flat_map(|side| &side.runs);
    if runs()
        .zip(runs().skip(1))
        .any(|(one, two)| scenario(one) != scenario(two))
    {
        remarks.push("the runs are not of the same scenario".to_owned());
    }
    if runs()
        .zip(runs().skip(1))
        .any(|(one, two)| !machine(one).eq(machine(two)))
    {
        remarks.push("the runs are not of the same machine, or it was set up in another way".to_owned());
    }
    for side in sides {
        let count = side.runs.iter().filter(|run| !run.warnings.is_empty()).count();
        if count > 0 {
            remarks.push(format!(
                "{}: {count} of {} runs have warnings; see their reports",
                side.name,
                side.runs.len()
            ));
        }
    }
    remarks
}

/// The scenario without the server that it was run against, which is what is compared.
fn scenario(run: &Results) -> Option<toml::Table> {
    let mut table: toml::Table = run.about.definition.parse().ok()?;
    table.remove("server");
    Some(table)
}

/// What stays: the machine's load is another every time.
fn machine(run: &Results) -> impl Iterator<Item = (&String, &String)> {
    run.about.machine.iter().filter(|(fact, _)| !fact.starts_with("load"))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Noise => "same",
            Self::Worse => "worse",
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        let columns = table.first().map_or(0, Vec::len);
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &table {
            let mut line = format!("{:<1$}", row[0], widths[0]);
            row.iter()
                .zip(&widths)
                .skip(1)
                .for_each(|(cell, width)| line.push_str(&format!("  {cell:>width$}")));
            writeln!(f, "{}", line.trim_end())?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "! {remark}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::results::{Ledger, Operation, Span};

    fn run(milliseconds: u64, lost: u64) -> Results {
        let mut operation = Operation {
            intended: 1000,
            done: 1000,
            ..Operation::default()
        };
        (0..1000).for_each(|number| {
            operation
                .latency
                .record(Duration::from_millis(milliseconds + number / 100))
        });
        Results {
            phases: vec![Span {
                name: "hold".into(),
                began: 0.0,
                ended: 10.0,
            }],
            operations: BTreeMap::from([("hold".into(), BTreeMap::from([("message".into(), operation)]))]),
            ledger: Ledger {
                sent: 1000,
                received: 1000 - lost,
                lost,
                ..Ledger::default()
            },
            ..Results::default()
        }
    }

    fn side(name: &str, runs: Vec<Results>) -> Side {
        Side {
            name: name.into(),
            runs,
        }
    }

    #[test]
    fn differences_beyond_noise_are_named() {
        let comparison = Comparison::new(&[side("before", vec![run(100, 0)]), side("after", vec![run(50, 1)])]);
        let text = comparison.to_string();
        let line = |start: &str| {
            text.lines()
                .find(|line| line.starts_with(start))
                .expect(start)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(line("p50(message)"), "p50(message) 104 ms 54 ms × 0.519 better");
        assert_eq!(line("rate(message)"), "rate(message) 100/s 100/s × 1 same");
        assert_eq!(line("loss"), "loss 0 1 – worse");
        assert_eq!(line("received"), "received 1,000 999 × 0.999 same");
        assert!(comparison.is_worse());
        let markdown = comparison.markdown();
        assert!(
            markdown.starts_with("|  | before | after | ratio |  |\n|---|--:|--:|--:|--:|\n"),
            "{markdown}"
        );
    }

    #[test]
    fn runs_of_one_side_make_its_band() {
        let spread = || vec![run(100, 0), run(120, 0), run(140, 0)];
        let comparison = Comparison::new(&[
            side("a", spread()),
            side("b", vec![run(130, 0)]),
            side("c", vec![run(300, 0)]),
        ]);
        let row = comparison
            .rows
            .iter()
            .find(|row| row.measure.to_string() == "p50(message)")
            .expect("a row");
        let found: Vec<Difference> = row.differences().map(|(_, difference)| difference).collect();
        assert_eq!(found, [Difference::Noise, Difference::Worse]);
        assert!((row.cells[0].expect("a band").middle - 0.124).abs() < 0.001);
    }

    #[test]
    fn what_one_side_lacks_is_left_open() {
        let comparison = Comparison::new(&[side("a", vec![Results::default()]), side("b", vec![run(1, 0)])]);
        assert!(comparison.to_string().contains('–') && !comparison.is_worse());
        let mut other = run(1, 0);
        other.about.definition = "users = 5\n[server]\ndomain = \"b\"".into();
        other.warnings.push("busy".into());
        let mut same = other.clone();
        same.about.definition = "users = 5\n[server]\ndomain = \"a\"".into();
        same.about.machine.insert("load before".into(), "0.7".into());
        let comparison = Comparison::new(&[side("a", vec![same]), side("b", vec![other.clone()])]);
        assert_eq!(
            comparison.remarks.len(),
            2,
            "both have warnings: {:?}",
            comparison.remarks
        );
        let comparison = Comparison::new(&[side("a", vec![run(1, 0)]), side("b", vec![other])]);
        assert_eq!(
            comparison.remarks,
            [
                "the runs are not of the same scenario",
                "b: 1 of 1 runs have warnings; see their reports"
            ]
        );
    }
}
