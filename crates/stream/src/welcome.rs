//! What a client that authenticated under SASL2 is told in the end: one `<success/>` that holds all that came of its wishes
//! (XEP-0388, "Success").

use bytes::Bytes;
use stanza::{Jid, Token};
use xml::Element;

use crate::feature::{self, bind2, fast, sasl2};
use crate::line::Line;
use crate::login::Login;

/// What is still to be said when the client is who it says.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    /// The mechanism's last word.
    pub(crate) data: Option<Bytes>,
    pub(crate) token: Option<Token>,
    /// A session that it asked for cannot be resumed (XEP-0198, "Failed Resumption").
    pub(crate) failed: Option<Element>,
    /// What the home says of the session.
    pub(crate) said: Vec<Element>,
}

impl Welcome {
    /// The client goes on with a session: the stream is that session's from here on, so no features follow (XEP-0198, "Inline Stream
    /// Resumption").
    pub(crate) fn resumed(self, line: &mut Line, address: &Jid, resumed: Element) {
        self.write(line, address, Some(resumed));
    }

    /// A resource is bound. Says whether what was to be enabled for the session is.
    pub(crate) fn bound(
        mut self,
        line: &mut Line,
        login: &Login,
        address: &Jid,
        enabled: Option<Element>,
        is_managed: bool,
    ) {
        let said = std::mem::take(&mut self.said).into_iter().chain(enabled);
        self.write(line, address, Some(bind2::bound(said)));
        let features = feature::bound(login, &line.config, is_managed);
        line.features(features);
    }

    /// The client has yet to bind a resource or resume.
    pub(crate) fn unbound(self, line: &mut Line, login: &Login, account: &Jid) {
        self.write(line, account, None);
        let features = feature::after(login, &line.config);
        line.features(features);
    }

    /// There is no restart, so the limits of clients that are known hold from here on.
    fn write(self, line: &mut Line, authorized: &Jid, session: Option<Element>) {
        let token = self.token.as_ref().map(fast::token);
        let all = self.failed.into_iter().chain(session).chain(token);
        line.write(&sasl2::success(self.data.as_deref(), authorized).extend(all));
        line.know();
    }
}
