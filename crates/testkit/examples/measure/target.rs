//! What is measured, whatever it is made of: processes, and where clients connect.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_rustls::TlsConnector;

/// Units of CPU time in `/proc/PID/stat` (`USER_HZ`, the same on all Linux systems of today).
const TICKS_PER_SECOND: u64 = 100;

/// A server as its clients and the system see it.
pub(crate) struct Target {
    /// What it is called in the results.
    pub(crate) kind: &'static str,
    /// The domain of its accounts `u0`, `u1`, …
    pub(crate) domain: &'static str,
    /// Its processes, in the order in which a message passes through them.
    pub(crate) processes: Vec<u32>,
    /// Where clients connect; session `n` at the address `n` modulo their number, so that neighbours are apart.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Direct TLS, if that is spoken.
    pub(crate) tls: Option<TlsConnector>,
}

impl Target {
    /// Bytes of memory that its processes hold (`VmRSS`).
    pub(crate) fn resident(&self) -> Result<u64> {
        self.processes.iter().map(|id| resident(*id)).sum()
    }
}

fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmRSS")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// CPU time of both sides at one moment, or between two.
pub(crate) struct Usage {
    /// User and kernel time of each of the server's processes.
    parts: Vec<(Duration, Duration)>,
    generator: Duration,
}

impl Usage {
    pub(crate) fn now(server: &Target) -> Result<Self> {
        let parts = server
            .processes
            .iter()
            .map(|id| cpu(&id.to_string()))
            .collect::<Result<_>>()?;
        let (own_user, own_kernel) = cpu("self")?;
        Ok(Self {
            parts,
            generator: own_user + own_kernel,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            parts: self
                .parts
                .iter()
                .zip(&before.parts)
                .map(|(now, before)| (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1)))
                .collect(),
            generator: self.generator.saturating_sub(before.generator),
        }
    }

    pub(crate) fn print(&self, name: &str, count: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count.max(1) as f64;
        let costs: Vec<f64> = self.parts.iter().map(|(user, kernel)| each(*user + *kernel)).collect();
        let kernel: f64 = self.parts.iter().map(|(_, kernel)| each(*kernel)).sum();
        let (all, generator) = (costs.iter().sum::<f64>(), each(self.generator));
        let costs: Vec<String> = costs.iter().map(|cost| format!("{cost:.1}")).collect();
        let shares = if costs.len() > 1 {
            format!(" ({})", costs.join(" + "))
        } else {
            String::new()
        };
        println!("| {name} | {all:.1} µs{shares} | {kernel:.1} µs | {generator:.1} µs |");
    }
}

/// User and kernel time of a process (proc(5), fields 14 and 15 of `stat`).
fn cpu(process: &str) -> Result<(Duration, Duration)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no command in stat")?;
    let ticks = |at: usize| -> Result<Duration> {
        let ticks: u64 = fields.split_whitespace().nth(at).context("stat is short")?.parse()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    };
    Ok((ticks(11)?, ticks(12)?))
}
