//! Messages that their authors took back (XEP-0424): a tombstone takes the place of each in the archive.

use engine::Retraction;
use stanza::{Message, Stanza, ns};
use store::{Entry, PageRequest};

use crate::account::Account;
use crate::archive::{ARCHIVE, away};
use crate::core::Core;
use crate::mirror::canonical;

/// Messages read at a time, and their bytes.
const PAGE: u32 = 100;
const PAGE_BYTES: usize = 262_144;
/// So many bytes are looked through at most: the account waits.
const BYTES: usize = 4_194_304;

/// Looks for the message and replaces it. A store that is away leaves it as it is: the retraction stands in the archive all the same.
pub(crate) async fn bury(core: &Core, account: &Account, retraction: &Retraction) {
    if let Err(error) = replace(core, account, retraction).await {
        away("retract", &error);
    }
}

async fn replace(core: &Core, account: &Account, retraction: &Retraction) -> store::Result<()> {
    let archive = &core.stores.archive;
    let (mut left, mut bytes) = (core.config.retractable_messages, BYTES);
    let mut request = PageRequest {
        with: Some(retraction.with.jid().clone()),
        backwards: true,
        bytes: PAGE_BYTES,
        ..PageRequest::default()
    };
    while left > 0 && bytes > 0 {
        request.limit = left.min(PAGE);
        let page = archive.page(account.jid(), ARCHIVE, &request).await?;
        let meant = page.entries.iter().rev().find_map(|entry| meant(entry, retraction));
        if let Some((id, message)) = meant {
            let stanza = canonical(&message.into());
            return archive.replace(account.jid(), ARCHIVE, id, stanza).await.map(|_| ());
        }
        match page.entries.first() {
            Some(first) if !page.complete => request.before = Some(first.id),
            _ => return Ok(()),
        }
        left -= request.limit;
        bytes = page
            .entries
            .iter()
            .fold(bytes, |left, entry| left.saturating_sub(entry.stanza.len()));
    }
    Ok(())
}

/// What is left of the message in `entry`, if that is the one.
fn meant(entry: &Entry, retraction: &Retraction) -> Option<(store::EntryId, Message)> {
    let Ok(Stanza::Message(mut message)) = Stanza::parse(&entry.stanza) else {
        return None;
    };
    let head = &message.head;
    let is_meant = head.id.as_deref() == Some(retraction.id.as_str())
        && head.from.as_ref().is_some_and(|from| from.bare() == retraction.author);
    if !is_meant
        || message
            .payload
            .has(retraction.tombstone.ns(), retraction.tombstone.name())
    {
        return None;
    }
    // Its ids are not what it said.
    let ids = message.payload.without(|child| child.ns() != ns::STANZA_ID);
    let ids: stanza::Payload = ids.children().iter().filter_map(|child| ids.element(child)).collect();
    message.payload = ids.push(&retraction.tombstone);
    Some((entry.id, message))
}
