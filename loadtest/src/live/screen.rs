//! The full screen: how far the run is, what users do, what it costs, what went wrong, and how the thresholds stand.

use std::collections::{BTreeMap, VecDeque};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span as Words};
use ratatui::widgets::{Block, Cell, Gauge, Paragraph, Row, Sparkline, Table};

use super::snapshot::{Activity, Snapshot};
use crate::quantity::{Unit, digits};

/// Draws a moment.
pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, history: &BTreeMap<String, VecDeque<f64>>) {
    let lines = |count: usize, most: u16| u16::try_from(count).unwrap_or(u16::MAX).min(most);
    let longest = [
        snapshot.processes.len(),
        snapshot.failures.len(),
        snapshot.verdicts.len(),
    ]
    .into_iter()
    .max()
    .unwrap_or(0);
    let rows = [
        Constraint::Length(3),
        Constraint::Length(lines(snapshot.activities.len(), 8) + 3),
        Constraint::Fill(1),
        Constraint::Length(lines(longest, 10) + 2),
        Constraint::Length(1),
    ];
    let [top, middle, rates, bottom, foot] = Layout::vertical(rows).areas(frame.area());
    progress(frame, top, snapshot);
    operations(frame, middle, snapshot);
    sparklines(frame, rates, snapshot, history);
    let thirds = [Constraint::Fill(1), Constraint::Fill(1), Constraint::Fill(1)];
    let [left, centre, right] = Layout::horizontal(thirds).areas(bottom);
    processes(frame, left, snapshot);
    failures(frame, centre, snapshot);
    thresholds(frame, right, snapshot);
    let warning = snapshot
        .warnings
        .last()
        .map_or("q ends the run early and still writes the report", String::as_str);
    frame.render_widget(Paragraph::new(warning).style(quiet()), foot);
}

fn progress(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let end = snapshot.phases.last().map_or(0.0, |span| span.ended);
    let part = if end > 0.0 {
        (snapshot.at / end).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let phases: Vec<&str> = snapshot.phases.iter().map(|span| span.name.as_str()).collect();
    let title = format!(" {}: {} ", snapshot.scenario, phases.join(" → "));
    let label = format!(
        "{}  {} of {}  {} of {} sessions up",
        snapshot.phase(),
        Unit::Time.of(snapshot.at.round()),
        Unit::Time.of(end),
        snapshot.up,
        snapshot.wanted
    );
    let gauge = Gauge::default()
        .block(Block::bordered().title(title))
        .gauge_style(Style::new().fg(Color::Blue))
        .ratio(part)
        .label(label);
    frame.render_widget(gauge, area);
}

fn operations(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let rows = snapshot.activities.iter().map(row);
    let heads = Row::new(["operation", "now", "done", "failed", "p50", "p99"]).style(quiet());
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ];
    frame.render_widget(
        Table::new(rows, widths)
            .header(heads)
            .block(Block::bordered().title(ledger(snapshot))),
        area,
    );
}

fn row(activity: &Activity) -> Row<'_> {
    let time = |time: Option<std::time::Duration>| {
        time.map_or("–".to_owned(), |time| Unit::Time.of(time.as_secs_f64()).to_string())
    };
    let failed = Cell::new(digits(activity.failed as f64)).style(light(activity.failed == 0));
    let rate = Unit::Rate.of(activity.rate).to_string();
    Row::new([
        Cell::new(activity.name.as_str()),
        Cell::new(rate),
        Cell::new(digits(activity.done as f64)),
        failed,
        Cell::new(time(activity.p50)),
        Cell::new(time(activity.p99)),
    ])
}

fn ledger(snapshot: &Snapshot) -> Line<'static> {
    let ledger = &snapshot.ledger;
    if ledger.sent == 0 {
        return Line::from(" Operations ");
    }
    let count = |name: &str, count: u64| format!(" {name} {} ", digits(count as f64));
    let bad = |name: &str, number: u64| Words::styled(count(name, number), light(number == 0));
    Line::from(vec![
        Words::raw(count("sent", ledger.sent)),
        Words::raw(count("received", ledger.received)),
        bad("lost", ledger.lost),
        bad("twice", ledger.duplicated),
        bad("overtaken", ledger.reordered),
    ])
}

/// The rates of the two first operations over the last minutes.
fn sparklines(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, history: &BTreeMap<String, VecDeque<f64>>) {
    let areas: [Rect; 2] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    for (activity, area) in snapshot.activities.iter().zip(areas) {
        let rates = history.get(&activity.name).into_iter().flatten();
        let fits = usize::from(area.width.saturating_sub(2));
        let values: Vec<u64> = rates.rev().take(fits).map(|rate| rate.round() as u64).collect();
        let values: Vec<u64> = values.into_iter().rev().collect();
        let most = values.iter().max().copied().unwrap_or(0);
        let title = format!(" {} a second, at most {} ", activity.name, digits(most as f64));
        let chart = Sparkline::default()
            .block(Block::bordered().title(title))
            .data(values)
            .style(Style::new().fg(Color::Blue));
        frame.render_widget(chart, area);
    }
}

fn processes(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let line = |process: &crate::accounting::Glance| {
        Line::from(format!(
            "{:<12} {:>7} {:>9}",
            process.name,
            Unit::Share.of(process.load).to_string(),
            Unit::Bytes.of(process.memory as f64).to_string()
        ))
    };
    list(
        frame,
        area,
        " CPU of one core, memory ",
        snapshot.processes.iter().map(line).collect(),
    );
}

fn failures(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let mut reasons: Vec<(&String, &u64)> = snapshot.failures.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let line = |(reason, count): (&String, &u64)| Line::from(format!("{:>8} {reason}", digits(*count as f64)));
    list(
        frame,
        area,
        " Failures by reason ",
        reasons.into_iter().map(line).collect(),
    );
}

fn thresholds(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let line = |verdict: &crate::results::Verdict| {
        let light = Words::styled("● ", light(verdict.held));
        Line::from(vec![
            light,
            Words::raw(format!("{}  ", verdict.threshold)),
            Words::styled(verdict.measured.clone(), quiet()),
        ])
    };
    list(
        frame,
        area,
        " Thresholds ",
        snapshot.verdicts.iter().map(line).collect(),
    );
}

fn list(frame: &mut Frame<'_>, area: Rect, title: &'static str, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

fn light(is_good: bool) -> Style {
    if is_good {
        Style::new().fg(Color::Green)
    } else {
        Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
    }
}

fn quiet() -> Style {
    Style::new().fg(Color::DarkGray)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::snapshot::tests::sample;
    use super::*;

    fn drawn(width: u16, height: u16, snapshot: &Snapshot) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let history = BTreeMap::from([("message".to_owned(), VecDeque::from([0.0, 500.0, 1000.0]))]);
        terminal.draw(|frame| draw(frame, snapshot, &history)).expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_shows_the_run() {
        let text = drawn(110, 24, &sample());
        for part in [
            "chat: ramp → hold",
            "hold  30 s of 80 s  480 of 500 sessions up",
            "message                       1,000/s",
            "sent 10,010",
            "twice 1",
            "message a second, at most 1,000",
            "server          61 %     48 MB",
            "3 time-out",
            "● duplicates == 0",
            "the generator is busy",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn any_size_and_any_moment_can_be_drawn() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
            drawn(width, height, &sample());
            drawn(width, height, &Snapshot::default());
        }
    }
}
