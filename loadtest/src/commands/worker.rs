//! `worker`: joins a coordinator with some of the users.

use anyhow::Result;
use dunlin_loadtest::admission::{Pass, Token};
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
        pass: Pass {
            token: Token::find(arguments.token_file.as_deref())?,
            authority: arguments.tls_authority.as_deref().map(Pass::authority).transpose()?,
            name: arguments.tls_name,
        },
    };
    Ok(member.work(&arguments.join).await?)
}
