//! What is shown while a run goes on: a full screen in a terminal, a line every few seconds elsewhere.

mod screen;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};

pub use self::snapshot::{Activity, Snapshot};
use crate::quantity::{Unit, digits};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line every few seconds.
    Lines,
    /// Nothing.
    Quiet,
    /// The full screen.
    Screen,
}

/// Where a run is shown. Dropped, it gives the terminal back.
#[derive(Debug)]
pub struct View {
    shown: Shown,
    /// The rates of each activity in the last minutes.
    history: BTreeMap<String, VecDeque<f64>>,
}

#[derive(Debug)]
enum Shown {
    Lines { last: f64, phase: String },
    Quiet,
    Screen(Box<DefaultTerminal>),
}

impl Style {
    /// The screen if standard output is a terminal, lines otherwise.
    pub fn suitable() -> Self {
        if io::stdout().is_terminal() {
            Self::Screen
        } else {
            Self::Lines
        }
    }
}

impl View {
    /// Takes the terminal if the style wants it.
    pub fn open(style: Style) -> io::Result<Self> {
        let shown = match style {
            Style::Lines => Shown::Lines {
                last: f64::NEG_INFINITY,
                phase: String::new(),
            },
            Style::Quiet => Shown::Quiet,
            Style::Screen => Shown::Screen(Box::new(ratatui::try_init()?)),
        };
        Ok(Self {
            shown,
            history: BTreeMap::new(),
        })
    }

    /// Shows a moment; to be called about once a second.
    pub fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        for activity in &snapshot.activities {
            let rates = self.history.entry(activity.name.clone()).or_default();
            rates.push_back(activity.rate);
            if rates.len() > REMEMBERED {
                rates.pop_front();
            }
        }
        match &mut self.shown {
            Shown::Quiet => Ok(()),
            Shown::Screen(terminal) => terminal
                .draw(|frame| screen::draw(frame, snapshot, &self.history))
                .map(drop),
            Shown::Lines { last, phase } => {
                let now = snapshot.phase();
                if snapshot.at - *last < EVERY && now == phase {
                    return Ok(());
                }
                (*last, *phase) = (snapshot.at, now.to_owned());
                writeln!(io::stdout().lock(), "{}", line(snapshot))
            }
        }
    }

    /// Whether somebody at the screen wants the run to end: `q`, or Ctrl-C, which is no signal while the screen is ours. Does not wait.
    pub fn is_asked_to_stop(&mut self) -> bool {
        let Shown::Screen(_) = self.shown else { return false };
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(key)) = event::read() {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                if key.code == KeyCode::Char('q') || control && key.code == KeyCode::Char('c') {
                    return true;
                }
            }
        }
        false
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Shown::Screen(_) = self.shown {
            ratatui::restore();
        }
    }
}

/// Seconds between two lines of the same phase.
const EVERY: f64 = 5.0;

/// Rates that are kept for the screen's small charts.
const REMEMBERED: usize = 240;

/// `  12 s  hold  480 up  message 1,000/s p50 0.4 ms p99 3 ms  failed 3  server 61 % 48 MB`.
fn line(snapshot: &Snapshot) -> String {
    let mut line = format!(
        "{:>6} s  {:<12} {} of {} up",
        digits(snapshot.at.round()),
        snapshot.phase(),
        snapshot.up,
        snapshot.wanted
    );
    for activity in snapshot.activities.iter().filter(|activity| activity.rate > 0.0) {
        line.push_str(&format!("  {} {}", activity.name, Unit::Rate.of(activity.rate)));
        for (name, time) in [("p50", activity.p50), ("p99", activity.p99)] {
            line.push_str(
                &time
                    .map(|time| format!(" {name} {}", Unit::Time.of(time.as_secs_f64())))
                    .unwrap_or_default(),
            );
        }
    }
    let failed: u64 = snapshot.failures.values().sum();
    if failed > 0 {
        line.push_str(&format!("  failed {}", digits(failed as f64)));
    }
    for process in &snapshot.processes {
        line.push_str(&format!(
            "  {} {} {}",
            process.name,
            Unit::Share.of(process.load),
            Unit::Bytes.of(process.memory as f64)
        ));
    }
    let broken: Vec<&str> = snapshot
        .verdicts
        .iter()
        .filter(|verdict| !verdict.held)
        .map(|verdict| verdict.threshold.as_str())
        .collect();
    if !broken.is_empty() {
        line.push_str(&format!("  broken: {}", broken.join(", ")));
    }
    // Reasons and names may come from a server: no line of ours steers a terminal.
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::snapshot::tests::sample;
    use super::*;

    #[test]
    fn a_line_says_what_matters() {
        let expected = "    30 s  hold         480 of 500 up  message 1,000/s p50 400 µs p99 3 ms  failed 3  server 61 % 48 MB  broken: duplicates == 0";
        assert_eq!(line(&sample()), expected);
        let mut hostile = sample();
        hostile.processes[0].name = "\u{1b}[2J\n".into();
        assert!(!line(&hostile).contains(char::is_control));
        assert_eq!(line(&Snapshot::default()), "     0 s               0 of 0 up");
    }

    #[test]
    fn history_is_bounded() {
        let mut view = View::open(Style::Quiet).expect("open");
        for second in 0..2 * REMEMBERED {
            view.show(&Snapshot {
                at: second as f64,
                ..sample()
            })
            .expect("shown");
        }
        assert_eq!(view.history["message"].len(), REMEMBERED);
        assert!(!view.is_asked_to_stop());
    }
}
