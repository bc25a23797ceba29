//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dunlin_loadtest::accounting::Target;
use dunlin_loadtest::metrics::Endpoint;
use dunlin_loadtest::overrides::Override;
use dunlin_loadtest::units::{Rate, Span};

/// A load tester for any XMPP server.
///
/// Exit codes: 0 all is well, 1 the command line or the scenario is wrong, 2 the server cannot be reached or lets nobody in, 99 a threshold
/// did not hold, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "dunlin-loadtest", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scenario and write a report.
    Run(Box<Run>),
    /// Run a scenario with users on other processes or machines, which join with `worker`.
    Coordinator(Box<Coordinator>),
    /// Join a coordinator with some of the users.
    Worker(Worker),
    /// Run a scenario with more and more load until a threshold does not hold.
    FindLimit(Box<FindLimit>),
    /// List the scenarios of the library.
    Ls,
    /// Write a scenario of the library to a file, to be changed.
    Init(Init),
    /// Check a scenario without running it.
    Validate(Scenario),
    /// Make a scenario's accounts by in-band registration (XEP-0077), and their contacts.
    Provision(Provision),
    /// Compare runs, each given by its folder; the first is what the others are held against.
    Compare(Compare),
    /// Write the report of a run once more, from its results.
    Report(Report),
}

/// A scenario, and what is changed in it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Scenario {
    /// A scenario of the library, or a file.
    pub(crate) scenario: String,
    /// Where the server is; may be given several times.
    #[arg(long = "target", value_name = "HOST:PORT")]
    pub(crate) targets: Vec<String>,
    /// Domain of the accounts.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// How many users.
    #[arg(long)]
    pub(crate) users: Option<u32>,
    /// Messages of all users together, such as 200/s.
    #[arg(long)]
    pub(crate) rate: Option<Rate>,
    /// Length of the longest phase.
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) length: Option<Span>,
    /// Another seed gives other times and choices.
    #[arg(long)]
    pub(crate) seed: Option<u32>,
    /// Anything else in the scenario, such as server.tls=starttls or phase.hold.pace=2; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,
}

/// `run`
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// Which scenario.
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    /// Folder for the report. Default: runs/SCENARIO-TIME.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A process whose CPU time and memory are measured, such as server=1234 or server=@FILE; may be given several times.
    #[arg(long = "watch-pid", value_name = "NAME=PID")]
    pub(crate) watch_pid: Vec<Target>,
    /// The server's metrics (Prometheus text); may be given several times.
    #[arg(long = "watch-metrics", value_name = "URL")]
    pub(crate) watch_metrics: Vec<Endpoint>,
    /// Threads for the users. Default: as many as there are cores.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show nothing while the run goes on.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Run without checking that the server lets the first account in.
    #[arg(long)]
    pub(crate) no_preflight: bool,
    /// The targets are mine, though they are not of a private network.
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
}

/// `coordinator`
#[derive(Debug, Args)]
pub(crate) struct Coordinator {
    /// What and how to run.
    #[command(flatten)]
    pub(crate) run: Run,
    /// How many workers to wait for.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: u32,
    /// Where workers join. Anywhere but on this machine needs a token and TLS.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7222")]
    pub(crate) listen: SocketAddr,
    /// A file with the token that workers must have. Default: the environment's DUNLIN_LOADTEST_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A certificate with its chain, for TLS with workers (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// `worker`
#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// Where the coordinator listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7222")]
    pub(crate) join: String,
    /// A file with the coordinator's token. Default: the environment's DUNLIN_LOADTEST_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Who signed the coordinator's certificate (PEM); then TLS is spoken.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_authority: Option<PathBuf>,
    /// The name in that certificate. Default: the host that is joined.
    #[arg(long, value_name = "NAME", requires = "tls_authority")]
    pub(crate) tls_name: Option<String>,
    /// What it is called in the report. Default: the host's name and the process's id.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Threads for the users. Default: as many as there are cores.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
    /// The targets are mine, though they are not of a private network.
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
}

/// `find-limit`
#[derive(Debug, Args)]
pub(crate) struct FindLimit {
    /// What and how to run; each try is a run of its own, with a folder of its own below that of --out.
    #[command(flatten)]
    pub(crate) run: Run,
    /// What is raised.
    #[arg(long, value_enum, default_value_t = Load::Rate)]
    pub(crate) of: Load,
    /// Where to begin: messages a second, or users. Default: what the scenario has.
    #[arg(long)]
    pub(crate) from: Option<f64>,
    /// How much more each time.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) factor: f64,
    /// How well the limit is to be known, as a share of it.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) precision: f64,
}

/// What a search for the limit raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// Messages a second.
    Rate,
    /// Users.
    Users,
}

/// `init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A scenario of the library.
    #[arg(default_value = "chat")]
    pub(crate) scenario: String,
    /// The file. Default: SCENARIO.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `provision`
#[derive(Debug, Args)]
pub(crate) struct Provision {
    /// Which scenario.
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    /// Accounts under way at a time.
    #[arg(long, default_value_t = 16)]
    pub(crate) at_a_time: usize,
    /// Also make contacts of each other, by subscription in both directions.
    #[arg(long)]
    pub(crate) contacts: bool,
    /// The targets are mine, though they are not of a private network.
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
}

/// `compare`
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Folders of runs, or of several runs of the same thing.
    #[arg(required = true, num_args = 2.., value_name = "DIR")]
    pub(crate) runs: Vec<PathBuf>,
    /// Write the table as Markdown.
    #[arg(long)]
    pub(crate) markdown: bool,
}

/// `report`
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Folder of a run.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
