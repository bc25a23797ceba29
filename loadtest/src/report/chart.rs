//! Line charts as SVG: figures over time with the phases behind them and the faults across them, and latency distributions.

use std::fmt;

use crate::quantity::digits;
use crate::report::escape::Xml;
use crate::results::{Mark, Span};

/// A line chart. Shows itself as an `svg` element whose colours are CSS variables of the page around it.
pub(super) struct Chart<'a> {
    /// What the chart shows, for those who cannot see it.
    pub(super) title: String,
    pub(super) lines: Vec<Line<'a>>,
    pub(super) horizontal: Horizontal<'a>,
    pub(super) vertical: Vertical,
}

/// One line and its name; its points ascend from left to right.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// What runs from left to right.
#[derive(Clone, Copy)]
pub(super) enum Horizontal<'a> {
    /// Seconds since the run began, until this one.
    Time {
        end: f64,
        phases: &'a [Span],
        marks: &'a [Mark],
    },
    /// Nines: 1 stands for 90 %, 2 for 99 %, as far as this.
    Nines(f64),
}

/// How values stand on the vertical axis.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Vertical {
    /// Evenly, from zero.
    Linear,
    /// By powers of ten: for latencies, whose tails are what matters.
    Log,
}

/// From values to the drawing, in its units.
struct Scale {
    right: f64,
    low: f64,
    high: f64,
    vertical: Vertical,
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 22.0;

/// Most slots of time that are told apart, and as many places where a pointer finds values.
const SLOTS: usize = 120;

/// Colours that are told apart; see the style sheet.
pub(super) const COLOURS: usize = 8;

/// Rough width of a letter of the smallest text.
const LETTER: f64 = 6.0;

impl fmt::Display for Chart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = self.scale();
        writeln!(
            f,
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            Xml(&self.title)
        )?;
        if let Horizontal::Time { phases, .. } = self.horizontal {
            bands(f, &scale, phases)?;
        }
        self.vertical_axis(f, &scale)?;
        self.horizontal_axis(f, &scale)?;
        for (index, line) in self.lines.iter().enumerate() {
            for piece in pieces(&line.points, self.horizontal) {
                polyline(f, &scale, index, &thinned(piece, scale.right))?;
            }
        }
        if let Horizontal::Time { marks, .. } = self.horizontal {
            strokes(f, &scale, marks)?;
        }
        self.values_under_the_pointer(f, &scale)?;
        f.write_str("</svg>\n")
    }
}

