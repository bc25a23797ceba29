//! Service administration (XEP-0133): what administrators of a host do with accounts, as ad-hoc commands. An account's home is reached
//! by an order that the host itself gives it.

use std::sync::Arc;

use engine::{
    About, Access, Answer, At, Bare, Condition, Credentials, Cx, Done, Effect, Effects, Element, Head, Hooks, Iq,
    IqType, Jid, Malformed, Module, Password, Payload, Reply, Request, Show, Stage, Stanza, StanzaError,
    StreamCondition, ns, roster_item,
};
use stanza::form::{Field, Form, FormType};
use store::{Account, PresenceRecord};

use crate::push;

/// The module.
pub(crate) struct Admin;

impl Module for Admin {
    const ABOUT: About = About {
        name: "admin",
        rfcs: &[],
        xeps: &[(133, "1.3.1")],
        summary: "Lets administrators add, disable and delete users, end their sessions, and see who is there.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.order(obey);
        let (at, who) = (At::Server, Access::Admins);
        on.command(at, (ADD, "Add User"), who, add);
        on.command(at, (PASSWORD, "Change User Password"), who, change_password);
        on.command(at, (DELETE, "Delete User"), who, delete);
        on.command(at, (DISABLE, "Disable User"), who, disable);
        on.command(at, (ENABLE, "Re-Enable User"), who, enable);
        on.command(at, (END, "End User Session"), who, end);
        on.command(at, (ROSTER, "Get User Roster"), who, roster);
        on.command(at, (LAST, "Get User Last Login Time"), who, last_login);
        on.command(
            at,
            (REGISTERED_NUM, "Get Number of Registered Users"),
            who,
            registered_num,
        );
        on.command(at, (REGISTERED, "Get List of Registered Users"), who, registered);
        on.command(at, (ONLINE_NUM, "Get Number of Online Users"), who, |cx, _| {
            number(cx, ONLINE_USERS)
        });
        on.command(at, (ONLINE, "Get List of Online Users"), who, |cx, _| {
            list(cx, ONLINE_USERS)
        });
        on.command(at, (ACTIVE_NUM, "Get Number of Active Users"), who, |cx, _| {
            number(cx, ACTIVE_USERS)
        });
        on.command(at, (ACTIVE, "Get List of Active Users"), who, |cx, _| {
            list(cx, ACTIVE_USERS)
        });
    }
}

/// What the host tells an account: to end its sessions, or one of them.
struct End {
    resource: Option<String>,
    why: Why,
}

/// Why sessions are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Nobody may log in any more.
    Disabled,
    /// There is a new password.
    Password,
    /// An administrator wants it.
    Wish,
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Password => "password",
            Self::Wish => "wish",
        }
    }

    fn condition(self) -> StreamCondition {
        match self {
            Self::Disabled => StreamCondition::NotAuthorized,
            Self::Password => StreamCondition::Reset,
            Self::Wish => StreamCondition::PolicyViolation,
        }
    }
}

impl Request for End {
    const NS: &'static str = ORDER;
    const NAME: &'static str = "end";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self {
            resource: element.attribute("resource").map(str::to_owned),
            why: [Why::Disabled, Why::Password]
                .into_iter()
                .find(|why| element.attribute("why") == Some(why.name()))
                .unwrap_or(Why::Wish),
        })
    }
}

impl End {
    fn element(&self) -> Element {
        Element::new(ORDER, "end")
            .with_some("resource", self.resource.as_ref())
            .with("why", self.why.name())
    }
}

/// An account does as the host says.
async fn obey(cx: Cx, order: End) -> Answer {
    let is_meant = |resource: &str| order.resource.as_deref().is_none_or(|meant| meant == resource);
    let sessions = cx.account.sessions.iter();
    let meant = sessions.filter(|session| is_meant(session.jid.resource()));
    let mut reply = Reply::empty().effect(Effect::End {
        sessions: meant.map(|session| session.id).collect(),
        condition: order.why.condition(),
    });
    if order.why == Why::Password {
        let end = push::end_all(&cx.account);
        end.into_iter().for_each(|effect| reply.effects.push(effect));
    }
    Ok(reply)
}

/// XEP-0133, 4.1.
async fn add(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        let form = login("Adding a User", "Fill out this form to add a user.");
        return Ok(last(form.ask(Field::new(VERIFY, "text-private", "The password again"))));
    };
    set_password(&cx, form, true)
}

/// XEP-0133, 4.7: who knew the old one is to show the new one.
async fn change_password(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(last(login(
            "Changing a User Password",
            "Fill out this form to give a user another password.",
        )));
    };
    set_password(&cx, form, false)
}

