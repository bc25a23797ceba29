//! SASL steps, resource binding and what is known of a connection.

use ::bytes::Bytes;
use ::stanza::{
    BindReply, BindRequest, Exchange, Grant, Payload, Peer, ResourceRequest, SaslFailure, SaslReply, SaslRequest,
    Timestamp, TlsFacts, Token,
};

use super::address::{Malformed, bare_from, full_from, session_from, session_to};
use super::condition::{error_from, error_to};
use super::pb;
use super::sasl2::{client_from, client_to, sasl2_from, sasl2_to};
use crate::Gone;

pub(crate) fn sasl_to(call: u64, request: SaslRequest) -> pb::SaslRequest {
    use pb::sasl_request::{Respond, Start, Step};
    let step = match request {
        SaslRequest::Start {
            session,
            domain,
            mechanism,
            offered,
            bindings,
            initial,
            sasl2,
            peer,
        } => {
            let session = Some(session_to(session));
            Step::Start(Start {
                session,
                domain,
                mechanism,
                offered,
                initial,
                connection: Some(peer_to(&peer)),
                bindings,
                sasl2: sasl2.map(|sasl2| sasl2_to(*sasl2)),
            })
        }
        SaslRequest::Respond { exchange, response } => Step::Respond(Respond {
            exchange: Some(exchange_to(exchange)),
            response,
        }),
        SaslRequest::Abort { exchange } => Step::Abort(exchange_to(exchange)),
    };
    pb::SaslRequest { call, step: Some(step) }
}

pub(crate) fn sasl_from(request: pb::SaslRequest) -> Result<SaslRequest, Malformed> {
    use pb::sasl_request::Step;
    Ok(match request.step.ok_or(Malformed("SASL step"))? {
        Step::Start(start) => SaslRequest::Start {
            session: session_from(start.session)?,
            domain: start.domain,
            mechanism: start.mechanism,
            offered: start.offered,
            bindings: start.bindings,
            initial: start.initial,
            sasl2: start.sasl2.map(sasl2_from).transpose()?.map(Box::new),
            peer: peer_from(start.connection)?,
        },
        Step::Respond(respond) => SaslRequest::Respond {
            exchange: exchange_from(respond.exchange)?,
            response: respond.response,
        },
        Step::Abort(exchange) => SaslRequest::Abort {
            exchange: exchange_from(Some(exchange))?,
        },
    })
}

pub(crate) fn sasl_reply_to(call: u64, reply: SaslReply) -> pb::SaslReply {
    use pb::sasl_reply::{Challenge, Outcome, Success};
    let outcome = match reply {
        SaslReply::Challenge { exchange, data } => Outcome::Challenge(Challenge {
            exchange: Some(exchange_to(exchange)),
            data,
        }),
        SaslReply::Success {
            account,
            data,
            grant,
            token,
        } => Outcome::Success(Success {
            account: account.as_str().into(),
            data,
            grant: grant.0,
            token: token.map(token_to),
        }),
        SaslReply::Failure(failure) => Outcome::Failure(failure_to(failure).into()),
    };
    pb::SaslReply {
        call,
        outcome: Some(outcome),
    }
}

pub(crate) fn sasl_reply_from(reply: pb::SaslReply) -> Result<SaslReply, Malformed> {
    use pb::sasl_reply::{Failure, Outcome};
    Ok(match reply.outcome.ok_or(Malformed("SASL reply"))? {
        Outcome::Challenge(challenge) => SaslReply::Challenge {
            exchange: exchange_from(challenge.exchange)?,
            data: challenge.data,
        },
        Outcome::Success(success) => SaslReply::Success {
            account: bare_from(&success.account)?,
            data: success.data,
            grant: Grant(success.grant),
            token: success.token.map(token_from),
        },
        Outcome::Failure(failure) => SaslReply::Failure(failure_from(Failure::try_from(failure).unwrap_or_default())),
    })
}

fn token_to(token: Token) -> pb::sasl_reply::Token {
    pb::sasl_reply::Token {
        token: token.token,
        expiry: token.expiry.0,
    }
}

fn token_from(token: pb::sasl_reply::Token) -> Token {
    Token {
        token: token.token,
        expiry: Timestamp(token.expiry),
    }
}

pub(crate) fn bind_to(call: u64, request: BindRequest) -> pb::BindRequest {
    use pb::bind_request::Tagged;
    let (resource, tagged) = match request.resource {
        ResourceRequest::Any => (None, None),
        ResourceRequest::Named(resource) => (Some(resource), None),
        ResourceRequest::Tagged { tag, client, wishes } => {
            let (client, wishes) = (client_to(client), wishes.bytes().clone());
            (None, Some(Tagged { tag, client, wishes }))
        }
    };
    pb::BindRequest {
        call,
        session: Some(session_to(request.session)),
        account: request.account.as_str().into(),
        grant: request.grant.0,
        resource,
        connection: Some(peer_to(&request.peer)),
        tagged,
    }
}

