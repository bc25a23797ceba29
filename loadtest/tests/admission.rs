//! Who may join a coordinator: who has its token and trusts its certificate, and nobody else.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use dunlin_loadtest::admission::{Gate, Pass, Token};
use dunlin_loadtest::join::Member;
use dunlin_loadtest::remote::{Job, Reception, Remote};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const SCENARIO: &str = "name = 'a'\npurpose = 'b'\nusers = 2\n[[phase]]\nname = 'x'\nfor = '1s'";

/// The name in the coordinator's certificate; it is joined by an address.
const NAME: &str = "coordinator.example";

/// Files as an operator has them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let authority = || {
            let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (good, other, key) = (authority(), authority(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::new(vec![NAME.to_owned()])
            .unwrap()
            .signed_by(&key, &good)
            .unwrap();
        files.write("authority", &good.pem());
        files.write("other-authority", &other.pem());
        files.write("certificate", &certificate.pem());
        files.write("key", &key.serialize_pem());
        files.write("token", "0123456789abcdef\n");
        files.write("other-token", "0123456789abcdeF\n");
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn token(&self, name: &str) -> Token {
        Token::find(Some(&self.0.path().join(name))).unwrap().unwrap()
    }

    fn gate(&self) -> Gate {
        let path = |name| self.0.path().join(name);
        Gate {
            token: Some(self.token("token")),
            identity: Some(Gate::identity(&path("certificate"), &path("key")).unwrap()),
        }
    }

    fn pass(&self, token: Option<&str>, authority: Option<&str>, name: Option<&str>) -> Pass {
        Pass {
            token: token.map(|name| self.token(name)),
            authority: authority.map(|name| Pass::authority(&self.0.path().join(name)).unwrap()),
            name: name.map(str::to_owned),
        }
    }
}

/// Whether a worker is let in; why not.
async fn join(gate: Gate, pass: Pass) -> Result<(), String> {
    let reception = Reception::open("127.0.0.1:0".parse().unwrap(), gate).await.unwrap();
    let address = reception.address().unwrap().to_string();
    let job = Job {
        scenario: SCENARIO.to_owned(),
        run: 1,
        workers: 1,
    };
    let gathered = tokio::spawn(async move { Remote::gather(reception, &job).await });
    let member = Member {
        name: "a".to_owned(),
        threads: 1,
        owns_targets: false,
        pass,
    };
    let mut work = tokio::spawn(async move { member.work(&address).await });
    tokio::select! {
        // It is told what to do; its coordinator goes.
        gathered = gathered => {
            drop(gathered.unwrap().map_err(|error| error.to_string())?);
            work.abort();
            Ok(())
        }
        worked = &mut work => Err(worked.unwrap().unwrap_err().to_string()),
    }
}

#[tokio::test]
async fn who_has_the_token_and_trusts_the_certificate_is_let_in() {
    let files = Files::new();
    let pass = files.pass(Some("token"), Some("authority"), Some(NAME));
    assert_eq!(join(files.gate(), pass).await, Ok(()));
    // All on one machine, nothing is needed, and either does alone.
    assert_eq!(join(Gate::default(), Pass::default()).await, Ok(()));
    let token_alone = Gate {
        identity: None,
        ..files.gate()
    };
    assert_eq!(join(token_alone, files.pass(Some("token"), None, None)).await, Ok(()));
    let tls_alone = Gate {
        token: None,
        ..files.gate()
    };
    assert_eq!(
        join(tls_alone, files.pass(None, Some("authority"), Some(NAME))).await,
        Ok(())
    );
}

#[tokio::test]
async fn nobody_else_is() {
    let files = Files::new();
    let wrong_token = "the worker does not have the coordinator's token";
    for (token, authority, name, why) in [
        (Some("other-token"), Some("authority"), Some(NAME), wrong_token),
        (None, Some("authority"), Some(NAME), wrong_token),
        (Some("token"), Some("other-authority"), Some(NAME), "certificate"),
        (Some("token"), Some("authority"), None, "certificate"),
        (
            Some("token"),
            None,
            None,
            "if it speaks TLS, --tls-authority is missing",
        ),
    ] {
        let refused = join(files.gate(), files.pass(token, authority, name))
            .await
            .unwrap_err();
        assert!(refused.contains(why), "{token:?} {authority:?} {name:?}: {refused}");
    }
}
