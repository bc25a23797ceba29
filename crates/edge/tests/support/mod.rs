//! What the edge's tests share: a router that says yes, a client of few words, and certificates.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses some of it"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use dunlin_edge::{Certificate, Config, Edge, Parts, Sessions, StartTls, Tls, TlsConfig};
use link::{CloseReason, Delivery, Gone, Router, SessionRef, Submission};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use stanza::{
    Bare, BindReply, BindRequest, Counts, EnableReply, EnableRequest, Grant, Head, Message, MessageType, Payload,
    ResumeReply, ResumeRequest, Resumption, SaslFailure, SaslReply, SaslRequest, SessionId, Stanza,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const DOMAIN: &str = "capulet.example";

/// Says yes to everybody (but the password `wrong`), and keeps a record.
pub struct Friendly {
    pub seen: watch::Sender<Seen>,
    /// Each submission takes one, and each `close` as many as `closing` says.
    pub permits: Semaphore,
    pub closing: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub sasl: Vec<SaslRequest>,
    pub binds: Vec<BindRequest>,
    pub submitted: Vec<(u64, Stanza)>,
    pub traced: usize,
    pub written: Vec<u64>,
    pub closed: Vec<CloseReason>,
    pub enabled: Vec<EnableRequest>,
    pub resumed: Vec<ResumeRequest>,
    pub looks: Vec<bool>,
}

impl Friendly {
    pub fn new() -> Arc<Self> {
        Self::with(usize::MAX >> 4, 0)
    }

    pub fn with(permits: usize, closing: u32) -> Arc<Self> {
        Arc::new(Self {
            seen: watch::Sender::default(),
            permits: Semaphore::new(permits),
            closing,
        })
    }

    /// Waits until the record is as `wanted`.
    pub async fn until(&self, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        self.seen.subscribe().wait_for(wanted).await.unwrap().clone()
    }

    pub fn session(&self) -> SessionId {
        self.seen.borrow().binds.last().unwrap().session
    }
}

#[async_trait]
impl Router for Friendly {
    async fn sasl(&self, request: SaslRequest) -> SaslReply {
        self.seen.send_modify(|seen| seen.sasl.push(request.clone()));
        let SaslRequest::Start {
            initial: Some(initial),
            domain,
            ..
        } = request
        else {
            return SaslReply::Failure(SaslFailure::NotAuthorized);
        };
        let text = String::from_utf8(initial.to_vec()).unwrap();
        let [_, user, password] = text.split('\0').collect::<Vec<_>>()[..] else {
            return SaslReply::Failure(SaslFailure::MalformedRequest);
        };
        if password == "wrong" {
            return SaslReply::Failure(SaslFailure::NotAuthorized);
        }
        let account = Bare::parse(&format!("{user}@{domain}")).unwrap();
        SaslReply::Success {
            account,
            data: None,
            grant: Grant::default(),
            token: None,
        }
    }

    async fn register(&self, _: stanza::RegisterRequest) -> stanza::RegisterReply {
        stanza::RegisterReply::Refused(stanza::Condition::ServiceUnavailable.into())
    }

    async fn bind(&self, request: BindRequest) -> BindReply {
        let full = request
            .account
            .with_resource(request.resource.named().unwrap_or("made"))
            .unwrap();
        self.seen.send_modify(|seen| seen.binds.push(request));
        BindReply::Bound(full, Payload::default())
    }

    async fn submit(&self, _: &SessionRef, submission: Submission) -> Result<(), Gone> {
        self.permits.acquire().await.unwrap().forget();
        let stanza = submission.said.stanza().expect("a stanza").clone();
        let id = stanza.head().id.clone();
        self.seen.send_modify(|seen| {
            seen.traced += usize::from(submission.trace.is_some());
            seen.submitted.push((submission.number, stanza));
        });
        match id.as_deref() {
            Some("panic") => panic!("asked for"),
            Some("gone") => Err(Gone::Session),
            _ => Ok(()),
        }
    }

    async fn enable(&self, _: &SessionRef, request: EnableRequest) -> EnableReply {
        self.seen.send_modify(|seen| seen.enabled.push(request));
        let id = "some-id".into();
        EnableReply::Enabled(Some(Resumption { id, max: 300 }))
    }

    async fn resume(&self, request: ResumeRequest) -> ResumeReply {
        let jid = request.account.with_resource("resumed").unwrap();
        let (since, now) = (Counts::default(), Counts { received: 2, sent: 3 });
        self.seen.send_modify(|seen| seen.resumed.push(request));
        ResumeReply::Resumed { jid, since, now }
    }

    fn written(&self, _: &SessionRef, number: u64) {
        self.seen.send_modify(|seen| seen.written.push(number));
    }

    async fn look(&self, _: &SessionRef, active: bool) {
        self.seen.send_modify(|seen| seen.looks.push(active));
    }

    async fn close(&self, _: &SessionRef, reason: CloseReason) {
        self.permits.acquire_many(self.closing).await.unwrap().forget();
        self.seen.send_modify(|seen| seen.closed.push(reason));
    }
}

/// An edge with a friendly router and whatever the test changes.
pub struct Bench {
    pub edge: Arc<Edge>,
    pub router: Arc<Friendly>,
    pub sessions: Arc<Sessions>,
    pub fence: watch::Sender<bool>,
}

pub fn bench(config: Config, tls: Option<Arc<Tls>>) -> Bench {
    bench_with(config, tls, Friendly::new())
}

pub fn bench_with(config: Config, tls: Option<Arc<Tls>>, router: Arc<Friendly>) -> Bench {
    let hosts = [DOMAIN, "montague.example"].map(|domain| stream::HostConfig {
        domain: domain.to_owned(),
        mechanisms: vec!["PLAIN".to_owned(), "SCRAM-SHA-1".to_owned()],
        tokens: vec!["HT-SHA-256-NONE".to_owned()],
        plain_without_tls: true,
        ..stream::HostConfig::default()
    });
    let sessions = Sessions::new(config.outbox.clone());
    let fence = watch::Sender::new(false);
    let edge = Edge::new(Parts {
        config,
        hosts: hosts.into(),
        tls,
        sessions: sessions.clone(),
        router: router.clone(),
        fenced: fence.subscribe(),
    });
    Bench {
        edge,
        router,
        sessions,
        fence,
    }
}

impl Bench {
    /// A client over memory that has not said anything; `space` bytes fit in each direction.
    pub fn connect(&self, space: usize) -> Client<DuplexStream> {
        let (near, far) = tokio::io::duplex(space);
        self.edge.serve(far, None, false);
        Client::new(near)
    }

    /// As above, logged in.
    pub async fn login(&self, space: usize) -> Client<DuplexStream> {
        let mut client = self.connect(space);
        client.login("juliet", "balcony").await;
        client
    }

    /// Delivers to the session that bound last.
    pub fn deliver(&self, number: u64, body: &str) {
        use link::Edge;
        let stanza = Arc::new(message(body));
        let sessions = vec![(self.router.session(), number)];
        self.sessions.deliver(Delivery {
            sessions,
            stanza,
            readdress: true,
            archived: None,
            settled: false,
            trace: None,
        });
    }
}

pub fn message(body: &str) -> Stanza {
    let payload = Payload::from_canonical(format!("<body>{body}</body>").into());
    Message {
        head: Head::default(),
        kind: MessageType::Chat,
        payload,
    }
    .into()
}

/// A client that says and expects text.
pub struct Client<T> {
    pub io: T,
    read: String,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    pub fn new(io: T) -> Self {
        Self {
            io,
            read: String::new(),
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `text` comes; returns what came before it.
    pub async fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.find(text) {
                let before = self.read[..at].to_owned();
                self.read.drain(..at + text.len());
                return before;
            }
            let mut buffer = [0; 4096];
            let read = self.io.read(&mut buffer).await.unwrap_or(0);
            assert_ne!(read, 0, "end instead of {text:?} after {:?}", self.read);
            self.read.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    /// Reads to the end; returns what came.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.io.read_to_end(&mut bytes).await;
        self.read.push_str(&String::from_utf8_lossy(&bytes));
        std::mem::take(&mut self.read)
    }

    pub async fn open(&mut self) {
        self.open_to(DOMAIN).await;
    }

    pub async fn open_to(&mut self, domain: &str) {
        self.say(&format!(
            "<stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        ))
        .await;
        self.expect("</stream:features>").await;
    }

    pub async fn login(&mut self, user: &str, resource: &str) {
        self.open().await;
        self.authenticate(user, resource).await;
    }

    pub async fn authenticate(&mut self, user: &str, resource: &str) {
        self.auth(user, "right").await;
        self.expect("<success").await;
        self.open().await;
        self.say(&format!(
            "<iq id='b' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        ))
        .await;
        self.expect("</iq>").await;
    }

    pub async fn auth(&mut self, user: &str, password: &str) {
        let initial = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
        self.say(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{initial}</auth>"
        ))
        .await;
    }

    /// Under SASL2, which has no PLAIN here; the friendly router does not mind.
    pub async fn auth2(&mut self, mechanism: &str, wishes: &str) {
        let initial = base64::engine::general_purpose::STANDARD.encode("\0juliet\0right");
        self.say(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'>\
             <initial-response>{initial}</initial-response>{wishes}</authenticate>"
        ))
        .await;
    }

    pub async fn starttls(&mut self) {
        self.open().await;
        self.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        self.expect("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    }
}

/// A development CA in a folder of its own.
pub struct Authority {
    pub folder: TempDir,
    pub made: dunlin_edge::Development,
}

impl Authority {
    pub fn new(domains: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
        let made = dunlin_edge::dev_ca(folder.path(), &domains, SystemTime::now()).unwrap();
        Self { folder, made }
    }

    pub fn config(&self) -> TlsConfig {
        TlsConfig {
            certificates: self.made.certificates.clone(),
            ..TlsConfig::default()
        }
    }

    pub fn tls(&self) -> Arc<Tls> {
        Arc::new(Tls::load(&self.config()).unwrap())
    }

    pub fn client(&self, alpn: &[&str], identity: Option<&Certificate>) -> rustls::ClientConfig {
        self.client_of(rustls::DEFAULT_VERSIONS, alpn, identity)
    }

    pub fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
        identity: Option<&Certificate>,
    ) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.made.authority).unwrap())
            .unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.chain)
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap())
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// Shakes hands as a client that asks for `name`.
pub async fn tls<T>(io: T, config: rustls::ClientConfig, name: &str) -> std::io::Result<TlsStream<T>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, io).await
}

/// No TLS, for tests of other things.
pub fn plain() -> Config {
    let mut config = Config::default();
    config.tls.starttls = StartTls::Off;
    config
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