pub(crate) fn bind_from(request: pb::BindRequest) -> Result<BindRequest, Malformed> {
    let resource = match request.tagged {
        None => request.resource.into(),
        Some(tagged) => ResourceRequest::Tagged {
            tag: tagged.tag,
            client: client_from(&tagged.client)?,
            wishes: Payload::from_canonical(tagged.wishes),
        },
    };
    Ok(BindRequest {
        session: session_from(request.session)?,
        account: bare_from(&request.account)?,
        grant: Grant(request.grant),
        resource,
        peer: peer_from(request.connection)?,
    })
}

pub(crate) fn bind_reply_to(call: u64, reply: &Result<BindReply, Gone>) -> pb::BindReply {
    use pb::bind_reply::Outcome;
    let outcome = match reply {
        Ok(BindReply::Bound(full, _)) => Outcome::Bound(full.as_str().into()),
        Ok(BindReply::Refused(error)) => Outcome::Refused(error_to(error)),
        Err(_) => Outcome::Fenced(true),
    };
    let said = match reply {
        Ok(BindReply::Bound(_, said)) => said.bytes().clone(),
        _ => Bytes::new(),
    };
    pb::BindReply {
        call,
        outcome: Some(outcome),
        said,
    }
}

pub(crate) fn bind_reply_from(reply: pb::BindReply) -> Result<Result<BindReply, Gone>, Malformed> {
    use pb::bind_reply::Outcome;
    Ok(match reply.outcome.ok_or(Malformed("bind reply"))? {
        Outcome::Bound(full) => Ok(BindReply::Bound(full_from(&full)?, Payload::from_canonical(reply.said))),
        Outcome::Refused(error) => Ok(BindReply::Refused(error_from(error))),
        Outcome::Fenced(_) => Err(Gone::Home),
    })
}

pub(crate) fn peer_to(peer: &Peer) -> pb::Connection {
    let tls = peer.tls.as_ref().map(|tls| pb::connection::Tls {
        version: tls.version.clone(),
        cipher: tls.cipher.clone(),
        exporter: tls
            .exporter
            .map(|exporter| exporter.to_vec().into())
            .unwrap_or_default(),
        server_end_point: tls.server_end_point.clone().map(Into::into),
        certificate_addresses: tls.certificate_addresses.clone(),
    });
    pb::Connection {
        address: peer.address.map(|address| address.to_string()).unwrap_or_default(),
        tls,
    }
}

pub(crate) fn peer_from(connection: Option<pb::Connection>) -> Result<Peer, Malformed> {
    let connection = connection.ok_or(Malformed("connection"))?;
    let tls = connection.tls.map(tls_from).transpose()?;
    let address = (!connection.address.is_empty())
        .then(|| connection.address.parse())
        .transpose();
    Ok(Peer {
        address: address.map_err(|_| Malformed("client address"))?,
        tls,
    })
}

fn tls_from(tls: pb::connection::Tls) -> Result<TlsFacts, Malformed> {
    let exporter = (!tls.exporter.is_empty())
        .then(|| <[u8; 32]>::try_from(&*tls.exporter))
        .transpose();
    Ok(TlsFacts {
        version: tls.version,
        cipher: tls.cipher,
        exporter: exporter.map_err(|_| Malformed("channel binding"))?,
        server_end_point: tls.server_end_point.map(|bytes| bytes.to_vec()),
        certificate_addresses: tls.certificate_addresses,
    })
}

fn exchange_to(exchange: Exchange) -> pb::Exchange {
    pb::Exchange {
        router: exchange.router,
        number: exchange.number,
    }
}

fn exchange_from(exchange: Option<pb::Exchange>) -> Result<Exchange, Malformed> {
    let exchange = exchange.ok_or(Malformed("exchange"))?;
    Ok(Exchange {
        router: exchange.router,
        number: exchange.number,
    })
}

fn failure_to(failure: SaslFailure) -> pb::sasl_reply::Failure {
    use pb::sasl_reply::Failure;
    match failure {
        SaslFailure::Aborted => Failure::Aborted,
        SaslFailure::AccountDisabled => Failure::AccountDisabled,
        SaslFailure::CredentialsExpired => Failure::CredentialsExpired,
        SaslFailure::EncryptionRequired => Failure::EncryptionRequired,
        SaslFailure::IncorrectEncoding => Failure::IncorrectEncoding,
        SaslFailure::InvalidAuthzid => Failure::InvalidAuthzid,
        SaslFailure::InvalidMechanism => Failure::InvalidMechanism,
        SaslFailure::MalformedRequest => Failure::MalformedRequest,
        SaslFailure::MechanismTooWeak => Failure::MechanismTooWeak,
        SaslFailure::NotAuthorized => Failure::NotAuthorized,
        SaslFailure::TemporaryAuthFailure => Failure::TemporaryAuthFailure,
    }
}

