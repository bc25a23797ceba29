//! User accounts in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use stanza::{Bare, Timestamp};
use store::{Account, Accounts, Error, Result, Verifier};

use super::Sqlite;
use super::connection::Connection;
use crate::observe::At;
use crate::sql::{self, address, verifiers, verifiers_text};

const AT: At = At {
    backend: "sqlite",
    port: "accounts",
};

#[async_trait]
impl Accounts for Sqlite {
    async fn get(&self, jid: &Bare) -> Result<Option<Account>> {
        let jid = jid.clone();
        let get = move |db: &Connection| get(db, &jid);
        AT.call("get", self.readers.short(get)).await
    }

    async fn create(&self, accounts: &[Account]) -> Result<()> {
        let accounts = accounts.to_vec();
        let create = move |db: &Connection| create(db, &accounts);
        AT.call("create", self.writer.write(create)).await
    }

    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> Result<()> {
        let (jid, text) = (jid.clone(), verifiers_text(verifiers));
        let set = move |db: &Connection| match db.execute(sql::ACCOUNT_VERIFIERS, (&text, jid.as_str()))? {
            0 => Err(Error::Precondition("no such account")),
            _ => Ok(()),
        };
        AT.call("set_verifiers", self.writer.write(set)).await
    }

    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> Result<()> {
        let jid = jid.clone();
        let set = move |db: &Connection| db.execute(sql::ACCOUNT_SEEN, (at.0, jid.as_str())).map(drop);
        AT.call("set_last_seen", self.writer.write(set)).await
    }

    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> Result<bool> {
        let jid = jid.clone();
        let set = move |db: &Connection| Ok(db.execute(sql::ACCOUNT_DISABLE, (disabled, jid.as_str()))? > 0);
        AT.call("set_disabled", self.writer.write(set)).await
    }

    async fn retire(&self, jid: &Bare) -> Result<bool> {
        let jid = jid.clone();
        let retire = move |db: &Connection| Ok(db.execute(sql::ACCOUNT_RETIRE, (jid.as_str(),))? > 0);
        AT.call("retire", self.writer.write(retire)).await
    }

    async fn retired(&self, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        let after = after.map_or_else(String::new, |after| after.as_str().to_owned());
        let retired = move |db: &Connection| addresses(db.all(sql::ACCOUNT_RETIRED, (after, i64::from(limit)))?);
        AT.call("retired", self.readers.long(retired)).await
    }

    async fn remove(&self, jid: &Bare) -> Result<bool> {
        let jid = jid.clone();
        let remove = move |db: &Connection| {
            let was_there = db.execute(sql::ACCOUNT_REMOVE, (jid.as_str(),))? > 0;
            if was_there {
                remove_owned(db, &jid)?;
            }
            Ok(was_there)
        };
        AT.call("remove", self.writer.write(remove)).await
    }

    async fn clear(&self, jid: &Bare) -> Result<()> {
        let jid = jid.clone();
        let clear = move |db: &Connection| {
            if exists(db, &jid)? {
                return Err(Error::Precondition("account exists"));
            }
            remove_owned(db, &jid)
        };
        AT.call("clear", self.writer.write(clear)).await
    }

    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        let after = after.map_or_else(String::new, |after| after.as_str().to_owned());
        let domain = domain.to_owned();
        let list = move |db: &Connection| {
            let values = (domain, after, i64::from(limit));
            addresses(db.all(include_str!("sql/account_list.sql"), values)?)
        };
        AT.call("list", self.readers.long(list)).await
    }
}

fn get(db: &Connection, jid: &Bare) -> Result<Option<Account>> {
    let row: Option<(i64, Option<i64>, String, bool)> = db.one(sql::ACCOUNT_GET, (jid.as_str(),))?;
    let Some((created, last_seen, text, disabled)) = row else {
        return Ok(None);
    };
    Ok(Some(Account {
        jid: jid.clone(),
        created: Timestamp(created),
        verifiers: verifiers(&text)?,
        last_seen: last_seen.map(Timestamp),
        disabled,
    }))
}

fn create(db: &Connection, accounts: &[Account]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for account in accounts {
        if exists(db, &account.jid)? || !seen.insert(&account.jid) {
            return Err(Error::Precondition("account exists"));
        }
    }
    for account in accounts {
        remove_owned(db, &account.jid)?;
        let values = (
            account.jid.as_str(),
            account.jid.domain(),
            account.created.0,
            account.last_seen.map(|at| at.0),
            verifiers_text(&account.verifiers),
        );
        db.execute(include_str!("sql/account_create.sql"), values)?;
    }
    Ok(())
}

fn exists(db: &Connection, jid: &Bare) -> Result<bool> {
    let exists: Option<(bool,)> = db.one(sql::ACCOUNT_EXISTS, (jid.as_str(),))?;
    Ok(exists.is_some_and(|(exists,)| exists))
}

/// Remove an account's logs.
const LOGS_REMOVE: [&str; 3] = [
    include_str!("sql/owner_remove_words.sql"),
    include_str!("sql/owner_remove_archive.sql"),
    include_str!("sql/owner_remove_logs.sql"),
];

/// Removes what an account owns besides its own row.
fn remove_owned(db: &Connection, owner: &Bare) -> Result<()> {
    for table in sql::OWNER_REMOVE.into_iter().chain(LOGS_REMOVE) {
        db.execute(table, (owner.as_str(),))?;
    }
    Ok(())
}

fn addresses(rows: Vec<(String,)>) -> Result<Vec<Bare>> {
    rows.iter().map(|(row,)| address(row)).collect()
}
