//! Who may register at a virtual host, under which names and with which passwords (XEP-0077): settings, and the rules that follow
//! from them.

use engine::MayInvite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanza::{Bare, Condition, Jid, StanzaError};

/// Who may register at a virtual host, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registration {
    /// Whether clients may ask for accounts in-band (XEP-0077): `closed`, `invite` (with an invitation, XEP-0445) or
    /// `open` (anybody, also with an invitation). Only over TLS, unless `plain_without_tls`.
    pub mode: Mode,
    /// What people read who are to choose a name and a password.
    pub instructions: String,
    /// Names that nobody may register, unless an invitation is for just that name. Those of administrators (`hosts.admins`, of any host) are
    /// reserved beside these.
    pub reserved: Vec<String>,
    /// Shortest name, in characters.
    pub name_shortest: usize,
    /// Longest name, in characters.
    pub name_longest: usize,
    /// Shortest password, in characters; for changed passwords, too.
    pub password_shortest: usize,
    /// Most accounts that one client address (an IPv6 /64 counts as one) may register within `window_s`, at each router. 0: no limit.
    pub per_address: u32,
    /// Most accounts that may be registered within `window_s`, at each router. 0: no limit.
    pub per_host: u32,
    /// The time over which accounts are counted, in seconds.
    pub window_s: u64,
    /// Who may make invitations from a client (XEP-0401), where `mode` takes them: `admins` (of this host) or `users` (of this host, and its
    /// administrators among them).
    pub inviters: Inviters,
    /// How long such an invitation is good, in seconds.
    pub invitation_s: u64,
    /// Most of them that one user may have open at a time; administrators have as many as they like. 0: no limit.
    pub invitations_open: u32,
    /// Most of them that one user may make within `window_s`, those to a name that is taken included; administrators make as many as they
    /// like. 0: no limit.
    pub invitations_made: u32,
    /// Where invitations lead people who have no client yet, such as `https://example.com/invite/#{token}`. Unset: nowhere.
    pub landing_url: Option<String>,
}

/// Who may make invitations from a client.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Inviters {
    /// Those who administer the host.
    #[default]
    Admins,
    /// All its users.
    Users,
}

/// Whether clients may ask for accounts.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nobody may.
    #[default]
    Closed,
    /// Those who have an invitation.
    Invite,
    /// Everybody.
    Open,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            mode: Mode::Closed,
            instructions: "Choose a username and a password.".to_owned(),
            reserved: RESERVED.map(str::to_owned).to_vec(),
            name_shortest: 1,
            name_longest: 64,
            password_shortest: 8,
            per_address: 3,
            per_host: 100,
            window_s: 3_600,
            inviters: Inviters::Admins,
            invitation_s: 604_800,
            invitations_open: 10,
            invitations_made: 10,
            landing_url: None,
        }
    }
}

impl Registration {
    /// Whether clients may ask for accounts at all.
    pub fn is_offered(&self) -> bool {
        self.mode != Mode::Closed
    }

    /// Who may make invitations from a client.
    pub fn may_invite(&self) -> MayInvite {
        match (self.is_offered(), self.inviters) {
            (false, _) => MayInvite::Nobody,
            (true, Inviters::Admins) => MayInvite::Admins,
            (true, Inviters::Users) => MayInvite::Users,
        }
    }

    /// The address that somebody has at `domain` who calls itself `username` (RFC 7622, 3.3), if that may be had. `invited` is the name
    /// that its invitation is for.
    pub(crate) fn account(&self, username: &str, domain: &str, invited: Option<&str>) -> Result<Bare, StanzaError> {
        let jid = Jid::from_parts(Some(username), domain, None);
        let jid = jid.map_err(|_| unacceptable("no account can have this name"))?.bare();
        let name = jid.local().unwrap_or_default();
        let length = name.chars().count();
        match invited {
            Some(invited) if invited == name => return Ok(jid),
            Some(_) => return Err(unacceptable("the invitation is for another name")),
            None => {}
        }
        if self.is_reserved(name) {
            return Err(unacceptable("this name is reserved"));
        }
        if length < self.name_shortest {
            return Err(unacceptable("the name is too short"));
        }
        if length > self.name_longest {
            return Err(unacceptable("the name is too long"));
        }
        Ok(jid)
    }

    /// Whether a password is long enough.
    pub(crate) fn check_password(&self, password: &str) -> Result<(), StanzaError> {
        match password.chars().count() < self.password_shortest {
            true => Err(unacceptable("the password is too short")),
            false => Ok(()),
        }
    }

    /// Compared as names are: in prepared form.
    fn is_reserved(&self, name: &str) -> bool {
        let prepared = |reserved: &String| Jid::from_parts(Some(reserved), "reserved", None);
        let mut reserved = self.reserved.iter().filter_map(|reserved| prepared(reserved).ok());
        reserved.any(|reserved| reserved.local() == Some(name))
    }
}

/// XEP-0077, 3.1: what was given does not do.
pub(crate) fn unacceptable(text: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}

/// Names of those who run a service, by which others would be taken in (RFC 2142 among them).
const RESERVED: [&str; 20] = [
    "abuse",
    "admin",
    "administrator",
    "daemon",
    "help",
    "hostmaster",
    "info",
    "moderator",
    "noc",
    "nobody",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "support",
    "system",
    "sysadmin",
    "webmaster",
    "xmpp",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prepared_and_judged() {
        let rules = Registration {
            reserved: vec!["Admin".into()],
            name_shortest: 3,
            name_longest: 8,
            ..Registration::default()
        };
        let cases: &[(&str, Option<&str>, Result<&str, &str>)] = &[
            ("juliet", None, Ok("juliet@a.example")),
            ("JULIET", None, Ok("juliet@a.example")),
            ("\u{fc}mit", None, Ok("\u{fc}mit@a.example")),
            ("jul", None, Ok("jul@a.example")),
            ("ju", None, Err("the name is too short")),
            ("juliets", None, Ok("juliets@a.example")),
            ("juliet-capulet", None, Err("the name is too long")),
            ("admin", None, Err("this name is reserved")),
            ("ADMIN", None, Err("this name is reserved")),
            ("administrator", None, Err("the name is too long")),
            ("admin", Some("admin"), Ok("admin@a.example")),
            ("ju", Some("ju"), Ok("ju@a.example")),
            ("romeo", Some("juliet"), Err("the invitation is for another name")),
            ("", None, Err("no account can have this name")),
            ("a@b", None, Err("no account can have this name")),
            ("a/b", None, Err("no account can have this name")),
            ("a b", None, Err("no account can have this name")),
            ("<ab>", None, Err("no account can have this name")),
        ];
        for (username, invited, expected) in cases {
            let given = rules.account(username, "a.example", *invited);
            let given = given.map(|jid| jid.as_str().to_owned());
            let given = given.map_err(|error| error.text.unwrap_or_default());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(given, expected, "{username}");
        }
    }

    #[test]
    fn passwords_have_a_length() {
        let rules = Registration::default();
        for (password, is_good) in [
            ("", false),
            ("1234567", false),
            ("12345678", true),
            ("\u{fc}\u{fc}", false),
        ] {
            assert_eq!(rules.check_password(password).is_ok(), is_good, "{password}");
        }
    }

    #[test]
    fn every_reserved_name_is_a_name() {
        let rules = Registration::default();
        assert!(RESERVED.iter().all(|name| rules.is_reserved(name)));
        assert!(!rules.is_reserved("juliet"));
    }
}
