//! The page for people: one file, without scripts, fonts or anything else from elsewhere; light or dark as the reader likes it.

use std::fmt;

use crate::measure::{Measure, process_names};
use crate::quantity::{Quantity, Unit};
use crate::report::escape::Xml;
use crate::report::sections;
use crate::results::{GENERATOR, Results};

/// The whole page. It is well-formed XML too, so that tests and tools can read it.
pub(super) struct Page<'a>(pub(super) &'a Results);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(results) = self;
        let name = Xml(&results.about.scenario);
        writeln!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>"
        )?;
        writeln!(
            f,
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>Load test: {name}</title>"
        )?;
        writeln!(f, "<style>\n{STYLE}</style>\n</head>\n<body>\n<main>")?;
        head(f, results)?;
        warnings(f, results)?;
        tiles(f, results)?;
        for section in sections::ALL {
            section(f, results)?;
        }
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

const STYLE: &str = include_str!("style.css");

fn head(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let about = &results.about;
    let (class, verdict) = match (results.verdicts.is_empty(), results.passed()) {
        (true, _) => ("neutral", "no thresholds"),
        (_, true) => ("good", "passed"),
        (_, false) => ("bad", "failed"),
    };
    writeln!(
        f,
        r#"<header><h1>{} <span class="badge {class}">{verdict}</span></h1>"#,
        Xml(&about.scenario)
    )?;
    writeln!(f, "<p>{}</p>", Xml(&about.purpose))?;
    let length = Unit::Time.of(about.seconds);
    let targets = about.targets.join(", ");
    writeln!(
        f,
        r#"<p class="quiet">{} · {length} · against {} · load tester {}</p></header>"#,
        began(results),
        Xml(&targets),
        Xml(&about.version)
    )
}

/// When the run began, in UTC.
pub(super) fn began(results: &Results) -> String {
    let milliseconds = i64::try_from(results.about.began_unix_ms).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn warnings(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    results
        .warnings
        .iter()
        .try_for_each(|warning| writeln!(f, r#"<p class="warning">{}</p>"#, Xml(warning)))
}

/// The figures that most people come for.
fn tiles(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    f.write_str("<div class=\"tiles\">\n")?;
    for (expression, label) in tiles_of(results) {
        let Some(quantity) = measured(results, &expression) else {
            continue;
        };
        let class = if BAD_ABOVE_ZERO.contains(&expression.as_str()) && quantity.value > 0.0 {
            "tile bad"
        } else {
            "tile"
        };
        writeln!(
            f,
            r#"<div class="{class}" title="{}"><b>{quantity}</b><span>{}</span></div>"#,
            Xml(&expression),
            Xml(&label)
        )?;
    }
    f.write_str("</div>\n")
}

const BAD_ABOVE_ZERO: [&str; 3] = ["loss", "duplicates", "reordered"];

/// Measures and what to call them: the ledger, the busiest operation, what it costs.
fn tiles_of(results: &Results) -> Vec<(String, String)> {
    let mut tiles: Vec<(String, String)> = vec![("sessions".into(), "sessions, at most".into())];
    let busiest = results
        .operation_names()
        .into_iter()
        .max_by_key(|name| results.operation(name, None).done);
    if let Some(name) = busiest {
        let of = |measure: &str, label: &str| (format!("{measure}({name})"), format!("{name}{label}"));
        tiles.extend([
            of("rate", " rate"),
            of("p50", ", half within"),
            of("p99", ", 99 % within"),
            of("failed", " failed"),
        ]);
    }
    if results.ledger.sent > 0 {
        tiles.extend(
            [
                ("loss", "messages lost"),
                ("duplicates", "messages twice"),
                ("reordered", "messages overtaken"),
            ]
            .map(|(a, b)| (a.into(), b.into())),
        );
    }
    let processes = process_names(results).into_iter().filter(|name| *name != GENERATOR);
    for (index, process) in processes.enumerate() {
        tiles.extend(busiest.map(|name| (format!("cpu({process}, {name})"), format!("CPU of {process} a {name}"))));
        tiles.push((format!("memory({process})"), format!("memory of {process}, at most")));
        // The first that is named is what people are here for.
        let of_session = (
            format!("memory-per-session({process})"),
            format!("memory of {process} a session"),
        );
        tiles.extend((index == 0).then_some(of_session));
    }
    tiles
}

fn measured(results: &Results, expression: &str) -> Option<Quantity> {
    expression.parse::<Measure>().ok()?.of(results).ok()
}
