//! Asking: a router answers a SASL step.

use bytes::Bytes;
use stanza::{Bare, Exchange, Grant, SaslReply, StreamCondition};

use crate::config::Config;
use crate::feature::{sasl, sasl2};
use crate::line::Line;
use crate::login::{Login, Profile};
use crate::state::{Asking, Challenged, Opening, State, Step};
use crate::step::inlined;
use crate::step::rejection::reject;
use crate::welcome::Welcome;

impl Asking {
    pub(crate) fn answer(self, line: &mut Line, reply: SaslReply) -> Step {
        let mut login = self.login;
        match reply {
            SaslReply::Failure(failure) => reject(login, line, failure),
            SaslReply::Challenge { exchange, data } => Ok((challenge(login, line, exchange, &data), None)),
            SaslReply::Success { account, .. } if !is_local(&login, &account, &line.config) => {
                Err(StreamCondition::InternalServerError.into())
            }
            SaslReply::Success {
                account,
                data,
                grant,
                token,
            } => match std::mem::take(&mut login.profile) {
                Profile::Sasl => Ok((restart(login, line, (account, grant), data), None)),
                Profile::Sasl2(asked) => {
                    let failed = None;
                    let welcome = Welcome {
                        data,
                        token,
                        failed,
                        said: Vec::new(),
                    };
                    inlined::begin(login, line, (account, grant), welcome, asked)
                }
            },
        }
    }
}

fn challenge(login: Box<Login>, line: &mut Line, exchange: Exchange, data: &[u8]) -> State {
    line.write(&match login.profile {
        Profile::Sasl => sasl::challenge(data),
        Profile::Sasl2(_) => sasl2::challenge(data),
    });
    State::Challenged(Challenged { login, exchange })
}

/// After success a new stream begins in the old one's place (RFC 6120, 6.4.6), with the limits of clients that are known.
fn restart(mut login: Box<Login>, line: &mut Line, known: (Bare, Grant), data: Option<Bytes>) -> State {
    line.write(&sasl::success(data.as_deref()));
    line.restart();
    login.attempts = 0;
    login.account = Some(known);
    State::Opening(Opening(login))
}

/// Whether `account` is one of the host that the client speaks to.
fn is_local(login: &Login, account: &Bare, config: &Config) -> bool {
    login.host(config).is_some_and(|host| host.domain == account.domain())
}
