//! Asking: a router answers a SASL step.

use stanza::{Bare, SaslReply, StreamCondition};

use crate::config::Config;
use crate::feature::sasl;
use crate::line::Line;
use crate::login::Login;
use crate::state::{Asking, Challenged, Opening, State, Step};
use crate::step::rejection::reject;

impl Asking {
    /// After success a new stream begins in the old one's place (RFC 6120, 6.4.6), with the limits of clients that are known.
    pub(crate) fn answer(self, line: &mut Line, reply: SaslReply) -> Step {
        let mut login = self.login;
        let next = match reply {
            SaslReply::Failure(failure) => return reject(login, line, failure),
            SaslReply::Challenge { exchange, data } => {
                line.write(&sasl::challenge(&data));
                State::Challenged(Challenged { login, exchange })
            }
            SaslReply::Success { account, .. } if !is_local(&login, &account, &line.config) => {
                return Err(StreamCondition::InternalServerError.into());
            }
            SaslReply::Success { account, data, grant } => {
                line.write(&sasl::success(data.as_deref()));
                line.restart();
                login.attempts = 0;
                login.account = Some((account, grant));
                State::Opening(Opening(login))
            }
        };
        Ok((next, None))
    }
}

/// Whether `account` is one of the host that the client speaks to.
fn is_local(login: &Login, account: &Bare, config: &Config) -> bool {
    login.host(config).is_some_and(|host| host.domain == account.domain())
}
