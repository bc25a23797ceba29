//! Registrations as a router deals with them (XEP-0077, XEP-0445): how many, by which invitation, and what comes of one when a store
//! fails in between.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use dunlin_router::{
    Clock, Config, Invite, Mode, NoPeers, Parts, Registration, Router, SaslConfig, System, invite, invites, new_token,
    revoke_invite,
};
use link::Home;
use stanza::{Bare, Condition, Invited, Peer, RegisterReply, RegisterRequest, RegisterStep, SessionId, Timestamp};
use store::{Account, Accounts, Error, Stores, Verifier};
use support::{DOMAIN, bare};

const MINUTE: i64 = 60_000_000;
const HOME: &str = "192.0.2.1";

/// Time of day as the test has it.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// Accounts that cannot be created while they are away.
struct Shaky {
    inner: Arc<dyn Accounts>,
    away: AtomicBool,
}

/// Routers that share their stores, each of which takes itself for the home of all.
struct Town {
    routers: Vec<Router>,
    stores: Stores,
    accounts: Arc<Shaky>,
    hands: Arc<Hands>,
}

impl Town {
    fn new(routers: usize, rules: &Registration) -> Self {
        Self::with(routers, rules, 0)
    }

    /// So many failures are allowed to one address.
    fn with(routers: usize, rules: &Registration, failures: u32) -> Self {
        let (memory, hands) = (store::memory::stores(), Arc::new(Hands::default()));
        let accounts = Arc::new(Shaky {
            inner: memory.accounts.clone(),
            away: AtomicBool::new(false),
        });
        let stores = Stores {
            accounts: accounts.clone(),
            ..memory
        };
        let router = |number| {
            let sasl = SaslConfig {
                iterations: 5,
                failures,
                ..SaslConfig::default()
            };
            let router = Router::new(Parts {
                node: format!("router-{number}").as_str().into(),
                config: Config {
                    sasl,
                    ..Config::default()
                },
                hosts: support::hosts(rules.clone()),
                stores: stores.clone(),
                peers: Arc::new(NoPeers),
                clock: hands.clone(),
                entropy: Arc::new(System),
                secret: support::SECRET,
            });
            router.serve_alone();
            router
        };
        Self {
            routers: (0..routers).map(router).collect(),
            stores: stores.clone(),
            accounts,
            hands,
        }
    }

    fn pass(&self, time: i64) {
        self.hands.0.fetch_add(time, Ordering::SeqCst);
    }

    /// A token for so many accounts, good for 10 minutes.
    async fn invite(&self, uses: u32) -> String {
        self.invite_as(None, uses).await
    }

    /// The same, for one who is to be called `user`.
    async fn invite_as(&self, user: Option<&str>, uses: u32) -> String {
        self.keep(Invite {
            user: user.map(str::to_owned),
            uses,
            ..self.invitation()
        })
        .await
    }

    /// For one account, made by an operator.
    fn invitation(&self) -> Invite {
        let now = self.hands.now();
        Invite {
            user: None,
            contact: None,
            by: None,
            created: now,
            expires: Some(Timestamp(now.0 + 10 * MINUTE)),
            uses: 1,
            claims: Vec::new(),
        }
    }

    async fn keep(&self, made: Invite) -> String {
        let token = new_token(rand::random());
        invite(&*self.stores.items, &host(), &token, &made).await.unwrap();
        token
    }

    async fn add(&self, name: &str, created: Timestamp, disabled: bool) {
        let account = Account {
            jid: bare(name),
            created,
            verifiers: Vec::new(),
            last_seen: None,
            disabled,
        };
        self.stores.accounts.create(&[account]).await.unwrap();
    }

    async fn ask(&self, router: usize, step: RegisterStep, invited: Option<Invited>, from: &str) -> RegisterReply {
        let request = RegisterRequest {
            session: SessionId(1),
            domain: DOMAIN.into(),
            invited,
            step,
            peer: Peer {
                address: from.parse::<IpAddr>().ok(),
                tls: None,
            },
        };
        self.routers[router].register(request).await
    }

    async fn present(&self, token: &str) -> Result<Invited, Condition> {
        match self.ask(0, RegisterStep::Present(token.to_owned()), None, HOME).await {
            RegisterReply::Accepted(invited) => Ok(invited),
            other => Err(refused(other)),
        }
    }

    async fn create(&self, router: usize, name: &str, invited: Option<&Invited>, from: &str) -> Result<(), Condition> {
        let step = RegisterStep::Create {
            username: name.to_owned(),
            password: "orchard wall".to_owned(),
        };
        match self.ask(router, step, invited.cloned(), from).await {
            RegisterReply::Created => Ok(()),
            other => Err(refused(other)),
        }
    }

    async fn accounts(&self) -> Vec<String> {
        let all = self.stores.accounts.list(DOMAIN, None, 100).await.unwrap();
        all.iter().filter_map(|jid| jid.local().map(str::to_owned)).collect()
    }
}

fn refused(reply: RegisterReply) -> Condition {
    match reply {
        RegisterReply::Refused(error) => error.condition,
        other => panic!("{other:?}"),
    }
}

