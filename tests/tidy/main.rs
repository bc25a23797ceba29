//! The rules of the house as tests: layering, circles, sizes, words, purity and the registry. Each rule is a function from
//! sources to complaints, so that its own unit tests can show it bad samples.

mod budget;
mod circles;
mod layers;
mod proofs;
mod purity;
mod registry;
mod source;
mod words;

use source::Workspace;

/// Fails with all complaints of one rule, one a line.
fn check(rule: &str, complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{rule}: {} complaints\n  {}",
        complaints.len(),
        complaints.join("\n  ")
    );
}

#[test]
fn crates_see_only_what_lies_below_them() {
    check("layers", layers::complaints(&layers::read()));
}

#[test]
fn dependencies_take_their_versions_from_the_workspace() {
    check(
        "versions",
        Workspace::read()
            .manifests
            .iter()
            .flat_map(layers::own_versions)
            .collect(),
    );
}

#[test]
fn files_of_a_crate_use_each_other_without_circles() {
    let workspace = Workspace::read();
    check(
        "circles",
        source::crates(&workspace.files)
            .iter()
            .flat_map(|(name, files)| circles::complaints(name, files))
            .collect(),
    );
}

#[test]
fn files_and_functions_keep_their_budgets() {
    check(
        "budget",
        Workspace::read().files.iter().flat_map(budget::complaints).collect(),
    );
}

#[test]
fn files_open_with_what_they_are_and_leave_nothing_undone() {
    check(
        "words",
        Workspace::read().files.iter().flat_map(words::complaints).collect(),
    );
}

#[test]
fn pure_crates_take_time_and_chance_as_arguments() {
    let workspace = Workspace::read();
    let mut complaints: Vec<String> = workspace.files.iter().flat_map(purity::complaints).collect();
    complaints.extend(purity::lints(&workspace.root));
    check("purity", complaints);
}

#[test]
fn every_module_stands_in_the_registry() {
    check("registry", registry::complaints(&Workspace::read()));
}

#[test]
fn what_is_claimed_is_proved() {
    check("proofs", proofs::complaints(&Workspace::read().root));
}
