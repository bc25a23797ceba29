//! The account's archive at its home: a message is written before it is delivered, what a session could not take at once is read
//! from there in its turn, and a home that begins finds there what the last one did not deliver any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Decision, Effect, Effects, Outcome, Way};
use link::Trace;
use stanza::{ArchiveId, Jid, Message, MessageKey, SessionId, Stanza, delay};
use store::{Append, Entry, Error, Key, PageRequest};

use crate::account::{Account, Manner};
use crate::config::Durability;
use crate::core::Core;
use crate::doubts::Doubt;
use crate::gauges;
use crate::hosts::VirtualHost;
use crate::log::{Log, Record};
use crate::mirror::canonical;
use crate::refusal::Refusal;
use crate::session::{Fate, Session};

/// The log of what an account said and heard.
pub(crate) const ARCHIVE: &str = "archive";
/// How often a record is written that another home writes at the same time.
const RECORD_TRIES: usize = 3;
/// How often it is tried to write a message that was accepted before, and how long it waits in between.
const RELAXED_TRIES: usize = 3;
const RELAXED_PAUSE: Duration = Duration::from_secs(1);
/// Messages read at a time.
const PAGE: u32 = 100;

/// A message that is to be delivered and stands in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Archived {
    pub(crate) id: ArchiveId,
    pub(crate) how: How,
}

/// How a message stands in the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// Whether it stays when somebody has taken it.
    pub(crate) lasting: bool,
    /// Whether it waits for a session when none is there.
    pub(crate) waits: bool,
}

/// What became of a message that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is new.
    New(Archived),
    /// It came before, and was dealt with then.
    Again,
    /// It is to have, or has, another id: it is to be judged again.
    Elsewhere(Place),
}

/// The id by which a message was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was made for it, without knowing the archive perhaps.
    Fresh(ArchiveId),
    /// It stands there.
    Known(ArchiveId),
}

impl Place {
    pub(crate) fn id(self) -> ArchiveId {
        let (Self::Fresh(id) | Self::Known(id)) = self;
        id
    }
}

/// A message to be written.
pub(crate) struct Draft<'a> {
    pub(crate) way: Way,
    pub(crate) message: &'a Message,
    pub(crate) how: How,
    /// Whether there is nobody to take it.
    pub(crate) nobody: bool,
    pub(crate) key: Option<MessageKey>,
    pub(crate) place: Place,
}

/// The message that `effects` ask to be written, and how.
pub(crate) fn asked(effects: &Effects) -> Option<(&Message, How)> {
    let mut asked: Option<(&Message, How)> = None;
    for effect in &effects.0 {
        if let Effect::Archive { message, lasting } = effect {
            let (_, how) = asked.get_or_insert((message, How::default()));
            how.lasting |= *lasting;
            how.waits |= !*lasting;
        }
    }
    asked
}

/// Makes the account's log known. What the last home did not deliver any more is owed to the sessions that are here by then.
pub(crate) async fn open(core: &Core, account: &mut Account) -> store::Result<()> {
    if account.log.is_some() {
        account.note_taken();
        return Ok(());
    }
    let stored = core.stores.items.get(account.jid(), &mark()).await?;
    let version = stored.as_ref().map(|item| item.version);
    let record = stored.and_then(|item| Record::decode(item.value)).unwrap_or_default();
    let mut log = Log::new(&record);
    let mut request = page_after(record.mark);
    loop {
        let page = core.stores.archive.page(account.jid(), ARCHIVE, &request).await?;
        withdraw(core, account, &mut log, &page.entries).await?;
        for entry in &page.entries {
            if !log.knows(entry.id) {
                find_place(core, account, &mut log, entry);
            }
        }
        match page.entries.last() {
            Some(last) if !page.complete => request.after = Some(last.id),
            _ => break,
        }
    }
    account.log_version = version;
    account.log = Some(log);
    account.note_taken();
    Ok(())
}

