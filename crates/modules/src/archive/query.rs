//! Reading the archive (XEP-0313, 4): the page that was asked for, message by message, then where it ends; and what the archive spans.

use std::sync::Arc;

use engine::{
    Answer, At, Bare, BindCx, Bound, Condition, Cx, Effect, Effects, Element, Head, Hooks, Malformed, Message,
    MessageType, Reply, Request, SessionChange, Stanza, StanzaError, ns, request,
};
use stanza::rsm::Answered;
use stanza::{ArchiveId, delay, forward, stanza_id};
use store::{Entry, Page, PageRequest, Stores};

use super::filter::{self, Filter};
use super::{Archive, LOG, READS};

/// Messages indexed at a time.
const INDEXED: u32 = 1_000;

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

pub(super) fn install(archive: &Arc<Archive>, on: &mut Hooks) {
    let queried = archive.clone();
    on.set(At::Account, move |cx, query| {
        let archive = queried.clone();
        async move { read(&archive, cx, query).await }
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

async fn read(archive: &Archive, cx: Cx, Query(query): Query) -> Answer {
    let (true, Some(session)) = (cx.is_owner(), cx.session) else {
        return Err(Condition::Forbidden.into());
    };
    let filter = Filter::read(&query)?;
    if filter.ids.len() > archive.config.max_ids {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many ids"));
    }
    let reader = Reader::of(&cx);
    for id in &filter.known {
        find(&reader, *id).await?.ok_or(Condition::ItemNotFound)?;
    }
    if !filter.request.text.is_empty() {
        index(&cx, archive.config.max_indexed).await?;
    }
    let page = if filter.ids.is_empty() {
        page(archive, &reader, &filter).await?
    } else {
        named(&reader, &filter).await?
    };
    let is_first = cx.asking().is_some_and(|session| !session.has_flag(READS));
    let mut reply = Reply::from(fin(&page));
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

/// A page of what matches; cut where it gets too large.
async fn page(archive: &Archive, reader: &Reader, filter: &Filter) -> Result<Page, StanzaError> {
    let config = &archive.config;
    let limit = filter.page.max.unwrap_or(config.page).min(config.max_page);
    let request = PageRequest {
        limit,
        ..filter.request.clone()
    };
    let backwards = request.backwards;
    let page = lasting(reader, request).await.map_err(away)?;
    Ok(cut(page, backwards, config.max_page_bytes))
}

/// A page of what stays in the archive. It is not empty while there is more to come: what goes once it was taken is passed over.
async fn lasting(reader: &Reader, mut request: PageRequest) -> store::Result<Page> {
    loop {
        let mut page = reader.stores.archive.page(&reader.account, LOG, &request).await?;
        if request.backwards {
            request.before = page.entries.first().map(|entry| entry.id);
        } else {
            request.after = page.entries.last().map(|entry| entry.id);
        }
        page.entries.retain(|entry| stays(&reader.account, entry));
        if !page.entries.is_empty() || page.complete || request.limit == 0 {
            return Ok(page);
        }
    }
}

/// Whether a message is in the archive to stay, and not only until somebody has taken it: then it says where it stands.
fn stays(account: &Bare, entry: &Entry) -> bool {
    let Ok(Stanza::Message(message)) = Stanza::parse(&entry.stanza) else {
        return false;
    };
    let own = stanza_id(account, entry.id);
    let payload = &message.payload;
    let mut ids = payload
        .children()
        .iter()
        .filter(|child| child.is(ns::STANZA_ID, "stanza-id"));
    ids.any(|child| payload.element(child).as_ref() == Some(&own))
}

/// As much of a page as has so many bytes, at least one message, from the end at which it begins.
fn cut(mut page: Page, backwards: bool, bytes: usize) -> Page {
    let mut left = bytes;
    let mut fits = |entry: &&Entry| {
        let fits = left >= entry.stanza.len();
        left = left.saturating_sub(entry.stanza.len());
        fits
    };
    let whole = page.entries.len();
    let kept = if backwards {
        page.entries.iter().rev().take_while(&mut fits).count()
    } else {
        page.entries.iter().take_while(&mut fits).count()
    };
    let kept = kept.max(1).min(whole);
    if kept < whole {
        page.complete = false;
        page.entries = match backwards {
            true => page.entries.split_off(whole - kept),
            false => page.entries.drain(..kept).collect(),
        };
    }
    page
}

/// The messages with these ids (XEP-0313, 4.1.4).
async fn named(reader: &Reader, filter: &Filter) -> Result<Page, StanzaError> {
    let mut entries = Vec::with_capacity(filter.ids.len());
    for id in &filter.ids {
        entries.push(find(reader, *id).await?.ok_or(Condition::ItemNotFound)?);
    }
    entries.sort_by_key(|entry| entry.id);
    entries.dedup_by_key(|entry| entry.id);
    entries.retain(|entry| filter.request.fits(entry));
    Ok(Page {
        entries,
        complete: true,
    })
}

async fn find(reader: &Reader, id: ArchiveId) -> Result<Option<Entry>, StanzaError> {
    let request = PageRequest {
        after: id.0.checked_sub(1).map(ArchiveId),
        limit: 1,
        ..PageRequest::default()
    };
    let page = reader.stores.archive.page(&reader.account, LOG, &request).await;
    let found = page.map_err(away)?.entries.into_iter().next();
    Ok(found.filter(|entry| entry.id == id && stays(&reader.account, entry)))
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
fn fin(page: &Page) -> Element {
    let ends = page.entries.first().zip(page.entries.last());
    let answered = Answered {
        ends: ends.map(|(first, last)| (first.id.to_string(), last.id.to_string())),
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
        if let Some(entry) = lasting(reader, request).await?.entries.first() {
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
    fn a_page_is_cut_at_its_bytes() {
        for (sizes, backwards, expected, complete) in [
            (&[4, 4, 4][..], false, &[0, 1][..], false),
            (&[4, 4, 4], true, &[1, 2], false),
            (&[4, 5], false, &[0, 1], true),
            (&[40, 5], false, &[0], false),
            (&[4, 40], true, &[1], false),
            (&[40], false, &[0], true),
            (&[], false, &[], true),
        ] {
            let entry = |(at, size): (usize, &usize)| Entry {
                id: ArchiveId(at as u128),
                at: Timestamp(0),
                with: None,
                key: None,
                stanza: vec![b' '; *size].into(),
            };
            let page = Page {
                entries: sizes.iter().enumerate().map(entry).collect(),
                complete: true,
            };
            let page = cut(page, backwards, 10);
            let ids: Vec<u128> = page.entries.iter().map(|entry| entry.id.0).collect();
            assert_eq!((&ids[..], page.complete), (expected, complete), "{sizes:?} {backwards}");
        }
    }
}
