//! `provision`: makes accounts, many at a time.

use std::sync::Arc;

use anyhow::{Result, ensure};
use dunlin_loadtest::login::Failure;
use dunlin_loadtest::preflight;
use dunlin_loadtest::provision::{Made, contacts, register};
use dunlin_loadtest::world::World;
use tokio::task::JoinSet;

use crate::chosen::scenario;
use crate::cli;

/// Makes the accounts of a scenario.
///
/// # Errors
/// When one cannot be made.
pub(crate) async fn run(arguments: cli::Provision) -> Result<()> {
    let world = Arc::new(World::new(scenario(&arguments.scenario)?, 0)?);
    preflight::check_targets(&world.addresses, arguments.i_own_this_target)?;
    ensure!(arguments.at_a_time > 0, "--at-a-time: at least 1");
    let users = world.scenario.users;
    let made = for_all(users, arguments.at_a_time, |user| {
        let world = world.clone();
        async move { register(&world, user).await }
    });
    let made = made.await?;
    let new = made.iter().filter(|made| **made == Made::New).count();
    println!("{new} accounts made, {} there already", made.len() - new);
    if arguments.contacts {
        let mut count = 0;
        // A server without pre-approval (RFC 6121, 3.4) forgets a consent that comes before the request: everybody consents once more.
        for _ in 0..2 {
            let added = for_all(users, arguments.at_a_time, |user| {
                let world = world.clone();
                async move { contacts(&world, user).await }
            });
            count = added.await?.into_iter().sum::<usize>();
        }
        println!("{count} contacts");
    }
    Ok(())
}

/// Does something for every user, some at a time; ends with the first failure.
async fn for_all<T, F>(users: u32, at_a_time: usize, what: impl Fn(u32) -> F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut under_way: JoinSet<Result<T, Failure>> = JoinSet::new();
    let mut done = Vec::new();
    for user in 0..users {
        if under_way.len() >= at_a_time
            && let Some(ended) = under_way.join_next().await
        {
            done.push(ended?.map_err(|failure| anyhow::anyhow!(failure.0))?);
        }
        under_way.spawn(what(user));
    }
    while let Some(ended) = under_way.join_next().await {
        done.push(ended?.map_err(|failure| anyhow::anyhow!(failure.0))?);
    }
    Ok(done)
}