/// Takes out again what was written after all, though its sender was told that it was not.
async fn withdraw(core: &Core, account: &mut Account, log: &mut Log, entries: &[Entry]) -> store::Result<()> {
    let standing = entries.iter().map(|entry| (entry.id, entry.key.as_ref()));
    let found = account.doubts.find(standing);
    if found.is_empty() {
        return Ok(());
    }
    core.stores.archive.remove(account.jid(), ARCHIVE, &found).await?;
    account.doubts.clear(&found);
    found.into_iter().for_each(|id| log.append(id)); // through: nobody is to take them
    Ok(())
}

/// What is to become of a message that the last home wrote: who has it, and who still is to get it.
fn find_place(core: &Core, account: &mut Account, log: &mut Log, entry: &Entry) {
    log.append(entry.id);
    let Some(Judged { outcome, how, to }) = judge(core, account, entry) else {
        return;
    };
    let sessions = match outcome {
        Outcome::Sessions(sessions) => sessions,
        _ => Vec::new(),
    };
    let has = |id: &SessionId| account.sessions.get(id).is_some_and(|session| session.has(entry.id));
    let holders = account.sessions.keys().filter(|id| has(id)).count();
    let is_taken = |id: &SessionId| {
        let session = account.sessions.get(id);
        session.is_some_and(|session| session.read().is_past(entry.id) && !session.has(entry.id))
    };
    let was_taken = account.sessions.values().any(|session| session.has_taken(entry.id));
    if was_taken || sessions.iter().any(is_taken) {
        log.open(entry.id, 0, how.lasting, to.as_ref());
        return log.take(entry.id);
    }
    let is_to_come = |id: &SessionId| {
        let session = account.sessions.get(id);
        session.is_some_and(|session| session.read().is_to_come(entry.id) && !session.has(entry.id))
    };
    let missing: Vec<SessionId> = sessions.into_iter().filter(is_to_come).collect();
    for id in &missing {
        account.owe_waiting(*id, entry.id);
    }
    if holders + missing.len() > 0 || how.waits {
        log.open(entry.id, holders + missing.len(), how.lasting, to.as_ref());
    }
}

/// What would become of a message in the archive now.
struct Judged {
    outcome: Outcome,
    how: How,
    to: Option<Jid>,
}

/// `None` when nobody is to get it.
fn judge(core: &Core, account: &Account, entry: &Entry) -> Option<Judged> {
    let stanza = Stanza::parse(&entry.stanza).ok()?;
    if stanza.to().is_some_and(|to| to.bare() != *account.jid()) {
        return None; // the account said it
    }
    let look = account.look(Way::In, core.now(), None);
    let pipeline = &account.host.pipeline;
    let Decision { outcome, effects, .. } = pipeline.again(&look, &stanza);
    let (_, mut how) = asked(&effects)?;
    if pipeline.stamps_messages() {
        // What was decided when it was written holds.
        how.lasting = stanza::is_at(stanza.payload(), account.jid(), entry.id);
    }
    let to = stanza.to().cloned();
    Some(Judged { outcome, how, to })
}

/// A session has come from the last home after the account's log was opened: what it has is noted, what it took is taken, what it did
/// not get is owed to it.
async fn adopt(core: &Core, account: &mut Account, id: SessionId) -> store::Result<()> {
    open(core, account).await?;
    let (Some(session), Some(log)) = (account.sessions.get(&id), &mut account.log) else {
        return Ok(());
    };
    session.archived().for_each(|message| log.hold(message));
    let after = session.read().since.min(session.read().last);
    if !log.has_open_after(after) {
        return Ok(());
    }
    let mut request = page_after(after);
    loop {
        let page = core.stores.archive.page(account.jid(), ARCHIVE, &request).await?;
        for entry in &page.entries {
            adopt_one(core, account, id, entry);
        }
        match page.entries.last() {
            Some(last) if !page.complete => request.after = Some(last.id),
            _ => return Ok(()),
        }
    }
}

