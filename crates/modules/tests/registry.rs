//! The table of modules: names, files, specifications and settings agree.

use std::collections::BTreeSet;
use std::path::Path;

use engine::{Hooks, Pipeline};
use serde_json::{Value, json};

#[test]
fn names_are_unique_and_are_the_files() {
    let names: BTreeSet<_> = dunlin_modules::ALL
        .iter()
        .map(|row| row.about.name.to_owned())
        .collect();
    assert_eq!(names.len(), dunlin_modules::ALL.len(), "names are unique");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let stems: BTreeSet<_> = files
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        stems.into_iter().filter(|stem| stem != "lib").collect::<BTreeSet<_>>(),
        names
    );
}

#[test]
fn specifications_are_named_in_order() {
    for row in dunlin_modules::ALL {
        let about = row.about;
        assert!(
            !about.rfcs.is_empty() || !about.xeps.is_empty(),
            "{}: implements nothing",
            about.name
        );
        assert!(
            about.xeps.is_sorted_by(|(a, _), (b, _)| a < b),
            "{}: XEPs not ascending",
            about.name
        );
        let is_version = |version: &str| version.split('.').all(|part| part.parse::<u32>().is_ok());
        assert!(
            about.xeps.iter().all(|(_, version)| is_version(version)),
            "{}: odd version",
            about.name
        );
    }
}

#[test]
fn summaries_are_one_sentence() {
    for row in dunlin_modules::ALL {
        let summary = row.about.summary;
        assert!(summary.starts_with(char::is_uppercase), "{summary}");
        assert!(
            summary.ends_with('.') && summary.matches(". ").count() == 0,
            "{summary}"
        );
    }
}

#[test]
fn defaults_parse_and_unknown_keys_do_not() {
    for row in dunlin_modules::ALL {
        let name = row.about.name;
        let defaults = row.defaults();
        row.install(&defaults, &mut Hooks::default())
            .unwrap_or_else(|error| panic!("{error}"));
        let odd = json!({ "no-such-key": 1 });
        assert!(
            row.install(&odd, &mut Hooks::default()).is_err(),
            "{name} takes an unknown key"
        );
        if let Value::Object(defaults) = defaults {
            check_documented(name, &defaults, row.schema().as_value());
        }
    }
}

/// Every setting has a doc comment, from which the reference is made.
fn check_documented(module: &str, defaults: &serde_json::Map<String, Value>, schema: &Value) {
    for key in defaults.keys() {
        assert!(
            schema["properties"][key]["description"].is_string(),
            "{module}.{key} has no description"
        );
    }
}

#[test]
fn a_host_says_what_stays_of_archives() {
    let rows = || dunlin_modules::ALL.iter().filter(|row| row.about.name == "archive");
    let retention = |settings: &Value| Pipeline::new(rows().map(|row| (row, settings))).map(|made| made.retention());
    let days = |days: u64| Some(std::time::Duration::from_secs(86_400 * days));
    for (settings, max_age, max_messages) in [
        (json!({ "max_age": "365d" }), days(365), None),
        (json!({ "max_messages": 10_000 }), None, Some(10_000)),
        (json!({ "max_age": "7d", "max_messages": 0 }), days(7), Some(0)),
    ] {
        let made = engine::Retention { max_age, max_messages };
        assert_eq!(retention(&settings), Ok(Some(made)), "{settings}");
    }
    assert_eq!(retention(&json!({})), Ok(None));
    assert!(retention(&json!({ "max_age": 365 })).is_err());
    assert!(retention(&json!({ "max_messages": -1 })).is_err());
}

#[test]
fn all_fit_together() {
    let rows = || dunlin_modules::ALL.iter().map(|row| (row, &Value::Null));
    let pipeline = Pipeline::new(rows()).unwrap();
    let hooked: BTreeSet<_> = pipeline.table().into_iter().map(|row| row.module).collect();
    assert!(hooked.contains("roster") && hooked.contains("presence") && hooked.contains("offline"));
    assert_eq!(pipeline.keep_limit(), Some(1_000));
    // Each can be left out.
    for absent in dunlin_modules::ALL {
        let rows = rows().filter(|(row, _)| row.about.name != absent.about.name);
        Pipeline::new(rows).unwrap_or_else(|error| panic!("without {}: {error}", absent.about.name));
    }
}