impl Chart<'_> {
    fn scale(&self) -> Scale {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().map(|point| point.1))
        };
        let most = values().fold(0.0, f64::max);
        let least = values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        let right = match self.horizontal {
            Horizontal::Time { end, .. } => end,
            Horizontal::Nines(end) => end,
        };
        let (low, high) = match self.vertical {
            Vertical::Linear if most > 0.0 => (0.0, most * 1.05),
            Vertical::Linear => (0.0, 1.0),
            Vertical::Log if least.is_finite() => (
                10f64.powf(least.log10().floor()),
                10f64.powf((most * 1.01).log10().ceil()),
            ),
            Vertical::Log => (0.1, 1.0),
        };
        Scale {
            right: right.max(1e-9),
            low,
            high,
            vertical: self.vertical,
        }
    }

    fn vertical_axis(&self, f: &mut fmt::Formatter<'_>, scale: &Scale) -> fmt::Result {
        for value in scale.ticks() {
            let y = scale.y(value);
            writeln!(
                f,
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
                WIDTH - RIGHT
            )?;
            writeln!(
                f,
                r#"<text class="tick end" x="{:.1}" y="{:.1}">{}</text>"#,
                LEFT - 5.0,
                y + 4.0,
                short(value)
            )?;
        }
        Ok(())
    }

    fn horizontal_axis(&self, f: &mut fmt::Formatter<'_>, scale: &Scale) -> fmt::Result {
        let ticks: Vec<(f64, String)> = match self.horizontal {
            Horizontal::Time { end, .. } => {
                let (unit, name) = if end > 600.0 { (60.0, "min") } else { (1.0, "s") };
                let step = nice(end / unit / 6.0) * unit;
                (0..)
                    .map(|index| f64::from(index) * step)
                    .take_while(|time| *time <= end)
                    .map(|time| (time, format!("{} {name}", digits(time / unit))))
                    .collect()
            }
            Horizontal::Nines(end) => (0..)
                .map(f64::from)
                .take_while(|nines| *nines <= end)
                .map(|nines| (nines, percent(nines)))
                .collect(),
        };
        let y = HEIGHT - BOTTOM;
        writeln!(
            f,
            r#"<line class="axis" x1="{LEFT}" x2="{:.1}" y1="{y}" y2="{y}"/>"#,
            WIDTH - RIGHT
        )?;
        for (value, name) in ticks {
            let x = scale.x(value);
            let anchor = if x > WIDTH - 4.0 * LETTER { "end" } else { "middle" };
            writeln!(
                f,
                r#"<text class="tick {anchor}" x="{x:.1}" y="{:.1}">{name}</text>"#,
                y + 15.0
            )?;
        }
        Ok(())
    }

    /// Invisible columns whose tips name the values there; a browser shows them without any script.
    fn values_under_the_pointer(&self, f: &mut fmt::Formatter<'_>, scale: &Scale) -> fmt::Result {
        let width = (WIDTH - LEFT - RIGHT) / SLOTS as f64;
        for slot in 0..SLOTS {
            let (from, until) = (
                slot as f64 / SLOTS as f64 * scale.right,
                (slot + 1) as f64 / SLOTS as f64 * scale.right,
            );
            let last = |line: &Line<'_>| {
                line.points
                    .iter()
                    .rfind(|point| point.0 >= from && (point.0 < until || slot + 1 == SLOTS))
                    .copied()
            };
            let found: Vec<(&str, (f64, f64))> = self
                .lines
                .iter()
                .filter_map(|line| Some((line.name, last(line)?)))
                .collect();
            let Some((_, (at, _))) = found.first() else { continue };
            let x = LEFT + width * slot as f64;
            let place = match self.horizontal {
                Horizontal::Time { .. } => format!("{} s", digits(*at)),
                Horizontal::Nines(_) => percent(*at),
            };
            write!(
                f,
                r#"<rect class="tip" x="{x:.1}" y="{TOP}" width="{width:.1}" height="{:.1}"><title>{place}"#,
                HEIGHT - TOP - BOTTOM
            )?;
            for (name, (_, value)) in found {
                write!(f, "\n{}: {}", Xml(name), digits(value))?;
            }
            f.write_str("</title></rect>\n")?;
        }
        Ok(())
    }
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (value / self.right).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let part = match self.vertical {
            Vertical::Linear => (value - self.low) / (self.high - self.low),
            Vertical::Log => (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10()),
        };
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.vertical {
            Vertical::Linear => {
                let step = nice(self.high / 5.0);
                (0..)
                    .map(|index| f64::from(index) * step)
                    .take_while(|value| *value <= self.high)
                    .collect()
            }
            Vertical::Log => {
                let powers = self.low.log10().round() as i32..=self.high.log10().round() as i32;
                powers.map(|power| 10f64.powi(power)).collect()
            }
        }
    }
}

fn bands(f: &mut fmt::Formatter<'_>, scale: &Scale, phases: &[Span]) -> fmt::Result {
    for (index, phase) in phases.iter().enumerate() {
        let (x, width) = (scale.x(phase.began), scale.x(phase.ended) - scale.x(phase.began));
        let shade = if index % 2 == 0 { "even" } else { "odd" };
        writeln!(
            f,
            r#"<rect class="band {shade}" x="{x:.1}" y="{TOP}" width="{width:.1}" height="{:.1}"/>"#,
            HEIGHT - TOP - BOTTOM
        )?;
        let room = (width / LETTER) as usize;
        if phase.name.chars().count() <= room {
            writeln!(
                f,
                r#"<text class="tick" x="{:.1}" y="{:.1}">{}</text>"#,
                x + 2.0,
                TOP - 7.0,
                Xml(&phase.name)
            )?;
        }
    }
    Ok(())
}

fn strokes(f: &mut fmt::Formatter<'_>, scale: &Scale, marks: &[Mark]) -> fmt::Result {
    for (index, mark) in marks.iter().enumerate() {
        let x = scale.x(mark.at);
        writeln!(
            f,
            r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{:.1}"/>"#,
            TOP - 4.0,
            HEIGHT - BOTTOM
        )?;
        writeln!(
            f,
            r#"<text class="mark" x="{:.1}" y="{:.1}">{}<title>{}</title></text>"#,
            x + 3.0,
            TOP + 8.0,
            letter(index),
            Xml(&mark.text)
        )?;
    }
    Ok(())
}

