//! What the documents show can be typed: scenarios in the README and for the bench, with their thresholds, and every measure that is named.

use std::path::Path;

use dunlin_loadtest::measure::Measure;
use dunlin_loadtest::scenario::Scenario;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check(name: &str, text: &str) {
    Scenario::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn scenarios_are_scenarios() {
    let readme = read("README.md");
    let shown = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    check("README.md", shown.expect("a scenario"));
    for name in ["bench/chat.toml", "bench/presence.toml"] {
        check(name, &read(name));
    }
}

#[test]
fn measures_are_measures() {
    let readme = read("README.md");
    let table = readme
        .split("| Measure | Is |")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next())
        .expect("a table");
    let first_cells = table.lines().filter_map(|line| line.split('|').nth(1));
    let measures: Vec<&str> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(measures.len() > 15, "{measures:?}");
    for measure in measures {
        assert!(measure.parse::<Measure>().is_ok(), "{measure}");
    }
}