/// A form that asks for an account and its password.
fn login(title: &str, instructions: &str) -> Form {
    Form::new(FormType::Form, ADMIN)
        .explained(title, instructions)
        .ask(Field::new("accountjid", "jid-single", "The address of the user").required())
        .ask(Field::new("password", "text-private", "The password").required())
}

fn set_password(cx: &Cx, form: &Form, is_new: bool) -> Result<Stage, StanzaError> {
    let jid = Jid::parse(form.value("accountjid").unwrap_or_default()).map_err(|_| Condition::JidMalformed)?;
    let password = form.value("password").unwrap_or_default();
    let mut done = Done::default();
    if !is_users(cx, &jid) {
        done.failures.push(no_user(cx, &jid));
    } else if form
        .value(VERIFY)
        .is_some_and(|again| !again.is_empty() && again != password)
    {
        done.failures.push("the passwords differ".to_owned());
    } else {
        done.effects.push(Effect::Account(Credentials {
            account: jid.bare(),
            password: Password(password.to_owned()),
            is_new,
        }));
        if !is_new {
            let order = End {
                resource: None,
                why: Why::Password,
            };
            tell(cx, jid, order.element(), &mut done.effects);
        }
    }
    Ok(Stage::Done(done))
}

/// XEP-0133, 4.2.
async fn delete(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(users(
            "Deleting a User",
            "Fill out this form to delete users and all they own.",
        ));
    };
    let (_, failures) = change_all(&cx, form, Change::Delete).await;
    Ok(Stage::Done(Done {
        failures,
        ..Done::default()
    }))
}

/// XEP-0133, 4.3: nobody logs in any more, and who is there goes. Before it binds a session, a home asks the store whether that may be.
async fn disable(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(users(
            "Disabling a User",
            "Fill out this form to keep users out for now.",
        ));
    };
    let (disabled, failures) = change_all(&cx, form, Change::Disable).await;
    let mut effects = Effects::default();
    for account in disabled {
        let order = End {
            resource: None,
            why: Why::Disabled,
        };
        tell(&cx, account.into(), order.element(), &mut effects);
    }
    Ok(Stage::Done(Done {
        failures,
        effects,
        ..Done::default()
    }))
}

/// XEP-0133, 4.4.
async fn enable(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(users("Re-Enabling a User", "Fill out this form to let users in again."));
    };
    let (_, failures) = change_all(&cx, form, Change::Enable).await;
    Ok(Stage::Done(Done {
        failures,
        ..Done::default()
    }))
}

/// What is done to accounts, one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Delete,
    Disable,
    Enable,
}

/// Changes the accounts that were filled in. Returns those that were, and why others were not: what failed with one hides nothing of what
/// became of the others. Once the store is away, the rest is not tried any more.
async fn change_all(cx: &Cx, form: &Form, change: Change) -> (Vec<Bare>, Vec<String>) {
    let (mut changed, mut failures, mut is_away) = (Vec::new(), Vec::new(), false);
    for jid in addresses(form) {
        let outcome = match is_away {
            false => change_one(cx, jid.clone(), change).await,
            true => Err(Condition::ResourceConstraint.into()),
        };
        match outcome {
            Ok(Ok(account)) => changed.push(account),
            Ok(Err(failure)) => failures.push(failure),
            Err(_) => {
                is_away = true;
                failures.push(format!("{jid} could not be changed now; please come again"));
            }
        }
    }
    (changed, failures)
}

async fn change_one(cx: &Cx, jid: Jid, change: Change) -> Result<Result<Bare, String>, StanzaError> {
    let accounts = &cx.stores.accounts;
    let found = match change {
        Change::Enable => account(cx, jid).await?,
        Change::Delete | Change::Disable => other_account(cx, jid).await?,
    };
    let Account { jid, .. } = match found {
        Ok(account) => account,
        Err(failure) => return Ok(Err(failure)),
    };
    match change {
        Change::Delete => accounts.retire(&jid).await?,
        Change::Disable => accounts.set_disabled(&jid, true).await?,
        Change::Enable => accounts.set_disabled(&jid, false).await?,
    };
    Ok(Ok(jid))
}

/// XEP-0133, 4.5: of a bare address all sessions, of a full one that one.
async fn end(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(users(
            "Ending a User Session",
            "Fill out this form to end sessions of users.",
        ));
    };
    let mut done = Done::default();
    for jid in addresses(form) {
        let order = End {
            resource: jid.resource().map(str::to_owned),
            why: Why::Wish,
        };
        match account(&cx, jid.bare().into()).await? {
            Ok(account) => tell(&cx, account.jid.into(), order.element(), &mut done.effects),
            Err(failure) => done.failures.push(failure),
        }
    }
    Ok(Stage::Done(done))
}