fn adopt_one(core: &Core, account: &mut Account, id: SessionId, entry: &Entry) {
    let is_open = account.log.as_ref().is_some_and(|log| log.is_open(entry.id));
    let Some(session) = account
        .sessions
        .get(&id)
        .filter(|session| is_open && !session.has(entry.id))
    else {
        return;
    };
    let (was_for, is_for) = (session.read().is_past(entry.id), session.read().is_to_come(entry.id));
    let goes_to = |outcome: &Outcome| matches!(outcome, Outcome::Sessions(sessions) if sessions.contains(&id));
    if !judge(core, account, entry).is_some_and(|judged| goes_to(&judged.outcome)) {
        return;
    }
    if is_for {
        account.owe_waiting(id, entry.id);
    }
    if let Some(log) = &mut account.log {
        match (was_for, is_for) {
            (true, _) => log.take(entry.id),
            (_, true) => log.hold(entry.id),
            _ => {}
        }
    }
}

/// Delivers what is owed to a session that came late from the last home.
pub(crate) async fn welcome(core: &Core, account: &mut Account, id: SessionId) {
    let known = account.log.is_some();
    let done = if known {
        adopt(core, account, id).await
    } else {
        open(core, account).await
    };
    match done {
        Ok(()) => feed_all(core, account, None).await,
        Err(error) => {
            away("open", &error);
            account.log = None; // all of it is looked at again
            core.marks.note(account.jid());
        }
    }
}

/// Writes a message before anything else happens to it. One that comes again is wanted where it stands, unless it is refused again.
pub(crate) async fn append(core: &Core, account: &mut Account, draft: Draft<'_>) -> Result<Written, Refusal> {
    let key = draft.key.map(|key| key_of(draft.way, key));
    let doubted = key.as_ref().map_or_else(Vec::new, |key| account.doubts.forgive(key));
    let written = append_now(core, account, draft, key, !doubted.is_empty()).await;
    match written {
        Ok(Written::New(Archived { id, .. })) => account.doubts.clear(&[id]),
        Ok(Written::Again) => {}
        Ok(Written::Elsewhere(_)) | Err(_) => doubted.into_iter().for_each(|doubt| account.doubts.add(doubt)),
    }
    written
}

async fn append_now(
    core: &Core,
    account: &mut Account,
    draft: Draft<'_>,
    key: Option<Bytes>,
    is_doubted: bool,
) -> Result<Written, Refusal> {
    open(core, account).await.map_err(|error| away("open", &error))?;
    let Some(log) = &mut account.log else {
        return Err(Refusal::Away);
    };
    // One that was refused in doubt may stand there, and have its place by now.
    if !is_doubted && is_full(core, &account.host, log, &draft) {
        gauges::kept(false);
        return Err(Refusal::Full);
    }
    let now = core.now();
    let id = draft.place.id();
    if matches!(draft.place, Place::Fresh(_)) && !log.is_next(id) {
        return Ok(Written::Elsewhere(Place::Fresh(log.next(now, core.entropy.bits()))));
    }
    let head = &draft.message.head;
    let append = Append {
        owner: account.view.jid.clone(),
        log: ARCHIVE,
        entry: Entry {
            id,
            at: id.time(),
            with: if draft.way == Way::In {
                head.from.clone()
            } else {
                head.to.clone()
            },
            key,
            stanza: canonical(&draft.message.clone().into()),
        },
    };
    let stands = match core.config.durability {
        Durability::Commit => commit(core, account, append, draft.place).await?,
        Durability::Relaxed => {
            write_later(core, append);
            id
        }
    };
    let Some(log) = &mut account.log else {
        return Err(Refusal::Away);
    };
    if stands != id && log.knows(stands) {
        gauges::repeated();
        return Ok(Written::Again);
    }
    if stands != id {
        return Ok(Written::Elsewhere(Place::Known(stands)));
    }
    log.append(stands);
    if !std::mem::replace(&mut account.marked, true) {
        core.marks.note(account.jid());
    }
    let how = draft.how;
    Ok(Written::New(Archived { id: stands, how }))
}

