//! `dunlin invite` beside a database: what is printed, listed and refused. What invitations are good for is in the scripts.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[path = "scripts.rs"]
#[allow(dead_code, reason = "only the binary is wanted")]
mod scripts;

const HOSTS: &str = "\
[[hosts]]
domain = 'open.example'
registration.mode = 'open'
registration.landing_url = 'https://open.example/invite/#{token}'
[[hosts]]
domain = 'invite.example'
registration.mode = 'invite'
[[hosts]]
domain = 'closed.example'
";

/// A folder with a configuration and a database.
struct Place {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Place {
    fn new(hosts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("dunlin.toml");
        let text = format!(
            "data = '{}'\npasswords.iterations = 4096\n{hosts}",
            folder.path().display()
        );
        std::fs::write(&config, text).unwrap();
        Self { folder, config }
    }

    /// What a command prints, or what it complains of.
    fn run(&self, args: &[&str]) -> Result<Vec<String>, String> {
        let mut child = Command::new(scripts::binary())
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"orchard wall\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let lines = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        match output.status.success() {
            true => Ok(lines(&output.stdout)),
            false => Err(lines(&output.stderr).concat()),
        }
    }

    fn create(&self, args: &[&str]) -> Result<Vec<String>, String> {
        self.run(&[&["invite", "create"], args].concat())
    }
}

/// The link with its token left out.
fn shape(line: &str) -> (String, String) {
    let (before, rest) = line.split_once("preauth=").unwrap();
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    (rest[..end].to_owned(), format!("{before}preauth={}", &rest[end..]))
}

#[test]
fn invitations_are_made_listed_and_taken_back() {
    let place = Place::new(HOSTS);
    place.run(&["user", "add", "romeo@invite.example"]).unwrap();
    let printed = place.create(&["--host", "open.example"]).unwrap();
    let (token, link) = shape(&printed[0]);
    assert_eq!(
        (token.len(), link.as_str()),
        (24, "xmpp:open.example?register;preauth=")
    );
    assert_eq!(printed[1..], [format!("https://open.example/invite/#{token}")]);
    let invite = ["--host", "invite.example"];
    for (args, expected) in [
        (
            &["--user", "Juliet"][..],
            "xmpp:juliet@invite.example?register;preauth=",
        ),
        (
            &["--contact", "romeo@invite.example", "--uses", "5", "--expires", "never"],
            "xmpp:romeo@invite.example?roster;preauth=;ibr=y",
        ),
    ] {
        let printed = place.create(&[&invite, args].concat()).unwrap();
        assert_eq!((printed.len(), shape(&printed[0]).1.as_str()), (1, expected));
    }
    let listed = place.run(&["invite", "list", "--host", "invite.example"]).unwrap();
    let mut fields: Vec<Vec<&str>> = listed.iter().map(|line| line.split('\t').skip(1).collect()).collect();
    fields.sort_by_key(|fields| fields[2]);
    assert!(fields[0][1].ends_with('Z'), "{listed:?}");
    assert_eq!(fields[0][2..], ["1", "juliet", "-", "-", "-"]);
    assert_eq!(
        fields[1],
        ["invite.example", "never", "5", "-", "romeo@invite.example", "-", "-"]
    );
    let all = place.run(&["invite", "list"]).unwrap();
    assert_eq!(all.len(), 3);
    assert!(!all.concat().contains(&token), "the token is not kept");
    for line in &all {
        let id = line.split('\t').next().unwrap();
        assert_eq!(
            place.run(&["invite", "revoke", id]).unwrap(),
            [format!("took back {id}")]
        );
        assert!(
            place
                .run(&["invite", "revoke", id])
                .unwrap_err()
                .contains("there is no invitation")
        );
    }
    assert_eq!(place.run(&["invite", "list"]).unwrap(), Vec::<String>::new());
}

#[test]
fn what_would_be_good_for_nothing_is_refused() {
    let place = Place::new(HOSTS);
    place.run(&["user", "add", "romeo@invite.example"]).unwrap();
    place.create(&["--host", "invite.example", "--user", "juliet"]).unwrap();
    for (args, expected) in [
        (&[][..], "more than one host takes invitations"),
        (&["--host", "closed.example"], "nobody can register there"),
        (&["--host", "nowhere.example"], "is not one of the configured hosts"),
        (
            &["--host", "invite.example", "--user", "romeo"],
            "there is an account romeo@invite.example already",
        ),
        (
            &["--host", "invite.example", "--user", "juliet"],
            "another invitation is for juliet@invite.example",
        ),
        (&["--host", "invite.example", "--user", "a@b"], "--user: a@b"),
        (
            &["--host", "invite.example", "--user", "paris", "--uses", "2"],
            "there is but one account of a name",
        ),
        (&["--host", "invite.example", "--uses", "0"], "--uses"),
        (
            &["--host", "invite.example", "--contact", "paris@invite.example"],
            "there is no account paris@invite.example",
        ),
        (
            &["--host", "invite.example", "--contact", "invite.example"],
            "is no account's address",
        ),
        (&["--host", "invite.example", "--expires", "soon"], "--expires"),
    ] {
        let complaint = place.create(args).unwrap_err();
        assert!(complaint.contains(expected), "{args:?}: {complaint}");
    }
    let closed = Place::new("");
    assert!(closed.create(&[]).unwrap_err().contains("no host takes invitations"));
    // One host that does need not be named.
    let one = Place::new("[[hosts]]\ndomain = 'one.example'\nregistration.mode = 'invite'\n");
    assert_eq!(
        shape(&one.create(&[]).unwrap()[0]).1,
        "xmpp:one.example?register;preauth="
    );
}
