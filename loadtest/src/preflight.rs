//! What is checked before a run, and what to do when it does not hold.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;
use xml::Element;

use crate::login::{Failure, Kept, Login, connect};
use crate::machine;
use crate::scenario::{Scenario, Tls};
use crate::world::World;

/// Files that the load tester has open beside connections.
const OWN_FILES: u64 = 100;

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario and this machine or these targets do not go together; says what to do.
    #[error("{0}")]
    Unfit(String),
    /// The target cannot be reached, or does not let anybody in; says what to do.
    #[error("{0}")]
    Unreachable(String),
}

/// Checks that targets are this machine or of a private network; anything else needs its owner's word.
///
/// # Errors
/// When a target is neither.
pub fn check_targets(addresses: &[SocketAddr], owned: bool) -> Result<(), Error> {
    let foreign = addresses.iter().find(|address| !is_private(address.ip()));
    match foreign {
        Some(address) if !owned => Err(Error::Unfit(format!(
            "{address} is neither this machine nor of a private network: a load test of somebody else's server is an attack. \
             If it is yours, say --i-own-this-target"
        ))),
        _ => Ok(()),
    }
}

/// Whether an address is this machine's, or of a network that is nobody else's (RFC 1918, RFC 4193, link-local).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(four) => four.is_loopback() || four.is_private() || four.is_link_local(),
        IpAddr::V6(six) => six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local(),
    }
}

/// Checks that so many users of this machine have files and ports enough.
///
/// # Errors
/// When they have not.
pub fn check_machine(scenario: &Scenario, users: u32) -> Result<(), Error> {
    let needed = u64::from(users) + OWN_FILES;
    if let Some(limit) = machine::raise_files()
        && limit < needed
    {
        return Err(Error::Unfit(format!(
            "{users} users need {needed} open files, and this process may have {limit}: raise it (ulimit -n {needed}), take fewer users, or more workers"
        )));
    }
    let routes = scenario.server.targets.len().max(1) * scenario.server.sources.len().max(1);
    if let Some(ports) = machine::ports()
        && u64::from(users) > u64::from(ports) * routes as u64
    {
        return Err(Error::Unfit(format!(
            "{users} users need more than the {ports} ports that an address has for a target: give more sources (server.sources) or targets"
        )));
    }
    Ok(())
}

/// Checks that every target answers, and that the first account can log in.
///
/// # Errors
/// When it does not, or cannot.
pub async fn check_server(world: &World) -> Result<(), Error> {
    for (at, target) in world.scenario.server.targets.iter().enumerate() {
        let at = u32::try_from(at).unwrap_or(0);
        let features = in_time(world, connect(world, at, 0)).await;
        let (_, features) = features.map_err(|failure| unreachable(world, target, &failure))?;
        wants_tls(&features, world, target)?;
    }
    let mut kept = Kept::default();
    let mut login = Login {
        world,
        user: 0,
        nonce: format!("preflight-{:x}", world.run),
        kept: &mut kept,
        former: None,
    };
    let entered = in_time(world, login.enter(0)).await;
    let (mut link, _) = entered.map_err(|failure| locked_out(world, &failure))?;
    link.output().extend_from_slice(b"</stream:stream>");
    // The stream is closed in good order, or the server finds out by itself.
    let _ = timeout(Duration::from_secs(1), link.element()).await;
    Ok(())
}

async fn in_time<T>(world: &World, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let patience = world.scenario.patience.login.0;
    let done = timeout(patience, what).await;
    done.unwrap_or_else(|_| Err(Failure(format!("no answer within {} s", patience.as_secs()))))
}

fn unreachable(world: &World, target: &str, failure: &Failure) -> Error {
    let Failure(why) = failure;
    let hint = match world.scenario.server.tls {
        _ if why.contains("host-unknown") => "it serves another domain: --domain says which",
        Tls::Direct if why.contains("TLS") => {
            "is the certificate for the domain, and of an authority that is trusted? --set server.trust=FILE names one, =any takes all"
        }
        Tls::Starttls if why.contains("TLS") => {
            "is the certificate for the domain, and of an authority that is trusted? --set server.trust=FILE names one, =any takes all"
        }
        _ => {
            "is it running, and is this its port for clients? --target HOST:PORT says where; --set server.tls=direct if TLS begins at once"
        }
    };
    Error::Unreachable(format!("{target}: {why}; {hint}"))
}

/// A server that lets nobody in without TLS says so in its features (RFC 6120, 5.3.1).
fn wants_tls(features: &Element, world: &World, target: &str) -> Result<(), Error> {
    let offers = |name: &str| features.children().any(|child| child.name() == name);
    let is_plain = world.scenario.server.tls == Tls::Off;
    if is_plain && offers("starttls") && !offers("mechanisms") && !offers("authentication") {
        return Err(Error::Unreachable(format!(
            "{target}: it lets nobody in without TLS: --set server.tls=starttls, and --set server.trust=FILE for its authority or =any"
        )));
    }
    Ok(())
}

fn locked_out(world: &World, failure: &Failure) -> Error {
    let (local, _) = world.account(0);
    let Failure(why) = failure;
    let hint = if why.contains("not-authorized") {
        "does the account exist, with this password? `dunlin-loadtest provision` makes accounts by in-band registration"
    } else {
        "the server's log may say more"
    };
    let domain = &world.scenario.server.domain;
    Error::Unreachable(format!("{local}@{domain} cannot log in: {why}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_a_target_unless_somebody_owns_it() {
        for (address, expected) in [
            ("127.0.0.1:5222", true),
            ("10.1.2.3:5222", true),
            ("[::1]:5222", true),
            ("[fd00::1]:5222", true),
            ("[::ffff:127.0.0.1]:5222", true),
            ("192.0.2.1:5222", false),
            ("[2001:db8::1]:5222", false),
            ("[::ffff:192.0.2.1]:5222", false),
        ] {
            let addresses = [address.parse().unwrap()];
            assert_eq!(check_targets(&addresses, false).is_ok(), expected, "{address}");
            assert!(check_targets(&addresses, true).is_ok());
        }
    }
}
