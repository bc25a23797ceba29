//! What an idle session costs: `cargo run --release -p dunlin-edge --example idle -- 5000 2000` opens so many sessions
//! without and with TLS over loopback and prints the memory of the process that serves them. The clients live in a second
//! process (the same program with `client` as its first argument), so that only the edge is measured.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use dunlin_edge::{Config, Edge, Listener, Parts, Sessions, StartTls, Tls, TlsConfig, dev_ca};
use link::{CloseReason, Gone, Router, SessionRef, Submission};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use stanza::{
    Bare, BindReply, BindRequest, Condition, EnableReply, EnableRequest, Grant, Payload, ResumeReply, ResumeRequest,
    SaslReply, SaslRequest, StanzaError,
};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DOMAIN: &str = "capulet.example";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", address, count, authority] => client(address.parse()?, count.parse()?, authority).await,
        [plain, tls] => measure(plain.parse()?, tls.parse()?).await,
        _ => measure(5_000, 2_000).await,
    }
}

async fn measure(plain: usize, encrypted: usize) -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("dunlin-idle-{}", std::process::id()));
    let made = dev_ca(&folder, &[DOMAIN.to_owned()], SystemTime::now())?;
    let tls = Arc::new(Tls::load(&TlsConfig {
        certificates: made.certificates,
        ..TlsConfig::default()
    })?);
    let mut config = Config::default();
    config.tls.starttls = StartTls::Off;
    config.limits.unauthenticated = usize::MAX;
    let sessions = Sessions::new(config.outbox.clone());
    let host = stream::HostConfig {
        domain: DOMAIN.to_owned(),
        mechanisms: vec!["PLAIN".to_owned()],
        plain_without_tls: true,
        ..stream::HostConfig::default()
    };
    let (_fence, fenced) = watch::channel(false);
    let router = Arc::new(Yes);
    let edge = Edge::new(Parts {
        config,
        hosts: vec![host],
        tls: Some(tls),
        sessions: sessions.clone(),
        router,
        fenced,
    });
    let c2s = Listener::starttls(TcpListener::bind("127.0.0.1:0").await?);
    let c2s_tls = Listener::direct_tls(TcpListener::bind("127.0.0.1:0").await?);
    let addresses = (c2s.address()?, c2s_tls.address()?);
    let serving = tokio::spawn(async move { edge.run(vec![c2s, c2s_tls], std::future::pending()).await });
    let mut connected = Vec::new(); // all stay to the end: memory given back would be used again and hide what the next cost
    for (what, address, count, authority) in [
        ("plain", addresses.0, plain, ""),
        ("TLS", addresses.1, encrypted, made.authority.to_str().unwrap_or("")),
    ] {
        connected.push(one_round(what, address, count, authority).await?);
    }
    println!("{} sessions at the end", sessions.len());
    for mut clients in connected {
        drop(clients.stdin.take());
        clients.wait().await?;
    }
    serving.abort();
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Opens `count` sessions from another process and measures.
async fn one_round(what: &str, address: SocketAddr, count: usize, authority: &str) -> Outcome<Child> {
    let before = resident()?;
    let mut clients = Command::new(std::env::current_exe()?)
        .args(["client", &address.to_string(), &count.to_string(), authority])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = String::new();
    let output = clients.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut ready).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident()?;
    println!(
        "{count} {what} sessions: {before} to {after} KiB, {} bytes each",
        (after - before) * 1024 / count.max(1)
    );
    Ok(clients)
}

/// Resident memory of this process in KiB.
fn resident() -> Outcome<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}

/// The other process: logs in `count` clients, says so, and waits for the end of its input.
async fn client(address: SocketAddr, count: usize, authority: &str) -> Outcome<()> {
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::with_capacity(count);
    let tls = (!authority.is_empty()).then(|| connector(authority)).transpose()?;
    for number in 0..count {
        let io = TcpStream::connect(address).await?;
        match &tls {
            Some(tls) => kept.push(Box::new(
                login(tls.connect(ServerName::try_from(DOMAIN)?, io).await?, number).await?,
            )),
            None => kept.push(Box::new(login(io, number).await?)),
        }
    }
    println!("ready");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?; // nothing else happens in this process
    Ok(())
}

fn connector(authority: &str) -> Outcome<tokio_rustls::TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)))
}

async fn login<T: AsyncRead + AsyncWrite + Unpin>(mut io: T, number: usize) -> Outcome<T> {
    let header = format!(
        "<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    say(&mut io, &header, "</stream:features>").await?;
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth>";
    say(&mut io, auth, "<success").await?;
    say(&mut io, &header, "</stream:features>").await?;
    let mut bind = String::new();
    write!(
        bind,
        "<iq id='b' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{number}</resource></bind></iq>"
    )?;
    say(&mut io, &bind, "</iq>").await?;
    say(&mut io, "<presence/>", "").await?;
    Ok(io)
}

async fn say<T: AsyncRead + AsyncWrite + Unpin>(io: &mut T, text: &str, answer: &str) -> Outcome<()> {
    io.write_all(text.as_bytes()).await?;
    io.flush().await?;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(answer) {
        if io.read_buf(&mut read).await? == 0 {
            return Err(format!("the edge hung up instead of {answer}").into());
        }
    }
    Ok(())
}

/// A router that knows everybody.
struct Yes;

#[async_trait]
impl Router for Yes {
    async fn sasl(&self, request: SaslRequest) -> SaslReply {
        match (request, Bare::parse(&format!("juliet@{DOMAIN}"))) {
            (SaslRequest::Start { .. }, Ok(account)) => SaslReply::Success {
                account,
                data: None,
                grant: Grant::default(),
                token: None,
            },
            _ => SaslReply::Failure(stanza::SaslFailure::NotAuthorized),
        }
    }

    async fn register(&self, _: stanza::RegisterRequest) -> stanza::RegisterReply {
        stanza::RegisterReply::Refused(stanza::Condition::ServiceUnavailable.into())
    }

    async fn bind(&self, request: BindRequest) -> BindReply {
        match request.account.with_resource(request.resource.named().unwrap_or("r")) {
            Ok(jid) => BindReply::Bound(jid, Payload::default()),
            Err(_) => BindReply::Refused(StanzaError::from(Condition::BadRequest)),
        }
    }

    async fn submit(&self, _: &SessionRef, _: Submission) -> Result<(), Gone> {
        Ok(())
    }

    async fn enable(&self, _: &SessionRef, _: EnableRequest) -> EnableReply {
        EnableReply::Enabled(None)
    }

    async fn resume(&self, _: ResumeRequest) -> ResumeReply {
        ResumeReply::Refused {
            error: Condition::ItemNotFound.into(),
            h: None,
        }
    }

    fn written(&self, _: &SessionRef, _: u64) {}

    async fn look(&self, _: &SessionRef, _: bool) {}

    async fn close(&self, _: &SessionRef, _: CloseReason) {}
}
