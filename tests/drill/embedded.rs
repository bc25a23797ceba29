//! Scenarios of one process with its own database.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use swarm::Swarm;
use swarm::chance::Chance;
use testkit::process::Server;
use testkit::settings::DOMAINS;
use tokio::time::sleep;

use crate::scenarios::{Scenario, Step};
use crate::stage::{GATHERING, Outcome, binary, finish, habits, personas, users};

/// Plays a scenario to its end, on a server of its own.
pub(crate) async fn play(scenario: &Scenario, seed: u64) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(&patient(folder.path())?).await?;
    let domain = DOMAINS[0];
    let users: Vec<(String, String)> = users()
        .map(|(name, password)| (format!("{name}@{domain}"), password))
        .collect();
    server.add_users(&users)?;
    let swarm = Swarm::start(personas(scenario), habits(vec![server.address("c2s")?]), seed);
    swarm.gather(GATHERING).await?;
    swarm.talk();
    let (mut chance, mut fault, mut schedule) = (Chance::new(seed), None, Vec::new());
    for step in scenario.steps {
        if let Step::Talk(least, most) = step {
            let time = Duration::from_millis(*least)..Duration::from_millis(*most);
            sleep(chance.time(time)).await;
            continue;
        }
        let now = swarm.now();
        fault.get_or_insert(now);
        schedule.push(format!("{:.3} s {step:?}", now.as_secs_f64()));
        match step {
            Step::FillDisk => limit(server.pid(), "1")?,
            Step::FreeDisk => limit(server.pid(), "unlimited")?,
            other => bail!("{other:?} is for clusters"),
        }
    }
    let report = finish(swarm, fault.unwrap_or_default()).await;
    Ok(Outcome { report, schedule })
}

/// A program that becomes the server, which is then told by an error, not ended by a signal, when a file may not be written (setrlimit(2)).
fn patient(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("dunlin");
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", binary().display());
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The process cannot write to any file beyond so many bytes, whether it grows or not.
fn limit(pid: u32, bytes: &str) -> Result<()> {
    let done = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:unlimited")])
        .status()
        .context("prlimit (Debian package util-linux)")?;
    ensure!(done.success(), "prlimit: {done}");
    Ok(())
}
