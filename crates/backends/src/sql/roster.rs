//! Rosters as rows: one for the roster and one per contact, the removed ones marked.

use stanza::Jid;
use store::{Ask, Contact, Error, Result, Roster, Subscription};

/// A roster's row beside one of its contacts: roster version, oldest, address, version, removed, name, groups, subscription,
/// asks, approved, pending in, in roster.
pub(crate) type ContactRow = (
    i64,
    i64,
    Option<String>,
    Option<i64>,
    Option<bool>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<bool>,
    Option<bool>,
    Option<Vec<u8>>,
    Option<bool>,
);

/// The roster that the rows are.
pub(crate) fn roster(rows: Vec<ContactRow>) -> Result<Roster> {
    let mut roster = Roster::default();
    for row in rows {
        add(&mut roster, row)?;
    }
    roster.forget();
    Ok(roster)
}

fn add(roster: &mut Roster, row: ContactRow) -> Result<()> {
    let (version, oldest, jid, changed, removed, name, groups, subscription, asks, approved, pending_in, in_roster) =
        row;
    roster.version = version.cast_unsigned();
    roster.oldest = oldest.cast_unsigned();
    let Some(jid) = jid else { return Ok(()) };
    let jid = Jid::parse(&jid).map_err(|error| Error::Corrupt(format!("contact of a roster: {error}")))?;
    let changed = changed.unwrap_or_default().cast_unsigned();
    if removed.unwrap_or_default() {
        roster.removed.push((jid, changed));
        return Ok(());
    }
    let contact = Contact {
        name,
        groups: groups_of(groups.as_deref().unwrap_or("[]"))?,
        subscription: subscription_of(subscription.as_deref().unwrap_or_default())?,
        ask: if asks.unwrap_or_default() {
            Ask::Subscribe
        } else {
            Ask::None
        },
        approved: approved.unwrap_or_default(),
        pending_in,
        in_roster: in_roster.unwrap_or_default(),
        version: changed,
        jid: jid.clone(),
    };
    roster.contacts.insert(jid, contact);
    Ok(())
}

/// Groups as a JSON array of texts.
pub(crate) fn groups_text(groups: &[String]) -> String {
    serde_json::Value::from(groups).to_string()
}

fn groups_of(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("groups of a contact: {error}")))
}

fn subscription_of(text: &str) -> Result<Subscription> {
    let all = [
        Subscription::None,
        Subscription::To,
        Subscription::From,
        Subscription::Both,
    ];
    let found = all.into_iter().find(|subscription| subscription.name() == text);
    found.ok_or_else(|| Error::Corrupt("subscription of a contact".into()))
}
