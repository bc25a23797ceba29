//! Measures a release binary as its operators would: CPU time and memory of the server's processes, seen from outside, while
//! clients log in, sit idle and chat. `make measure` runs it; `docs/performance.md` says how to read it.
//!
//! `measure alone` measures one process with both roles, `measure cluster` edge, router and edge; without a word, both.

mod alone;
mod cluster;
mod load;
mod target;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::sleep;

use crate::load::{Pace, chat, log_in_all};
use crate::target::{Target, Usage};

/// Sessions that are measured; they chat in pairs, each with its neighbour.
const SESSIONS: usize = 1_000;
/// Sessions that log in before anything is measured, so that caches, pools and code pages are there.
const WARM_UP: usize = 100;
/// How long sessions are left alone before memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// For anything that must come.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    println!("| Measure | Server | of that in the kernel | Generator |");
    println!("|---|---|---|---|");
    match std::env::args().nth(1).as_deref() {
        None => {
            alone::run().await?;
            cluster::run().await
        }
        Some("alone") => alone::run().await,
        Some("cluster") => cluster::run().await,
        Some(other) => bail!("measure {other}: alone or cluster"),
    }
}

/// All measurements with one kind of server.
async fn measure(server: &Target) -> Result<()> {
    let kind = server.kind;
    let warm = log_in_all(server, SESSIONS..SESSIONS + WARM_UP).await?;
    sleep(SETTLE).await;
    let memory = server.resident()?;

    let before = Usage::now(server)?;
    let sessions = log_in_all(server, 0..SESSIONS).await?;
    let logins = Usage::now(server)?.since(&before);
    logins.print(&format!("login, {kind}"), SESSIONS as u64);
    sleep(SETTLE).await;
    let grown = server.resident()?.saturating_sub(memory);
    let each = grown as f64 / 1000.0 / SESSIONS as f64;
    println!("| idle session, {kind} | {each:.1} kB | | |");

    let saturated = format!("message, {kind}, saturated");
    let (sessions, _) = chat(server, sessions, Pace::Saturated, &saturated).await?;
    let (sessions, mut delays) = chat(
        server,
        sessions,
        Pace::Each(Duration::from_secs(1)),
        &format!("message, {kind}, 1,000/s"),
    )
    .await?;
    print_delays(kind, &mut delays)?;
    drop((sessions, warm));
    Ok(())
}

fn print_delays(kind: &str, delays: &mut [u64]) -> Result<()> {
    ensure!(!delays.is_empty(), "no message came");
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    let (half, most, nearly_all) = (at(0.5), at(0.99), at(0.999));
    println!(
        "| latency, {kind}, 1,000/s | p50 {half:.2} ms, p99 {most:.2} ms, p99.9 {nearly_all:.2} ms, {} messages | | |",
        delays.len()
    );
    Ok(())
}

/// The password of account `at`.
fn password(at: usize) -> String {
    format!("password-{at}")
}
