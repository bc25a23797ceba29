//! `dunlin demo`: a throw-away server with two accounts and a place for a component, to try things out.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use rand::distr::{Alphanumeric, SampleString};
use router::ComponentConfig;
use serde_json::json;
use stanza::Bare;

use crate::cli::Demo;
use crate::config::{Config, HostConfig};
use crate::{serve, stores, user};

/// The accounts.
const NAMES: [&str; 2] = ["alice", "bob"];

/// Runs the demo until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub(crate) async fn run(demo: Demo) -> Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix("dunlin-demo-")
        .tempdir()
        .context("making a data folder")?;
    let data = demo.data.clone().unwrap_or_else(|| scratch.path().to_owned());
    let config = configuration(&demo, &data)?;
    let accounts = accounts(&config, &demo.domain).await?;
    let ready = demo.ready_file.clone();
    let domain = demo.domain.clone();
    let component = config.router.components.clone();
    serve::serve(config, None, move |started| {
        announce(&domain, &accounts, &component, started);
        ready.as_deref().map_or(Ok(()), |file| {
            write_ready(file, &domain, &accounts, &component, started)
        })
    })
    .await
}

/// The standard ports where they are free, others where they are taken.
fn configuration(demo: &Demo, data: &Path) -> Result<Config> {
    let mut config = Config {
        data: data.to_owned(),
        ..Config::default()
    };
    config.node = "demo".to_owned();
    config.hosts = vec![HostConfig {
        domain: demo.domain.clone(),
        ..HostConfig::default()
    }];
    config.edge.listeners.c2s = vec![free(5222)?];
    config.edge.listeners.c2s_tls = vec![free(5223)?];
    config.edge.listeners.component = vec![free(5347)?];
    config.router.components = vec![ComponentConfig {
        domain: format!("component.{}", demo.domain),
        secret: password().into(),
    }];
    config.http.listen = Some(free(5280)?);
    config.log.filter = "warn".to_owned();
    Ok(config)
}

fn password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 16)
}

fn free(port: u16) -> Result<SocketAddr> {
    let wanted = SocketAddr::from(([127, 0, 0, 1], port));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(wanted)
        .or_else(|_| TcpListener::bind(any))
        .context("finding a free port")?;
    Ok(listener.local_addr()?)
}

/// Makes the accounts that are not there yet, with new passwords; those of an earlier run get new ones as well.
async fn accounts(config: &Config, domain: &str) -> Result<Vec<(String, String)>> {
    let stores = stores::durable(config).await?;
    let mut made = Vec::new();
    for name in NAMES {
        let jid = Bare::parse(&format!("{name}@{domain}"))?;
        let password = password();
        let account = user::new_account(jid.clone(), &password, config.passwords.iterations)?;
        if stores.accounts.get(&jid).await?.is_some() {
            stores.accounts.set_verifiers(&jid, &account.verifiers).await?;
        } else {
            stores.accounts.create(&[account]).await?;
        }
        made.push((jid.to_string(), password));
    }
    Ok(made)
}

fn announce(domain: &str, accounts: &[(String, String)], components: &[ComponentConfig], started: &serve::Started) {
    let ca = started
        .ca
        .as_ref()
        .map(|ca| ca.display().to_string())
        .unwrap_or_default();
    println!("Dunlin is up, for {domain}.\n");
    println!("  STARTTLS    {}", serve::first(&started.c2s));
    println!("  direct TLS  {}", serve::first(&started.c2s_tls));
    println!(
        "  health      http://{}/ready and /metrics",
        serve::first(&started.http)
    );
    println!("  CA          {ca}");
    for component in components {
        println!(
            "  component   {}, as {} with the secret {}",
            serve::first(&started.component),
            component.domain,
            component.secret.expose()
        );
    }
    println!();
    for (jid, password) in accounts {
        println!("  {jid}  {password}");
    }
    let (jid, password) = &accounts[0];
    let (other, _) = &accounts[1];
    println!("\nTo chat, log in with any client that trusts the CA; for instance send a message with go-sendxmpp:\n");
    println!(
        "  echo 'Hello' | SSL_CERT_FILE={ca} go-sendxmpp -u {jid} -p {password} -j {} {other}\n\nCtrl-C ends it and removes the data.",
        serve::first(&started.c2s)
    );
}

fn write_ready(
    file: &Path,
    domain: &str,
    accounts: &[(String, String)],
    components: &[ComponentConfig],
    started: &serve::Started,
) -> Result<()> {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|(jid, password)| json!({ "jid": jid, "password": password }))
        .collect();
    let ready = json!({
        "domain": domain,
        "ca": started.ca,
        "c2s": serve::first(&started.c2s),
        "c2s_tls": serve::first(&started.c2s_tls),
        "http": serve::first(&started.http),
        "component": components.first().map(|component| {
            json!({
                "address": serve::first(&started.component),
                "domain": component.domain,
                "secret": component.secret.expose(),
            })
        }),
        "accounts": accounts,
        "pid": std::process::id(),
    });
    serve::write_ready(file, &ready)
}