fn polyline(f: &mut fmt::Formatter<'_>, scale: &Scale, index: usize, points: &[(f64, f64)]) -> fmt::Result {
    let dashes = if index < COLOURS { "" } else { " dashed" };
    write!(f, r#"<polyline class="line c{}{dashes}" points=""#, index % COLOURS)?;
    // A single point becomes a dot: a line of no length with round ends.
    let once_more = points.first().filter(|_| points.len() == 1);
    for (x, y) in points.iter().chain(once_more) {
        write!(f, "{:.1},{:.1} ", scale.x(*x), scale.y(*y))?;
    }
    f.write_str("\"/>\n")
}

/// A line over time is broken where nothing was read for a while: nobody knows what was in between.
fn pieces<'a>(points: &'a [(f64, f64)], horizontal: Horizontal<'_>) -> impl Iterator<Item = &'a [(f64, f64)]> {
    let is_time = matches!(horizontal, Horizontal::Time { .. });
    points.chunk_by(move |one, two| !is_time || two.0 - one.0 < GAP)
}

/// Seconds; series have a point every second or so.
const GAP: f64 = 5.0;

/// The lowest and the highest point of each slot: nothing that stuck out is lost, and a long run makes no larger a file than a short one.
fn thinned(points: &[(f64, f64)], right: f64) -> Vec<(f64, f64)> {
    if points.len() <= 2 * SLOTS {
        return points.to_vec();
    }
    let slot = |point: &(f64, f64)| (point.0 / right * SLOTS as f64) as usize;
    let extremes = |chunk: &[(f64, f64)]| {
        let by_value = |one: &&(f64, f64), two: &&(f64, f64)| one.1.total_cmp(&two.1);
        let mut ends: Vec<(f64, f64)> = [chunk.iter().min_by(by_value), chunk.iter().max_by(by_value)]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        ends.sort_by(|one, two| one.0.total_cmp(&two.0));
        ends.dedup();
        ends
    };
    points
        .chunk_by(|one, two| slot(one) == slot(two))
        .flat_map(extremes)
        .collect()
}

/// The name of a mark: `A`, `B`, …, `Z`, `27`, ….
pub(super) fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(index) if index < 26 => char::from(b'A' + index).to_string(),
        _ => (index + 1).to_string(),
    }
}

/// 1 stands for 90 %, 2 for 99 %, 3 for 99.9 %.
fn percent(nines: f64) -> String {
    let decimals = (nines - 2.0).max(0.0).ceil() as usize;
    format!("{:.decimals$} %", 100.0 - 100.0 * 10f64.powf(-nines))
}

/// The next of 1, 2, 5, 10, 20, 50, … at or above a value.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value * 0.999)
        .unwrap_or(10.0 * power)
}

/// A tick's label: `20k` for twenty thousand.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{}M", digits(value / 1e6)),
        size if size >= 1e4 => format!("{}k", digits(value / 1e3)),
        _ => digits(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_ticks_and_names() {
        assert_eq!([0.7, 1.0, 1.1, 3.0, 60.0].map(nice), [1.0, 1.0, 2.0, 5.0, 100.0]);
        assert_eq!([0.0, 500.0, 20_000.0, 3e6].map(short), ["0", "500", "20k", "3M"]);
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 4.0].map(percent),
            ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
        assert_eq!([0, 25, 26].map(letter), ["A", "Z", "27"]);
    }

    #[test]
    fn a_long_line_keeps_its_peaks() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|second| (f64::from(second), 1.0)).collect();
        points[5_003].1 = 99.0;
        points[7_007].1 = 0.0;
        let thin = thinned(&points, 10_000.0);
        assert!(thin.len() <= 2 * SLOTS + 2, "{}", thin.len());
        assert!(thin.contains(&(5_003.0, 99.0)) && thin.contains(&(7_007.0, 0.0)));
        assert!(thin.is_sorted_by(|one, two| one.0 <= two.0));
    }

    #[test]
    fn a_line_over_time_is_broken_where_nothing_was_read() {
        let points = [(0.0, 1.0), (1.0, 1.0), (9.0, 1.0), (30.0, 1.0), (31.0, 1.0)];
        let time = Horizontal::Time {
            end: 31.0,
            phases: &[],
            marks: &[],
        };
        let lengths = |horizontal| pieces(&points, horizontal).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(time), [2, 1, 2]);
        assert_eq!(lengths(Horizontal::Nines(4.0)), [5]);
    }

    #[test]
    fn a_chart_without_points_is_still_a_chart() {
        for vertical in [Vertical::Linear, Vertical::Log] {
            let horizontal = Horizontal::Time {
                end: 0.0,
                phases: &[],
                marks: &[],
            };
            let chart = Chart {
                title: "<none>".into(),
                lines: vec![Line {
                    name: "a",
                    points: Vec::new(),
                }],
                horizontal,
                vertical,
            };
            let text = chart.to_string();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            assert!(roxmltree::Document::parse(&text).is_ok(), "{text}");
        }
    }
}
