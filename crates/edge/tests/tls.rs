//! TLS with real handshakes: certificates by name and exchanged, channel bindings, client certificates, and what is not TLS.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::sync::Arc;

use dunlin_edge::{Certificate, ClientAuthority, Config, Tls, TlsConfig, TlsError};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use support::{Authority, Bench, Client, DOMAIN, bench, seconds, tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// A direct TLS connection over memory.
async fn direct(bench: &Bench, config: rustls::ClientConfig, name: &str) -> std::io::Result<TlsStream<DuplexStream>> {
    let (near, far) = tokio::io::duplex(65_536);
    bench.edge.serve(far, None, true);
    tls(near, config, name).await
}

fn served(stream: &TlsStream<DuplexStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_client_upgrades_and_logs_in() {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let mut client = bench.connect(65_536);
    client.starttls().await;
    let mut client = Client::new(tls(client.io, authority.client(&[], None), DOMAIN).await.unwrap());
    client.login("juliet", "balcony").await;
    client.say("<message/></stream:stream>").await;
    client.expect("</stream:stream>").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(
        bench.router.until(|seen| !seen.closed.is_empty()).await.submitted.len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn without_tls_nobody_logs_in() {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let mut client = bench.connect(65_536);
    client.open().await;
    client.auth("juliet", "right").await;
    client.rest().await;
    assert!(bench.router.seen.borrow().sasl.is_empty());
}

#[tokio::test(start_paused = true)]
async fn direct_tls_takes_its_protocol_or_none() {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    for (alpn, agreed) in [(&["xmpp-client"][..], Some(&b"xmpp-client"[..])), (&[], None)] {
        let stream = direct(&bench, authority.client(alpn, None), DOMAIN).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        Client::new(stream).login("juliet", "balcony").await;
    }
    assert!(direct(&bench, authority.client(&["h2"], None), DOMAIN).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_certificate_follows_the_name() {
    let authority = Authority::new(&[DOMAIN, "montague.example"]);
    let bench = bench(Config::default(), Some(authority.tls()));
    for name in [DOMAIN, "montague.example", "rooms.montague.example"] {
        direct(&bench, authority.client(&[], None), name).await.expect(name); // the client checks the name
    }
    assert!(
        direct(&bench, authority.client(&[], None), "verona.example")
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn certificates_are_exchanged_while_clients_are_connected() {
    let (old, new) = (Authority::new(&[DOMAIN]), Authority::new(&[DOMAIN]));
    let serving = old.tls();
    let bench = bench(Config::default(), Some(serving.clone()));
    let stream = direct(&bench, old.client(&[], None), DOMAIN).await.unwrap();
    let mut client = Client::new(stream);
    serving.reload(&new.config()).unwrap();
    assert!(direct(&bench, old.client(&[], None), DOMAIN).await.is_err());
    direct(&bench, new.client(&[], None), DOMAIN).await.unwrap();
    client.login("juliet", "balcony").await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_changes_nothing() {
    let authority = Authority::new(&[DOMAIN, "montague.example"]);
    let serving = authority.tls();
    let bench = bench(Config::default(), Some(serving.clone()));
    let good = &authority.made.certificates;
    let garbage = authority.folder.path().join("garbage.pem");
    fs::write(&garbage, "garbage").unwrap();
    let with = |chain: &std::path::Path, key: &std::path::Path| Certificate {
        chain: chain.to_owned(),
        key: key.to_owned(),
        hosts: Default::default(),
    };
    for bad in [
        vec![],
        vec![
            good[0].clone(),
            with(&authority.folder.path().join("none.pem"), &good[0].key),
        ],
        vec![good[0].clone(), with(&garbage, &good[0].key)],
        vec![good[0].clone(), with(&good[0].chain, &garbage)],
        vec![with(&good[0].chain, &good[1].key)],
    ] {
        let config = TlsConfig {
            certificates: bad.clone(),
            ..TlsConfig::default()
        };
        assert!(serving.reload(&config).is_err(), "{bad:?}");
        direct(&bench, authority.client(&[], None), DOMAIN).await.unwrap();
    }
    let wrong_key = TlsConfig {
        certificates: vec![with(&good[0].chain, &good[1].key)],
        ..TlsConfig::default()
    };
    assert!(matches!(Tls::load(&wrong_key), Err(TlsError::Key { .. })));
}

#[tokio::test(start_paused = true)]
async fn channel_bindings_are_the_same_on_both_sides() {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let stream = direct(&bench, authority.client(&[], None), DOMAIN).await.unwrap();
    let mine = stream
        .get_ref()
        .1
        .export_keying_material([0_u8; 32], b"EXPORTER-Channel-Binding", None)
        .unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &served(&stream));
    Client::new(stream).login("juliet", "balcony").await;
    let facts = bench.router.seen.borrow().binds[0].peer.tls.clone().unwrap();
    assert_eq!((facts.version.as_str(), facts.exporter), ("TLSv1.3", Some(mine)));
    assert_eq!(facts.server_end_point.as_deref(), Some(hash.as_ref()));
}

#[tokio::test(start_paused = true)]
async fn on_tls_1_2_the_exporter_needs_the_extended_master_secret() {
    let authority = Authority::new(&[DOMAIN]);
    for (required, exporter) in [(false, false), (true, true)] {
        let config = TlsConfig {
            require_extended_master_secret: required,
            ..authority.config()
        };
        let bench = bench(Config::default(), Some(Arc::new(Tls::load(&config).unwrap())));
        let older = authority.client_of(&[&rustls::version::TLS12], &[], None);
        let stream = direct(&bench, older, DOMAIN).await.unwrap();
        Client::new(stream).login("juliet", "balcony").await;
        let facts = bench.router.seen.borrow().binds[0].peer.tls.clone().unwrap();
        assert_eq!(
            (facts.version.as_str(), facts.exporter.is_some()),
            ("TLSv1.2", exporter)
        );
        assert!(facts.server_end_point.is_some());
    }
}

/// A client certificate for an address, signed by a CA made here; returns both.
fn client_certificate(folder: &std::path::Path, address: &str) -> (std::path::PathBuf, Certificate) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_file = folder.join("clients.pem");
    fs::write(&ca_file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    let name = SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], address.into()));
    params.subject_alt_names = vec![name];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let signed = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let (chain, key_file) = (folder.join("juliet.pem"), folder.join("juliet.key"));
    fs::write(&chain, signed.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    (
        ca_file,
        Certificate {
            chain,
            key: key_file,
            hosts: Default::default(),
        },
    )
}

#[tokio::test(start_paused = true)]
async fn client_certificates_count_only_when_a_ca_vouches_for_them() {
    let authority = Authority::new(&[DOMAIN]);
    let (known, unknown) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ca, good) = client_certificate(known.path(), "juliet@capulet.example");
    let (_, bad) = client_certificate(unknown.path(), "juliet@capulet.example");
    for (required, identity, addresses) in [
        (false, Some(&good), Some(&["juliet@capulet.example"][..])),
        (false, Some(&bad), Some(&[])),
        (false, None, Some(&[])),
        (true, Some(&good), Some(&["juliet@capulet.example"])),
        (true, Some(&bad), None),
        (true, None, None),
    ] {
        let clients = Some(ClientAuthority {
            authorities: vec![ca.clone()],
            required,
        });
        let config = TlsConfig {
            clients,
            ..authority.config()
        };
        let bench = bench(Config::default(), Some(Arc::new(Tls::load(&config).unwrap())));
        let stream = direct(&bench, authority.client(&[], identity), DOMAIN).await.unwrap();
        let mut client = Client::new(stream);
        let Some(addresses) = addresses else {
            let _ = client.io.write_all(b" ").await;
            assert_eq!(client.rest().await, "", "TLS 1.3 refuses after the client's part");
            continue;
        };
        client.login("juliet", "balcony").await;
        let facts = bench.router.seen.borrow().binds[0].peer.tls.clone().unwrap();
        assert_eq!(facts.certificate_addresses, addresses, "required: {required}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_instead_of_a_handshake_ends_in_time() {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let start = Instant::now();
    let (mut near, far) = tokio::io::duplex(64);
    bench.edge.serve(far, None, true);
    assert_eq!(near.read(&mut [0; 64]).await.unwrap(), 0);
    assert_eq!(start.elapsed(), seconds(10));
}