fn host() -> Bare {
    Bare::parse(DOMAIN).unwrap()
}

fn rules(mode: Mode) -> Registration {
    Registration {
        mode,
        per_address: 0,
        per_host: 0,
        ..Registration::default()
    }
}

#[tokio::test]
async fn two_routers_make_one_account_of_one_token() {
    for round in 0..20 {
        let town = Town::new(2, &rules(Mode::Invite));
        let token = town.invite(1).await;
        let invited = town.present(&token).await.unwrap();
        let names: Vec<String> = (0..8).map(|n| format!("name{n}")).collect();
        // Two ask for each name, one at each router.
        let asks = names.iter().flat_map(|name| [(0, name), (1, name)]);
        let asks = asks.map(|(router, name)| town.create(router, name, Some(&invited), HOME));
        let replies = futures::future::join_all(asks).await;
        let made = replies.iter().filter(|reply| reply.is_ok()).count();
        assert_eq!(
            (made, town.accounts().await.len()),
            (1, 1),
            "round {round}: {replies:?}"
        );
        assert_eq!(town.present(&token).await, Err(Condition::ItemNotFound));
        assert_eq!(invites(&*town.stores.items, &host()).await.unwrap(), []);
    }
}

#[tokio::test]
async fn two_routers_make_as_many_accounts_as_there_are_uses() {
    let town = Town::new(2, &rules(Mode::Invite));
    let token = town.invite(3).await;
    let invited = town.present(&token).await.unwrap();
    // Who finds it busy comes again, as they are told.
    let mut left: Vec<String> = (0..8).map(|n| format!("name{n}")).collect();
    for _ in 0..10 {
        let asks = left.iter().enumerate();
        let asks = asks.map(|(at, name)| town.create(at % 2, name, Some(&invited), HOME));
        let replies = futures::future::join_all(asks).await;
        let names = left.into_iter().zip(replies);
        let again = names.filter(|(_, reply)| *reply == Err(Condition::ResourceConstraint));
        left = again.map(|(name, _)| name).collect();
    }
    assert_eq!(town.accounts().await.len(), 3);
}

/// Whoever has the name of an administrator is one: nobody makes it his own, whatever lets him in, but who was invited by it.
#[tokio::test]
async fn an_administrators_name_is_kept() {
    for mode in [Mode::Open, Mode::Invite] {
        let town = Town::new(1, &rules(mode));
        let any = town.present(&town.invite(1).await).await.unwrap();
        let alone = (mode == Mode::Open).then_some(None);
        for invited in alone.into_iter().chain([Some(&any)]) {
            for name in ["prince", "Prince"] {
                let refused = town.create(0, name, invited, HOME).await;
                assert_eq!(refused, Err(Condition::NotAcceptable), "{mode:?} {name}");
            }
        }
        assert_eq!(town.create(0, "nurse", Some(&any), HOME).await, Ok(()));
        let named = town.invite_as(Some("prince"), 1).await;
        let named = town.present(&named).await.unwrap();
        assert_eq!(town.create(0, "prince", Some(&named), HOME).await, Ok(()));
    }
}

#[tokio::test]
async fn a_name_that_is_taken_does_not_use_the_invitation_up() {
    let town = Town::new(1, &rules(Mode::Invite));
    town.add("juliet", Timestamp(0), false).await;
    // Retired, it is not seen before the account is to be made.
    town.stores.accounts.retire(&bare("juliet")).await.unwrap();
    let token = town.invite(1).await;
    let invited = town.present(&token).await.unwrap();
    assert_eq!(
        town.create(0, "juliet", Some(&invited), HOME).await,
        Err(Condition::Conflict)
    );
    assert_eq!(town.create(0, "nurse", Some(&invited), HOME).await, Ok(()));
}

/// Also when there is another account of that name by now.
#[tokio::test]
async fn what_a_user_made_is_good_while_that_user_may_be_here() {
    let town = Town::new(1, &rules(Mode::Invite));
    let now = town.hands.now();
    town.add("romeo", now, false).await;
    town.add("tybalt", now, true).await;
    town.add("mercutio", Timestamp(now.0 + 1), false).await;
    let gone = Err(Condition::ItemNotFound);
    for (maker, expected) in [
        ("romeo", Ok(())),
        ("tybalt", gone),
        ("mercutio", gone),
        ("nobody", gone),
    ] {
        let token = town.keep(Invite {
            by: Some(bare(maker)),
            ..town.invitation()
        });
        let presented = town.present(&token.await).await;
        assert_eq!(presented.map(drop), expected, "{maker}");
    }
    let token = town.keep(Invite {
        by: Some(bare("romeo")),
        ..town.invitation()
    });
    let invited = town.present(&token.await).await.unwrap();
    town.stores.accounts.set_disabled(&bare("romeo"), true).await.unwrap();
    assert_eq!(town.create(0, "juliet", Some(&invited), HOME).await, gone);
    town.stores.accounts.set_disabled(&bare("romeo"), false).await.unwrap();
    assert_eq!(town.create(0, "juliet", Some(&invited), HOME).await, Ok(()));
}

