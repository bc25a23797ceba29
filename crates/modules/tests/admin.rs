//! What administrators do with many accounts at once, when the store fails in between.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod scene;

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Bare, Timestamp};
use scene::juliet;
use stanza::form::{Form, FormType};
use store::{Account, Accounts, Error, Result, Stores, Verifier};

const ADMIN: &str = "http://jabber.org/protocol/admin";

/// Accounts of which one cannot be changed.
struct Flaky(Arc<dyn Accounts>, Bare);

impl Flaky {
    fn check(&self, jid: &Bare) -> Result<()> {
        match *jid == self.1 {
            true => Err(Error::Unavailable("away".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Accounts for Flaky {
    async fn get(&self, jid: &Bare) -> Result<Option<Account>> {
        self.0.get(jid).await
    }
    async fn create(&self, accounts: &[Account]) -> Result<()> {
        self.0.create(accounts).await
    }
    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> Result<()> {
        self.0.set_verifiers(jid, verifiers).await
    }
    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> Result<()> {
        self.0.set_last_seen(jid, at).await
    }
    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> Result<bool> {
        self.check(jid)?;
        self.0.set_disabled(jid, disabled).await
    }
    async fn retire(&self, jid: &Bare) -> Result<bool> {
        self.check(jid)?;
        self.0.retire(jid).await
    }
    async fn retired(&self, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        self.0.retired(after, limit).await
    }
    async fn remove(&self, jid: &Bare) -> Result<bool> {
        self.0.remove(jid).await
    }
    async fn clear(&self, jid: &Bare) -> Result<()> {
        self.0.clear(jid).await
    }
    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        self.0.list(domain, after, limit).await
    }
}

fn bare(name: &str) -> Bare {
    Bare::parse(&format!("{name}@capulet.example")).unwrap()
}

/// Those who were disabled before the store was away are told to go; of the others it is said that nothing became of them.
#[test]
fn one_that_fails_hides_nothing_of_the_others() {
    let mut scene = juliet().online("balcony", 1);
    let account = |name: &str| Account {
        jid: bare(name),
        created: Timestamp(0),
        verifiers: Vec::new(),
        last_seen: None,
        disabled: false,
    };
    let accounts = ["nurse", "peter", "sampson"].map(account);
    futures::executor::block_on(scene.stores.accounts.create(&accounts)).unwrap();
    scene.stores = Stores {
        accounts: Arc::new(Flaky(scene.stores.accounts.clone(), bare("peter"))),
        ..scene.stores
    };
    let who = ["nobody", "nurse", "peter", "sampson"].map(|name| bare(name).to_string());
    let form = Form::new(FormType::Submit, ADMIN).with("accountjids", None, who);
    let later = |name: &str| format!("{name}@capulet.example could not be changed now; please come again");
    for (name, orders) in [("disable-user", 1), ("reenable-user", 0), ("delete-user", 0)] {
        let (failures, effects) = scene.command(&format!("{ADMIN}#{name}"), form.clone());
        let nobody = "there is no user nobody@capulet.example".to_owned();
        assert_eq!(failures, [nobody, later("peter"), later("sampson")], "{name}");
        assert_eq!(effects.len(), orders, "{name}");
        let is_meant =
            |effect: &String| effect.contains("to='nurse@capulet.example'") && effect.contains("why='disabled'");
        assert!(effects.iter().all(is_meant), "{effects:?}");
    }
}