fn failure_from(failure: pb::sasl_reply::Failure) -> SaslFailure {
    use pb::sasl_reply::Failure;
    match failure {
        Failure::Aborted => SaslFailure::Aborted,
        Failure::AccountDisabled => SaslFailure::AccountDisabled,
        Failure::CredentialsExpired => SaslFailure::CredentialsExpired,
        Failure::EncryptionRequired => SaslFailure::EncryptionRequired,
        Failure::IncorrectEncoding => SaslFailure::IncorrectEncoding,
        Failure::InvalidAuthzid => SaslFailure::InvalidAuthzid,
        Failure::InvalidMechanism => SaslFailure::InvalidMechanism,
        Failure::MalformedRequest => SaslFailure::MalformedRequest,
        Failure::MechanismTooWeak => SaslFailure::MechanismTooWeak,
        Failure::NotAuthorized => SaslFailure::NotAuthorized,
        Failure::Unspecified | Failure::TemporaryAuthFailure => SaslFailure::TemporaryAuthFailure,
    }
}

#[cfg(test)]
mod tests {
    use ::stanza::{Bare, ClientId, Condition, FastUse, Full, Sasl2, SessionId, StanzaError, UserAgent};

    use super::*;

    fn peer() -> Peer {
        let tls = TlsFacts {
            version: "TLSv1.3".into(),
            cipher: "TLS13_AES_256_GCM_SHA384".into(),
            exporter: Some([7; 32]),
            server_end_point: Some(vec![1, 2]),
            certificate_addresses: vec!["romeo@montague.example".into()],
        };
        Peer {
            address: Some("2001:db8::1".parse().unwrap()),
            tls: Some(tls),
        }
    }

    #[test]
    fn every_sasl_step_comes_back() {
        let exchange = Exchange {
            router: "router-1".into(),
            number: 4,
        };
        let sasl2 = Sasl2 {
            agent: UserAgent {
                id: ClientId::parse("d4565fa7-4d72-4749-b3d3-740edbf87770").ok(),
                software: Some("AwesomeXMPP".into()),
                device: None,
            },
            fast: Some(FastUse {
                count: Some(7),
                invalidate: true,
            }),
            request_token: Some("HT-SHA-256-NONE".into()),
            resumes: true,
        };
        let start = |initial, peer, sasl2: Option<Sasl2>| SaslRequest::Start {
            session: SessionId(u128::MAX - 5),
            domain: "capulet.example".into(),
            mechanism: "SCRAM-SHA-256-PLUS".into(),
            offered: vec!["PLAIN".into()],
            bindings: vec!["tls-exporter".into()],
            initial,
            sasl2: sasl2.map(Box::new),
            peer,
        };
        let respond = SaslRequest::Respond {
            exchange: exchange.clone(),
            response: "r".into(),
        };
        let abort = SaslRequest::Abort { exchange };
        for request in [
            start(None, peer(), None),
            start(Some("".into()), Peer::default(), Some(Sasl2::default())),
            start(None, peer(), Some(sasl2)),
            respond,
            abort,
        ] {
            assert_eq!(sasl_from(sasl_to(1, request.clone())), Ok(request));
        }
    }

    #[test]
    fn every_sasl_reply_comes_back() {
        let exchange = Exchange {
            router: "router-1".into(),
            number: 4,
        };
        let account = Bare::parse("juliet@capulet.example").unwrap();
        let token = Token {
            token: "t".into(),
            expiry: Timestamp(7),
        };
        let success = |data, token| SaslReply::Success {
            account: account.clone(),
            data,
            grant: Grant("g".into()),
            token,
        };
        let mut replies = vec![
            SaslReply::Challenge {
                exchange,
                data: "c".into(),
            },
            success(None, None),
            success(Some("".into()), Some(token)),
        ];
        let failures = (1..=11).filter_map(|n| pb::sasl_reply::Failure::try_from(n).ok());
        replies.extend(failures.map(|failure| SaslReply::Failure(failure_from(failure))));
        assert_eq!(replies.len(), 14);
        for reply in replies {
            assert_eq!(sasl_reply_from(sasl_reply_to(1, reply.clone())), Ok(reply));
        }
    }

    #[test]
    fn every_bind_comes_back() {
        let tagged = |tag: Option<&str>, client| ResourceRequest::Tagged {
            tag: tag.map(Into::into),
            client,
            wishes: Payload::from_canonical("<enable xmlns='urn:xmpp:carbons:2'/>".into()),
        };
        let client = ClientId::parse("d4565fa7-4d72-4749-b3d3-740edbf87770").ok();
        for resource in [
            ResourceRequest::Any,
            ResourceRequest::Named("balcony".into()),
            tagged(None, None),
            tagged(Some("AwesomeXMPP"), client),
        ] {
            let request = BindRequest {
                session: SessionId(3),
                account: Bare::parse("juliet@capulet.example").unwrap(),
                grant: Grant("g".into()),
                resource,
                peer: peer(),
            };
            assert_eq!(bind_from(bind_to(1, request.clone())), Ok(request));
        }
    }

    #[test]
    fn every_bind_reply_comes_back() {
        let bound = BindReply::Bound(
            Full::parse("juliet@capulet.example/balcony").unwrap(),
            Payload::from_canonical("<metadata xmlns='urn:xmpp:mam:2'/>".into()),
        );
        let refused = BindReply::Refused(StanzaError::new(Condition::Conflict));
        for reply in [Ok(bound), Ok(refused), Err(Gone::Home)] {
            assert_eq!(bind_reply_from(bind_reply_to(1, &reply)), Ok(reply));
        }
    }
}