#[tokio::test]
async fn in_doubt_the_invitation_is_for_the_same_name() {
    let town = Town::new(2, &rules(Mode::Invite));
    let token = town.invite(1).await;
    let invited = town.present(&token).await.unwrap();
    town.accounts.away.store(true, Ordering::SeqCst);
    let away = Err(Condition::ResourceConstraint);
    assert_eq!(town.create(0, "juliet", Some(&invited), HOME).await, away);
    town.accounts.away.store(false, Ordering::SeqCst);
    // Nobody knows whether there will be an account after all.
    assert_eq!(
        town.create(1, "nurse", Some(&invited), HOME).await,
        Err(Condition::ItemNotFound)
    );
    assert_eq!(town.create(1, "juliet", Some(&invited), HOME).await, away, "too soon");
    town.pass(MINUTE);
    assert_eq!(
        town.create(1, "nurse", Some(&invited), HOME).await,
        Err(Condition::ItemNotFound)
    );
    assert_eq!(town.create(1, "juliet", Some(&invited), HOME).await, Ok(()));
    assert_eq!(town.accounts().await, ["juliet"]);
}

#[tokio::test]
async fn time_counts_when_the_token_is_presented() {
    let town = Town::new(1, &rules(Mode::Invite));
    let token = town.invite(2).await;
    let invited = town.present(&token).await.unwrap();
    town.pass(10 * MINUTE);
    assert_eq!(town.present(&token).await, Err(Condition::ItemNotFound));
    assert_eq!(town.create(0, "juliet", Some(&invited), HOME).await, Ok(()));
    // What was taken back is not good for those who have presented it either.
    let (id, _) = invites(&*town.stores.items, &host()).await.unwrap().remove(0);
    assert!(!id.contains(&token), "the token is not kept");
    assert!(revoke_invite(&*town.stores.items, &host(), &id[..12]).await.unwrap());
    assert_eq!(
        town.create(0, "nurse", Some(&invited), HOME).await,
        Err(Condition::ItemNotFound)
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_accounts_in_so_much_time() {
    let limited = Registration {
        per_address: 2,
        per_host: 3,
        ..rules(Mode::Open)
    };
    let town = Town::new(1, &limited);
    let busy = Err(Condition::ResourceConstraint);
    let (other, third) = ("2001:db8::1", "2001:db8:0:1::1");
    for (name, from, expected) in [
        ("a1", HOME, Ok(())),
        ("a1", HOME, Err(Condition::Conflict)), // does not count
        ("a2", HOME, Ok(())),
        ("a3", HOME, busy),
        ("a3", other, Ok(())),
        ("a4", third, busy), // of all together
    ] {
        assert_eq!(town.create(0, name, None, from).await, expected, "{name} from {from}");
    }
    tokio::time::advance(std::time::Duration::from_secs(3_600)).await;
    assert_eq!(town.create(0, "a4", None, HOME).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn guesses_count_as_failed_logins() {
    let town = Town::with(1, &rules(Mode::Open), 5);
    for _ in 0..5 {
        assert_eq!(town.present("guess").await, Err(Condition::ItemNotFound));
    }
    assert_eq!(town.present("guess").await, Err(Condition::ResourceConstraint));
    assert_eq!(
        town.create(0, "juliet", None, HOME).await,
        Err(Condition::ResourceConstraint)
    );
    assert_eq!(town.create(0, "juliet", None, "192.0.2.2").await, Ok(()));
}

#[tokio::test]
async fn nobody_registers_where_it_is_closed() {
    let town = Town::new(1, &rules(Mode::Closed));
    let token = town.invite(1).await;
    let closed = Condition::ServiceUnavailable;
    assert_eq!(town.create(0, "juliet", None, HOME).await, Err(closed));
    assert_eq!(town.present(&token).await, Err(closed));
    assert_eq!(refused(town.ask(0, RegisterStep::Form, None, HOME).await), closed);
}

#[async_trait]
impl Accounts for Shaky {
    async fn get(&self, jid: &Bare) -> store::Result<Option<Account>> {
        self.inner.get(jid).await
    }
    async fn create(&self, accounts: &[Account]) -> store::Result<()> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("away".into())),
            false => self.inner.create(accounts).await,
        }
    }
    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> store::Result<()> {
        self.inner.set_verifiers(jid, verifiers).await
    }
    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> store::Result<()> {
        self.inner.set_last_seen(jid, at).await
    }
    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> store::Result<bool> {
        self.inner.set_disabled(jid, disabled).await
    }
    async fn retire(&self, jid: &Bare) -> store::Result<bool> {
        self.inner.retire(jid).await
    }
    async fn retired(&self, after: Option<&Bare>, limit: u32) -> store::Result<Vec<Bare>> {
        self.inner.retired(after, limit).await
    }
    async fn remove(&self, jid: &Bare) -> store::Result<bool> {
        self.inner.remove(jid).await
    }
    async fn clear(&self, jid: &Bare) -> store::Result<()> {
        self.inner.clear(jid).await
    }
    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> store::Result<Vec<Bare>> {
        self.inner.list(domain, after, limit).await
    }
}
