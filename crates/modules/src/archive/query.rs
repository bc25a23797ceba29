//! Reading the archive (XEP-0313, 4): the page that was asked for, message by message, then where it ends; and what the archive spans.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    Answer, At, Bare, BindCx, Bound, Condition, Cx, Effect, Effects, Element, Head, Hooks, Malformed, Message,
    MessageType, Reply, Request, SessionChange, Stanza, StanzaError, ns, request,
};
use stanza::rsm::Answered;
use stanza::{ArchiveId, delay, forward};
use store::{Entry, Page, PageRequest, Stores};

use super::config::{ArchiveConfig, LOG, READS};
use super::filter::{self, Filter};

/// Messages indexed at a time.
const INDEXED: u32 = 50;
/// Messages looked at in one step, and steps in one request, when none is found that stays.
const STEP: u32 = 100;
const STEPS: usize = 100;

/// `<query xmlns='urn:xmpp:mam:2'/>` of type set.
struct Query(Element);

impl Request for Query {
    const NS: &'static str = ns::MAM;
    const NAME: &'static str = "query";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self(element.clone()))
    }
}

request! {
    /// The same of type get: which fields are there?
    Fields = "query" in ns::MAM;
    /// `<metadata xmlns='urn:xmpp:mam:2'/>`
    Metadata = "metadata" in ns::MAM;
}

pub(super) fn install(config: &Arc<ArchiveConfig>, on: &mut Hooks) {
    let queried = config.clone();
    on.set(At::Account, move |cx, query| {
        let config = queried.clone();
        async move { read(&config, cx, query).await }
    });
    on.get(At::Account, |cx: Cx, _: Fields| {
        let fields = Element::new(ns::MAM, "query").push(filter::form());
        std::future::ready(if cx.is_owner() {
            Ok(fields.into())
        } else {
            Err(Condition::Forbidden.into())
        })
    });
    on.get(At::Account, async |cx: Cx, _: Metadata| match cx.is_owner() {
        true => Ok(metadata(&Reader::of(&cx)).await.map_err(away)?.into()),
        false => Err(Condition::Forbidden.into()),
    });
    on.bind(bound);
}

/// XEP-0386, 3.2: the client is told what there is to read, and so gets nothing of it as offline messages.
async fn bound(cx: BindCx) -> store::Result<Bound> {
    let reader = Reader {
        account: cx.account.jid.clone(),
        stores: cx.stores,
    };
    let mut effects = Effects::default();
    effects.push(Effect::Session(cx.session, SessionChange::Flag(READS, true)));
    Ok(Bound {
        said: Some(metadata(&reader).await?),
        effects,
    })
}

/// Whose archive is read, and where.
struct Reader {
    account: Bare,
    stores: Stores,
}

impl Reader {
    fn of(cx: &Cx) -> Self {
        Self {
            account: cx.account.jid.clone(),
            stores: cx.stores.clone(),
        }
    }
}

async fn read(config: &ArchiveConfig, cx: Cx, Query(query): Query) -> Answer {
    let (true, Some(session)) = (cx.is_owner(), cx.session) else {
        return Err(Condition::Forbidden.into());
    };
    let filter = Filter::read(&query)?;
    if filter.ids.len() > config.max_ids {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many ids"));
    }
    let reader = Reader::of(&cx);
    let known: BTreeSet<ArchiveId> = filter.known.iter().copied().collect();
    if !known.is_empty() && found(&reader, &filter.known).await?.len() < known.len() {
        return Err(Condition::ItemNotFound.into());
    }
    if !filter.request.text.is_empty() {
        index(&cx, config.max_indexed).await?;
    }
    let page = if filter.ids.is_empty() {
        page(config, &reader, &filter).await?
    } else {
        named(&reader, &filter).await?
    };
    let is_first = cx.asking().is_some_and(|session| !session.has_flag(READS)) && filter.is_of_all();
    let count = count(config, &reader, &filter).await?;
    let mut reply = Reply::from(fin(&page, count));
    if is_first {
        reply = reply.effect(Effect::Session(session, SessionChange::Flag(READS, true)));
    }
    let mut results: Vec<&Entry> = page.entries.iter().collect();
    if filter.flip {
        results.reverse();
    }
    Ok(results.into_iter().fold(reply, |reply, entry| {
        reply.effect(Effect::Deliver {
            to: vec![session],
            stanza: Arc::new(result(&cx.account.jid, filter.queryid.as_deref(), entry).into()),
            readdress: true,
        })
    }))
}

/// Has all words of the archive indexed, in steps, unless they are too many for one question.
async fn index(cx: &Cx, most: u32) -> Result<(), StanzaError> {
    let mut left = most;
    while left > 0 {
        let step = left.min(INDEXED);
        let done = cx.stores.archive.index(&cx.account.jid, LOG, step).await;
        if done.map_err(away)? {
            return Ok(());
        }
        left -= step;
    }
    Err(StanzaError::new(Condition::ResourceConstraint).with_text("the archive is being indexed; ask again"))
}

/// How many messages match, for a client that asks for nothing else (XEP-0059, 2.7), unless they are too many to be counted.
async fn count(config: &ArchiveConfig, reader: &Reader, filter: &Filter) -> Result<Option<u64>, StanzaError> {
    if filter.page.max != Some(0) {
        return Ok(None);
    }
    let archive = &reader.stores.archive;
    let count = archive
        .count_found(&reader.account, LOG, &filter.request, config.max_counted)
        .await;
    Ok(count.map_err(away)?.map(u64::from))
}

