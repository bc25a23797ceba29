//! What is common to the invitations of operators and of users: what must be so before one is made, and the link that comes of it.

use stanza::{Bare, Timestamp};
use store::Stores;

use crate::invite::Invite;
use crate::invites;

/// Why an invitation is not made.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// Nobody would be introduced.
    #[error("there is no account {0}")]
    NoContact(Bare),
    /// The name is taken.
    #[error("there is an account {0} already")]
    Taken(Bare),
    /// The name is kept for somebody else.
    #[error("another invitation is for {0}; take it back first")]
    Kept(Bare),
    /// It could not be found out.
    #[error("checking an invitation")]
    Away(#[from] store::Error),
}

/// Checks that an invitation to `host` is good for something at `now`.
///
/// # Errors
/// When it is not.
pub async fn check_invite(stores: &Stores, host: &Bare, invite: &Invite, now: Timestamp) -> Result<(), NotIssued> {
    if let Some(contact) = &invite.contact
        && stores.accounts.get(contact).await?.is_none()
    {
        return Err(NotIssued::NoContact(contact.clone()));
    }
    let user = invite.user.as_ref();
    let Some(jid) = user.and_then(|user| invites::account(host, user)) else {
        return Ok(());
    };
    if stores.accounts.get(&jid).await?.is_some() {
        return Err(NotIssued::Taken(jid));
    }
    match invites::is_reserved(&*stores.items, host, &jid, None, now).await? {
        true => Err(NotIssued::Kept(jid)),
        false => Ok(()),
    }
}

/// The link for clients: to register as `user`, to become a contact of somebody, or to register by any name (XEP-0401, 5.1 and 5.4;
/// XEP-0445, 2).
pub fn invite_uri(host: &Bare, user: Option<&str>, contact: Option<&Bare>, token: &str) -> String {
    match (user, contact) {
        (Some(user), _) => format!("xmpp:{}@{host}?register;preauth={token}", escape(user)),
        (None, Some(contact)) => {
            let name = escape(contact.local().unwrap_or_default());
            format!("xmpp:{name}@{}?roster;preauth={token};ibr=y", contact.domain())
        }
        (None, None) => format!("xmpp:{host}?register;preauth={token}"),
    }
}

/// The localpart of an address in a URI (RFC 5122, 2.2; RFC 3986, 2.1).
fn escape(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_as_the_xeps_show_them() {
        let host = Bare::parse("example.com").unwrap();
        let romeo = Bare::parse("romeo@example.com").unwrap();
        for (user, contact, expected) in [
            (Some("juliet"), None, "xmpp:juliet@example.com?register;preauth=TOKEN"),
            (None, None, "xmpp:example.com?register;preauth=TOKEN"),
            (None, Some(&romeo), "xmpp:romeo@example.com?roster;preauth=TOKEN;ibr=y"),
            (
                Some("juliet"),
                Some(&romeo),
                "xmpp:juliet@example.com?register;preauth=TOKEN",
            ),
            (
                Some("\u{fc}?;"),
                None,
                "xmpp:%C3%BC%3F%3B@example.com?register;preauth=TOKEN",
            ),
        ] {
            assert_eq!(invite_uri(&host, user, contact, "TOKEN"), expected);
        }
    }
}
