//! The command line as people and scripts use it: what it says, and its exit codes.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::net::TcpListener;
use std::process::{Command, Output};

use dunlin_loadtest::report;
use dunlin_loadtest::results::{Ledger, Results};

fn run(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_dunlin-loadtest");
    Command::new(binary).args(arguments).output().unwrap()
}

/// Exit code, and what must be said on either output.
fn check(arguments: &[&str], code: i32, said: &str) {
    let output = run(arguments);
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    assert!(text.contains(said), "{arguments:?}: {text}");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
}

/// A port on which nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[test]
fn the_library_is_listed_and_each_of_it_is_valid() {
    let listed = String::from_utf8(run(&["ls"]).stdout).unwrap();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(
        names.contains(&"chat") && names.contains(&"reconnect-storm"),
        "{listed}"
    );
    for name in names {
        check(&["validate", name], 0, &format!("{name}: "));
    }
}

#[test]
fn a_dry_run_says_what_would_happen_with_what_is_changed() {
    let changes = [
        "--users",
        "40",
        "--rate",
        "20/s",
        "--for",
        "30s",
        "--set",
        "phase.hold.pace=2.0",
    ];
    let arguments = [&["run", "chat", "--dry-run"], &changes[..]].concat();
    check(&arguments, 0, "hold             30 s  online 40 -> 40, 40 messages/s");
}

#[test]
fn what_is_wrong_with_the_command_line_or_the_scenario_is_1() {
    check(&["run"], 1, "required arguments were not provided");
    check(&["run", "chit-chat"], 1, "neither a file nor a scenario of the library");
    check(&["validate", "chat", "--set", "users"], 1, "`users` is not KEY=VALUE");
    check(
        &["validate", "chat", "--rate", "fast"],
        1,
        "`fast` is not a rate such as `200/s`",
    );
    check(&["validate", "chat", "--set", "lasts=1"], 1, "unknown field `lasts`");
    check(
        &["validate", "chat", "--set", "thresholds=['speed(x) < 1']"],
        1,
        "threshold `speed(x) < 1`",
    );
    check(&["run", "chat", "--target", "192.0.2.1:5222"], 1, "--i-own-this-target");
}

#[test]
fn coordinator_and_worker_on_several_machines_need_token_and_tls() {
    let open = "is not only this machine";
    let coordinator = ["coordinator", "chat", "--no-preflight", "--listen", "0.0.0.0:0"];
    check(&coordinator, 1, open);
    check(&["worker", "--join", "192.0.2.1:7222"], 1, open);
    let short = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&short, "secret").unwrap();
    let with_token = [&coordinator[..], &["--token-file", short.path().to_str().unwrap()]].concat();
    check(&with_token, 1, "a token is one line of at least 16");
    let with_certificate = [&coordinator[..], &["--tls-certificate", "cert.pem"]].concat();
    check(&with_certificate, 1, "--tls-key <FILE>");
}

#[test]
fn runs_are_compared_in_a_table_for_a_terminal_or_in_markdown() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger {
        sent: 2,
        received: 2,
        ..Ledger::default()
    };
    let results = Results {
        ledger,
        ..Results::default()
    };
    let sides: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| {
            let run = folder.path().join(name);
            report::write(&results, &run).unwrap();
            run.to_str().unwrap().to_owned()
        })
        .collect();
    let compared = |more: &[&str]| {
        let arguments = [&["compare", &sides[0], &sides[1]], more].concat();
        let output = run(&arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (table, markdown) = (compared(&[]), compared(&["--markdown"]));
    assert!(
        table.lines().any(|line| line.starts_with("loss  ")) && !table.contains('|'),
        "{table}"
    );
    assert!(markdown.lines().any(|line| line.starts_with("| loss | ")), "{markdown}");
}

#[test]
fn a_server_that_is_not_there_is_2() {
    check(&["run", "chat", "--target", &nobody()], 2, "is it running");
}
