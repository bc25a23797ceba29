//! The binary: reads the command line and hands over. Everything is put together in this crate, and nothing depends on it.

mod cli;
mod config;
mod demo;
mod docs;
mod hosts;
mod http;
mod invite;
mod metrics;
mod node;
mod roles;
mod secret;
mod serve;
mod spans;
mod stores;
mod telemetry;
mod tls;
mod user;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use cli::{Cli, Command, ConfigCommand};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dunlin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Config(ConfigCommand::Check(file)) => check(file.config.as_deref()),
        Command::Config(ConfigCommand::Explain { key }) => explain(key.as_deref()),
        Command::Docs(docs) => docs::run(&docs),
        Command::Serve(serve) => block_on(serve::run(serve)),
        Command::Demo(demo) => block_on(demo::run(demo)),
        Command::Migrate(file) => block_on(async move {
            stores::migrate(&config::load(file.config.as_deref())?).await?;
            println!("the schema is up to date");
            Ok(())
        }),
        Command::Node(node) => block_on(node::run(node)),
        Command::User(user) => block_on(user::run(user)),
        Command::Invite(invite) => block_on(invite::run(invite)),
    }
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(work)
}

fn check(path: Option<&std::path::Path>) -> Result<()> {
    let config = config::load_readable(path, None)?;
    hosts::check(&config, path)?;
    hosts::pipelines(&config)?;
    tls::check(&config)?;
    println!("the configuration is good");
    Ok(())
}

/// The first `depth` parts of a key.
fn beginning(key: &str, depth: usize) -> String {
    key.split('.').take(depth).collect::<Vec<_>>().join(".")
}

fn explain(key: Option<&str>) -> Result<()> {
    let wanted = key.unwrap_or_default();
    let all = config::entries();
    let matches =
        |entry: &&config::Entry| entry.key.starts_with(wanted) || entry.key.replace("[]", "").starts_with(wanted);
    let found: Vec<_> = all.iter().filter(matches).collect();
    if found.is_empty() {
        let depth = wanted.split('.').count();
        let nearest = all
            .iter()
            .map(|entry| beginning(&entry.key, depth))
            .min_by_key(|key| strsim::damerau_levenshtein(key, wanted));
        let hint = nearest
            .map(|key| format!("; did you mean `{key}`?"))
            .unwrap_or_default();
        anyhow::bail!("there is no key `{wanted}`{hint}");
    }
    for entry in found {
        let default = entry
            .default
            .as_deref()
            .map(|default| format!(", default {default}"))
            .unwrap_or_default();
        println!("{} ({}{default})\n    {}", entry.key, entry.kind, entry.meaning);
    }
    Ok(())
}