/// XEP-0133, 4.8.
async fn roster(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(users(
            "Getting a User's Roster",
            "Fill out this form to get the rosters of users.",
        ));
    };
    let (mut done, mut found, mut rosters) = (Done::default(), Vec::new(), Vec::new());
    for jid in addresses(form) {
        match account(&cx, jid).await? {
            Ok(account) => {
                let roster = cx.stores.rosters.load(&account.jid).await?;
                let contacts = roster.contacts.values().filter(|contact| contact.in_roster);
                rosters.push(Element::new(ns::ROSTER, "query").extend(contacts.map(roster_item)));
                found.push(account.jid.to_string());
            }
            Err(failure) => done.failures.push(failure),
        }
    }
    let form = Form::new(FormType::Result, ADMIN).with("accountjids", Some("jid-multi"), found);
    done.result = Some(form.to_element().extend(rosters));
    Ok(Stage::Done(done))
}

/// XEP-0133, 4.9: what is known is when the last session ended.
async fn last_login(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(users(
            "Getting a User's Last Login Time",
            "Fill out this form to see when users were here last.",
        ));
    };
    let (mut done, mut found, mut times) = (Done::default(), Vec::new(), Vec::new());
    for jid in addresses(form) {
        match account(&cx, jid).await? {
            Ok(account) => {
                found.push(account.jid.to_string());
                times.push(
                    account
                        .last_seen
                        .map_or_else(|| "never".to_owned(), engine::Timestamp::to_xmpp),
                );
            }
            Err(failure) => done.failures.push(failure),
        }
    }
    let form = Form::new(FormType::Result, ADMIN)
        .with("accountjids", Some("jid-multi"), found)
        .with("lastlogin", Some("text-multi"), times);
    done.result = Some(form.to_element());
    Ok(Stage::Done(done))
}

/// XEP-0133, 4.13.
async fn registered_num(cx: Cx, _: Vec<Form>) -> Result<Stage, StanzaError> {
    let (number, _) = accounts(&cx, 0).await?;
    Ok(result("registeredusersnum", [number.to_string()], None))
}

/// XEP-0133, 4.18.
async fn registered(cx: Cx, _: Vec<Form>) -> Result<Stage, StanzaError> {
    let (number, first) = accounts(&cx, LISTED).await?;
    Ok(result("registereduserjids", names(&first), more(number)))
}

/// How many accounts the host has, and the first of them.
async fn accounts(cx: &Cx, most: usize) -> store::Result<(usize, Vec<Bare>)> {
    let (mut number, mut first, mut after) = (0, Vec::new(), None);
    loop {
        let page = cx.stores.accounts.list(&cx.host.domain, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok((number, first));
        };
        after = Some(last.clone());
        number += page.len();
        first.extend(page.into_iter().take(most - first.len()));
    }
}

/// Whom to count: what the fields are called, and whether what the sessions of a user say makes it one.
#[derive(Clone, Copy)]
struct Census {
    number: &'static str,
    list: &'static str,
    counts: fn(&PresenceRecord) -> bool,
}

/// XEP-0133, 4.15 and 4.20: as far as they said that they are available.
const ONLINE_USERS: Census = Census {
    number: "onlineusersnum",
    list: "onlineuserjids",
    counts: |_| true,
};

/// XEP-0133, 4.16 and 4.21: those who are not away.
const ACTIVE_USERS: Census = Census {
    number: "activeusersnum",
    list: "activeuserjids",
    counts: is_active,
};

fn is_active(record: &PresenceRecord) -> bool {
    match Stanza::parse(&record.stanza) {
        Ok(Stanza::Presence(presence)) => !matches!(presence.show(), Show::Away | Show::Xa),
        _ => false,
    }
}

async fn number(cx: Cx, census: Census) -> Result<Stage, StanzaError> {
    let (number, _) = census.take(&cx, 0).await?;
    Ok(result(census.number, [number.to_string()], None))
}

async fn list(cx: Cx, census: Census) -> Result<Stage, StanzaError> {
    let (number, first) = census.take(&cx, LISTED).await?;
    Ok(result(census.list, names(&first), more(number)))
}