/// A page of what matches, no larger than it may be.
async fn page(config: &ArchiveConfig, reader: &Reader, filter: &Filter) -> Result<Page, StanzaError> {
    let request = PageRequest {
        limit: filter.page.max.unwrap_or(config.page).min(config.max_page),
        bytes: config.max_page_bytes,
        ..filter.request.clone()
    };
    let page = lasting(reader, request).await.map_err(away)?;
    page.ok_or_else(|| StanzaError::new(Condition::ResourceConstraint).with_text("too much is only waiting"))
}

/// A page of what stays in the archive. It is not empty while there is more to come: what goes once it was taken is passed over, in steps;
/// `None` when that is too much.
async fn lasting(reader: &Reader, mut request: PageRequest) -> store::Result<Option<Page>> {
    let limit = request.limit as usize;
    for _ in 0..STEPS {
        let mut page = reader.stores.archive.page(&reader.account, LOG, &request).await?;
        if request.backwards {
            request.before = page.entries.first().map(|entry| entry.id);
        } else {
            request.after = page.entries.last().map(|entry| entry.id);
        }
        page.entries.retain(|entry| stays(&reader.account, entry));
        if !page.entries.is_empty() || page.complete || limit == 0 {
            return Ok(Some(shorten(page, limit, request.backwards)));
        }
        request.limit = request.limit.max(STEP);
    }
    Ok(None)
}

/// Of a page the first messages, from the end at which it begins.
fn shorten(mut page: Page, limit: usize, backwards: bool) -> Page {
    let excess = page.entries.len().saturating_sub(limit);
    if excess > 0 && backwards {
        page.entries.drain(..excess);
    }
    page.entries.truncate(limit);
    page.complete &= excess == 0;
    page
}

/// Whether a message is in the archive to stay, and not only until somebody has taken it: then it says where it stands.
fn stays(account: &Bare, entry: &Entry) -> bool {
    let Ok(Stanza::Message(message)) = Stanza::parse(&entry.stanza) else {
        return false;
    };
    stanza::is_at(&message.payload, account, entry.id)
}

/// The messages with these ids (XEP-0313, 4.1.4).
async fn named(reader: &Reader, filter: &Filter) -> Result<Page, StanzaError> {
    let ids: BTreeSet<ArchiveId> = filter.ids.iter().copied().collect();
    let mut entries = found(reader, &filter.ids).await?;
    if entries.len() < ids.len() {
        return Err(Condition::ItemNotFound.into());
    }
    entries.retain(|entry| filter.request.fits(entry));
    Ok(Page {
        entries,
        complete: true,
    })
}

/// Those of the messages with these ids that stay in the archive.
async fn found(reader: &Reader, ids: &[ArchiveId]) -> Result<Vec<Entry>, StanzaError> {
    let found = reader.stores.archive.entries(&reader.account, LOG, ids).await;
    let mut found = found.map_err(away)?;
    found.retain(|entry| stays(&reader.account, entry));
    Ok(found)
}

/// XEP-0313, 4.2.
fn result(account: &Bare, queryid: Option<&str>, entry: &Entry) -> Message {
    let wrapper = Element::new(ns::MAM, "result")
        .with_some("queryid", queryid)
        .with("id", entry.id.to_string());
    let at = delay(account.jid(), entry.at, None);
    Message {
        head: Head {
            from: Some(account.clone().into()),
            ..Head::default()
        },
        kind: MessageType::Normal,
        payload: forward(&wrapper, Some(&at), &entry.stanza),
    }
}

/// XEP-0313, 4.3.
fn fin(page: &Page, count: Option<u64>) -> Element {
    let ends = page.entries.first().zip(page.entries.last());
    let answered = Answered {
        ends: ends.map(|(first, last)| (first.id.to_string(), last.id.to_string())),
        count,
        ..Answered::default()
    };
    Element::new(ns::MAM, "fin")
        .with_some("complete", page.complete.then_some("true"))
        .push(answered.to_element())
}

/// XEP-0313, 5: from where to where the archive goes.
async fn metadata(reader: &Reader) -> store::Result<Element> {
    let mut element = Element::new(ns::MAM, "metadata");
    for (name, backwards) in [("start", false), ("end", true)] {
        let request = PageRequest {
            limit: 1,
            backwards,
            ..PageRequest::default()
        };
        let page = lasting(reader, request).await?.unwrap_or_default();
        if let Some(entry) = page.entries.first() {
            let end = Element::new(ns::MAM, name)
                .with("id", entry.id.to_string())
                .with("timestamp", entry.at.to_xmpp());
            element = element.push(end);
        }
    }
    Ok(element)
}

fn away(_: store::Error) -> StanzaError {
    Condition::ResourceConstraint.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Timestamp;

    #[test]
    fn a_page_is_no_longer_than_was_asked() {
        for (entries, limit, backwards, expected, complete) in [
            (3, 2, false, &[0, 1][..], false),
            (3, 2, true, &[1, 2], false),
            (2, 2, true, &[0, 1], true),
            (0, 2, false, &[], true),
        ] {
            let entry = |at: u128| Entry {
                id: ArchiveId(at),
                at: Timestamp(0),
                with: None,
                key: None,
                stanza: Vec::new().into(),
            };
            let page = Page {
                entries: (0..entries).map(entry).collect(),
                complete: true,
            };
            let page = shorten(page, limit, backwards);
            let ids: Vec<u128> = page.entries.iter().map(|entry| entry.id.0).collect();
            assert_eq!((&ids[..], page.complete), (expected, complete), "{entries} {backwards}");
        }
    }
}
