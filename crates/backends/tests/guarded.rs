//! The stores over TLS, with passwords: the right CA lets in, the wrong one is refused with words that say so.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

use std::path::PathBuf;

use dunlin_backends::{etcd, postgres, redis};
use fixture::services::{self, Papers};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use store::{Members, Presence};
use tempfile::TempDir;
use topology::Slot;

const PASSWORD: &str = "orchard-wall";

/// A CA, a server's papers by it, a client's, and a CA that has nothing to do with them.
struct Office {
    papers: Papers,
    folder: TempDir,
}

impl Office {
    fn open() -> Self {
        let (ours, theirs) = (authority(), authority());
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = signed(&ours);
        let (own, own_key) = signed(&ours);
        for (name, text) in [
            ("ca.pem", ours.pem()),
            ("other.pem", theirs.pem()),
            ("client.pem", own),
            ("client.key", own_key),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let papers = Papers {
            ca: ours.pem(),
            certificate,
            key,
        };
        Self { papers, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(authority: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// An error with all that led to it.
fn told(error: &store::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn names_the_certificate(error: &store::Error) {
    let told = told(error);
    assert!(told.to_lowercase().contains("certificate"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls() {
    let office = Office::open();
    let server = services::Redis::start_guarded(&office.papers, PASSWORD).unwrap();
    let with = |ca: &str, password: &str| redis::Config {
        urls: vec![format!("rediss://{}", server.address()).into()],
        ca: Some(office.file(ca)),
        password: Some(password.into()),
        ..redis::Config::default()
    };
    let load = async |config: &redis::Config| redis::Redis::connect(config).unwrap().load(Slot::new(7).unwrap()).await;
    load(&with("ca.pem", PASSWORD)).await.unwrap();
    names_the_certificate(&load(&with("other.pem", PASSWORD)).await.unwrap_err());
    let refused = told(&load(&with("ca.pem", "guess")).await.unwrap_err());
    assert!(refused.contains("password") || refused.contains("uthenti"), "{refused}");
    let missing = redis::Redis::connect(&with("nowhere.pem", PASSWORD)).err().unwrap();
    assert!(missing.to_string().contains("nowhere.pem"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_over_tls() {
    let office = Office::open();
    let server = services::Postgres::start_guarded(&office.papers, PASSWORD).unwrap();
    let with = |ca: &str, password: &str| postgres::Config {
        url: format!(
            "postgres://dunlin@{}/postgres?sslmode=verify-full&sslrootcert={}",
            server.address(),
            office.file(ca).display()
        )
        .into(),
        password: Some(password.into()),
        ..postgres::Config::default()
    };
    let migrate = async |config: &postgres::Config| postgres::Postgres::connect(config).unwrap().migrate().await;
    migrate(&with("ca.pem", PASSWORD)).await.unwrap();
    names_the_certificate(&migrate(&with("other.pem", PASSWORD)).await.unwrap_err());
    let refused = told(&migrate(&with("ca.pem", "guess")).await.unwrap_err());
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_over_tls() {
    let office = Office::open();
    let server = services::Etcd::start_guarded(&office.papers).unwrap();
    let with = |ca: &str| etcd::Config {
        endpoints: vec![format!("https://{}", server.address())],
        ca: Some(office.file(ca)),
        certificate: Some(office.file("client.pem")),
        key: Some(office.file("client.key")),
        ..etcd::Config::default()
    };
    let secret = async |config: &etcd::Config| etcd::Etcd::connect(config).await?.members().secret().await;
    fixture::eventually("an answer", async || secret(&with("ca.pem")).await.is_ok()).await;
    names_the_certificate(&secret(&with("other.pem")).await.unwrap_err());
}