impl Census {
    async fn take(self, cx: &Cx, most: usize) -> store::Result<(usize, Vec<Bare>)> {
        let (mut number, mut first) = (0, Vec::new());
        store::available(&*cx.stores.presence, &cx.host.domain, |user, records| {
            if records.iter().any(self.counts) {
                number += 1;
                first.extend((first.len() < most).then_some(user));
            }
        })
        .await?;
        Ok((number, first))
    }
}

fn names(users: &[Bare]) -> Vec<String> {
    users.iter().map(ToString::to_string).collect()
}

fn more(number: usize) -> Option<String> {
    (number > LISTED).then(|| format!("{number} in all; the first {LISTED} are listed"))
}

fn result(field: &str, values: impl IntoIterator<Item = String>, info: Option<String>) -> Stage {
    let form = Form::new(FormType::Result, ADMIN).with(field, None, values);
    Stage::Done(Done {
        result: Some(form.to_element()),
        info: info.into_iter().collect(),
        ..Done::default()
    })
}

/// A form that asks for users.
fn users(title: &str, instructions: &str) -> Stage {
    let form = Form::new(FormType::Form, ADMIN).explained(title, instructions);
    let field = Field::new("accountjids", "jid-multi", "The addresses of the users").required();
    last(form.ask(field))
}

fn last(form: Form) -> Stage {
    Stage::Form { form, last: true }
}

/// The addresses that were filled in; that they are addresses was checked.
fn addresses(form: &Form) -> impl Iterator<Item = Jid> {
    form.values("accountjids")
        .iter()
        .filter_map(|value| Jid::parse(value).ok())
}

/// The account `jid` of the host, or why there is none.
async fn account(cx: &Cx, jid: Jid) -> Result<Result<Account, String>, StanzaError> {
    if !is_users(cx, &jid) {
        return Ok(Err(no_user(cx, &jid)));
    }
    let account = cx.stores.accounts.get(&jid.bare()).await?;
    Ok(account.ok_or_else(|| format!("there is no user {jid}")))
}

/// Whether a user of the host could have that address.
fn is_users(cx: &Cx, jid: &Jid) -> bool {
    jid.domain() == cx.host.domain && jid.local().is_some() && jid.is_bare()
}

fn no_user(cx: &Cx, jid: &Jid) -> String {
    format!("{jid} is not the address of a user of {}", cx.host.domain)
}

/// As [`account`], but not the one of who asks: nobody locks himself out.
async fn other_account(cx: &Cx, jid: Jid) -> Result<Result<Account, String>, StanzaError> {
    if cx.asker().is_some_and(|asker| asker == jid.bare()) {
        return Ok(Err(format!("{jid} is you")));
    }
    account(cx, jid).await
}

/// Gives an account an order of the host.
fn tell(cx: &Cx, to: Jid, order: Element, effects: &mut Effects) {
    let Ok(from) = Jid::parse(&cx.host.domain) else { return };
    effects.send(Iq {
        head: Head {
            from: Some(from),
            to: Some(to),
            id: Some(Arc::from(format!("order-{:x}", cx.now.0))),
            ..Head::default()
        },
        kind: IqType::Set,
        payload: Payload::from(order),
    });
}

/// How many users a list names.
const LISTED: usize = 1_000;
/// Accounts read at a time.
const PAGE: u32 = 1_000;

/// The forms' type, and what the nodes begin with.
const ADMIN: &str = "http://jabber.org/protocol/admin";
const ORDER: &str = "urn:dunlin:order";

/// The field for the password once more.
const VERIFY: &str = "password-verify";

const ADD: &str = "http://jabber.org/protocol/admin#add-user";
const PASSWORD: &str = "http://jabber.org/protocol/admin#change-user-password";
const DELETE: &str = "http://jabber.org/protocol/admin#delete-user";
const DISABLE: &str = "http://jabber.org/protocol/admin#disable-user";
const ENABLE: &str = "http://jabber.org/protocol/admin#reenable-user";
const END: &str = "http://jabber.org/protocol/admin#end-user-session";
const ROSTER: &str = "http://jabber.org/protocol/admin#get-user-roster";
const LAST: &str = "http://jabber.org/protocol/admin#get-user-lastlogin";
const REGISTERED_NUM: &str = "http://jabber.org/protocol/admin#get-registered-users-num";
const REGISTERED: &str = "http://jabber.org/protocol/admin#get-registered-users-list";
const ONLINE_NUM: &str = "http://jabber.org/protocol/admin#get-online-users-num";
const ONLINE: &str = "http://jabber.org/protocol/admin#get-online-users-list";
const ACTIVE_NUM: &str = "http://jabber.org/protocol/admin#get-active-users-num";
const ACTIVE: &str = "http://jabber.org/protocol/admin#get-active-users";
