//! `worker`: joins a coordinator with some of the users.

use anyhow::Result;
use dunlin_loadtest::join::Member;
use dunlin_loadtest::machine;

use crate::cli;

/// Works until the run is over.
///
/// # Errors
/// When there is no coordinator, or what it asks for cannot be done.
pub(crate) async fn run(arguments: cli::Worker) -> Result<()> {
    let name = arguments
        .name
        .unwrap_or_else(|| format!("{}-{}", machine::name(), std::process::id()));
    let member = Member {
        name,
        threads: arguments.threads.unwrap_or_else(machine::cores).max(1),
        owns_targets: arguments.i_own_this_target,
    };
    Ok(member.work(&arguments.join).await?)
}