/// Whether too much waits for the account: for whoever comes, or, with what its sessions have not taken, at all.
fn is_full(core: &Core, host: &VirtualHost, log: &Log, draft: &Draft<'_>) -> bool {
    let waiting = host.pipeline.keep_limit().unwrap_or(core.config.kept_messages) as usize;
    let open = waiting.max(core.config.owed_messages as usize).saturating_mul(2);
    let is_kept = draft.nobody && draft.how.waits;
    (is_kept && log.waiting().count() >= waiting) || (draft.way == Way::In && log.open_count() >= open)
}

/// Returns the id under which the message stands: an older one if it came before.
async fn commit(core: &Core, account: &mut Account, append: Append, place: Place) -> Result<ArchiveId, Refusal> {
    let appends = [append];
    match core.stores.archive.append(&appends).await {
        Ok(ids) => ids.first().copied().ok_or(Refusal::Away),
        Err(error) => {
            // It may have been written all the same: what stands there is to be looked at again.
            account.log = None;
            core.marks.note(account.jid());
            if let Place::Fresh(id) = place {
                let [append] = appends;
                account.doubts.add(Doubt {
                    id,
                    key: append.entry.key,
                    leaves: false,
                });
            }
            Err(away("append", &error))
        }
    }
}

/// The message was accepted: a store that is away for a while is asked again.
fn write_later(core: &Core, append: Append) {
    let archive = core.stores.archive.clone();
    tokio::spawn(async move {
        for _ in 0..RELAXED_TRIES {
            let Err(error) = archive.append(std::slice::from_ref(&append)).await else {
                return;
            };
            away("append", &error);
            tokio::time::sleep(RELAXED_PAUSE).await;
        }
    });
}

pub(crate) fn away(what: &'static str, error: &Error) -> Refusal {
    gauges::failed("archive");
    tracing::warn!(%error, what, "the archive");
    Refusal::Away
}

/// Delivers a message that stands in the archive, or has it wait for its turn where others do.
pub(crate) fn deliver(
    core: &Core,
    account: &mut Account,
    to: &[SessionId],
    stanza: &Arc<Stanza>,
    archived: Archived,
    trace: Option<Trace>,
) {
    to.iter().for_each(|id| call_up(account, *id));
    let limits = core.queue_limits();
    let of = |id: &SessionId| account.sessions.get(id);
    // One that its former home wrote after this one had looked may have come by way of the edge.
    let took = |id: &SessionId| of(id).is_some_and(|s| s.read().is_past(archived.id) && !s.has(archived.id));
    let has = |id: &&SessionId| of(id).is_some_and(|session| session.has(archived.id));
    let (lacking, having): (Vec<SessionId>, Vec<SessionId>) = to.iter().partition(|id| !has(id));
    let reads = |id: &SessionId| of(id).is_some_and(|session| session.reads(limits));
    let (later, now): (Vec<SessionId>, Vec<SessionId>) = lacking.into_iter().filter(|id| !took(id)).partition(reads);
    let is_taken = to.iter().any(took);
    if let Some(log) = &mut account.log {
        log.open(
            archived.id,
            having.len() + later.len() + now.len(),
            archived.how.lasting,
            stanza.to(),
        );
        if is_taken {
            log.take(archived.id);
        }
    }
    for id in later {
        account.owe(id, archived.id, core.config.owed_messages as usize);
    }
    let manner = Manner {
        readdress: false,
        fate: Fate::Archived(archived.id),
        limits,
        trace,
    };
    account.deliver(&now, stanza, manner);
}

/// What waits for the very address of a session comes before what finds the session by that address now, though it may not take yet what
/// waits for the account (RFC 6121, 8.5.3.1).
fn call_up(account: &mut Account, id: SessionId) {
    let (Some(log), Some(session)) = (&account.log, account.view.session(id)) else {
        return;
    };
    let waiting: Vec<ArchiveId> = log.waiting_for(&session.jid).collect();
    owe_all(account, id, &waiting);
}

/// A message that stands in the archive finds nobody.
pub(crate) fn leave(account: &mut Account, archived: Archived, to: Option<&Jid>) {
    if archived.how.waits
        && let Some(log) = &mut account.log
    {
        gauges::kept(true);
        log.open(archived.id, 0, archived.how.lasting, to);
    }
}

/// The session's client reads the archive: what stays there, and came before the session, it has or will read.
pub(crate) async fn leave_to_read(core: &Core, account: &mut Account, session: SessionId) {
    if let Err(error) = open(core, account).await {
        away("open", &error);
        return core.marks.note(account.jid());
    }
    let (Some(log), Some(session)) = (&mut account.log, account.sessions.get(&session)) else {
        return;
    };
    let read = log.waiting_to_stay(session.read().since);
    if read.is_empty() {
        return;
    }
    gauges::taken(read.len() as u64);
    read.into_iter().for_each(|id| log.take(id));
    save(core, account).await;
}

/// What waits for somebody is owed to `session` from now on.
pub(crate) async fn flush(core: &Core, account: &mut Account, session: SessionId, trace: Option<Trace>) {
    if let Err(error) = open(core, account).await {
        away("open", &error);
        return core.marks.note(account.jid());
    }
    let waiting: Vec<ArchiveId> = account
        .log
        .as_ref()
        .map_or_else(Vec::new, |log| log.waiting().collect());
    if waiting.is_empty() || !account.sessions.contains_key(&session) {
        return feed_all(core, account, trace).await;
    }
    // The next home must not believe that what this session got beyond, and took, is still to come.
    save(core, account).await;
    owe_all(account, session, &waiting);
    feed(core, account, session, trace).await;
}

/// What waits, in order, is owed to a session that did not get it before.
fn owe_all(account: &mut Account, id: SessionId, waiting: &[ArchiveId]) {
    let Some(first) = waiting.first() else { return };
    for message in waiting {
        if let Some(log) = &mut account.log {
            log.hold(*message);
        }
        account.owe_waiting(id, *message);
    }
    if let Some(session) = account.sessions.get_mut(&id) {
        session.read_from(*first);
    }
    // Its edge is to know that before the first of them.
    account.touch(id);
    account.mirror();
}

/// Delivers what is owed to a session, as far as there is room for it.
pub(crate) async fn feed(core: &Core, account: &mut Account, id: SessionId, trace: Option<Trace>) {
    let limits = core.queue_limits();
    loop {
        let Some(session) = account.sessions.get_mut(&id) else {
            return;
        };
        session.settle_written();
        // Few at a time are not worth reading them: then all that is under way is to be written first.
        if session.owed().is_none() || session.room(limits) < (PAGE as usize).min(limits.stanzas / 2) {
            session.wake_when_written();
            session.settle_written();
            if !session.is_settled() {
                return; // with the last that is written somebody looks again
            }
        }
        let Some(first) = session.owed() else { return };
        let request = PageRequest {
            limit: PAGE.min(u32::try_from(session.room(limits)).unwrap_or(PAGE)),
            ..page_after(ArchiveId(first.0 - 1))
        };
        let page = match core.stores.archive.page(account.jid(), ARCHIVE, &request).await {
            Ok(page) => page,
            Err(error) => {
                away("read", &error);
                return core.marks.note(account.jid());
            }
        };
        let mut entries = page.entries.iter();
        if entries.all(|entry| hand_out(core, account, id, entry, trace)) {
            // What is not there any more is owed no more.
            let last = page.entries.last().map_or(ArchiveId(u128::MAX), |entry| entry.id);
            let last = if page.complete { ArchiveId(u128::MAX) } else { last };
            drop_owed(account, id, last);
        }
    }
}

/// Delivers a message from the archive to a session, if it is owed to it. Returns whether there was room for it.
fn hand_out(core: &Core, account: &mut Account, id: SessionId, entry: &Entry, trace: Option<Trace>) -> bool {
    drop_owed(account, id, ArchiveId(entry.id.0 - 1));
    let limits = core.queue_limits();
    let Some(session) = account.sessions.get_mut(&id) else {
        return true;
    };
    if session.owed() != Some(entry.id) {
        return true;
    }
    if !session.has_room(limits) {
        return false;
    }
    session.pop_owed();
    let (Ok(Stanza::Message(mut message)), Ok(domain)) =
        (Stanza::parse(&entry.stanza), Jid::parse(account.jid().domain()))
    else {
        return true;
    };
    // XEP-0160, 3; XEP-0203, 2.
    message.payload = message.payload.push(&delay(&domain, entry.at, Some("Offline Storage")));
    let manner = Manner {
        readdress: false,
        fate: Fate::Archived(entry.id),
        limits,
        trace,
    };
    gauges::taken(1);
    account.deliver(&[id], &Arc::new(message.into()), manner);
    true
}

/// Forgets what is owed to a session up to `last`: somebody removed it.
fn drop_owed(account: &mut Account, id: SessionId, last: ArchiveId) {
    let Some(session) = account.sessions.get_mut(&id) else {
        return;
    };
    while let Some(first) = session.owed().filter(|first| *first <= last) {
        session.pop_owed();
        if let Some(log) = &mut account.log {
            log.take(first);
        }
    }
}

/// Delivers what is owed to any session, as far as there is room.
pub(crate) async fn feed_all(core: &Core, account: &mut Account, trace: Option<Trace>) {
    account.note_taken();
    let limits = core.queue_limits();
    let is_hungry = |session: &mut Session| {
        session.owed().is_some() && {
            session.settle_written();
            session.has_room(limits)
        }
    };
    let sessions = account.sessions.values_mut();
    let hungry: Vec<SessionId> = sessions.filter_map(|s| is_hungry(s).then_some(s.id)).collect();
    for id in hungry {
        feed(core, account, id, trace).await;
    }
}

/// Writes the account's record if there is news, and removes what was not to stay.
pub(crate) async fn save(core: &Core, account: &mut Account) {
    account.note_taken();
    account.marked = false;
    if !write_record(core, account).await {
        return;
    }
    let Some(log) = &mut account.log else { return };
    let spent = log.spent();
    if !spent.is_empty()
        && let Err(error) = core.stores.archive.remove(&account.view.jid, ARCHIVE, &spent).await
    {
        // They are through all the same, and stay without need.
        away("remove", &error);
    }
}

/// Writes the account's record if there is news. Returns whether it is up to date.
async fn write_record(core: &Core, account: &mut Account) -> bool {
    let items = &core.stores.items;
    for _ in 0..RECORD_TRIES {
        let Some(log) = &mut account.log else { return false };
        let Some(record) = log.news() else { return true };
        let seen = account.log_version;
        let error = match items.put(&account.view.jid, &mark(), record.encode(), seen).await {
            Ok(version) => {
                account.log_version = Some(version);
                log.written();
                return true;
            }
            // The home before has written it since: what it knows is as true as what is known here.
            Err(Error::Conflict) => match items.get(&account.view.jid, &mark()).await {
                Ok(stored) => {
                    account.log_version = stored.as_ref().map(|item| item.version);
                    let other = stored.and_then(|item| Record::decode(item.value));
                    log.learn(&other.unwrap_or_default());
                    continue;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        away("mark", &error);
        core.marks.note(account.jid());
        return false;
    }
    core.marks.note(account.jid());
    false
}

/// Where an account's record stands.
pub(crate) fn mark() -> Key {
    Key {
        space: ARCHIVE.into(),
        name: "mark".into(),
    }
}

fn page_after(after: ArchiveId) -> PageRequest {
    PageRequest {
        after: Some(after),
        limit: PAGE,
        ..PageRequest::default()
    }
}

/// What a message has in common with itself when it comes again; what one account both said and heard are two.
fn key_of(way: Way, key: MessageKey) -> Bytes {
    let mut bytes = Vec::with_capacity(25);
    bytes.push(u8::from(way == Way::In));
    bytes.extend_from_slice(&key.session.0.to_be_bytes());
    bytes.extend_from_slice(&key.number.to_be_bytes());
    bytes.into()
}
