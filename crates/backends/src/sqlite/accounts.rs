//! User accounts in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use stanza::{Bare, Timestamp};
use store::{Account, Accounts, Error, Result, Verifier};

use super::Sqlite;
use super::writer::Write;
use crate::observe::At;
use crate::sql::{self, address, failed, verifiers, verifiers_text};

const AT: At = At {
    backend: "sqlite",
    port: "accounts",
};

#[async_trait]
impl Accounts for Sqlite {
    async fn get(&self, jid: &Bare) -> Result<Option<Account>> {
        AT.call("get", async {
            let row: Option<(i64, Option<i64>, String, bool)> = sqlx::query_as(sql::ACCOUNT_GET)
                .bind(jid.as_str())
                .fetch_optional(&self.readers)
                .await
                .map_err(failed)?;
            let Some((created, last_seen, text, disabled)) = row else {
                return Ok(None);
            };
            let (created, last_seen) = (Timestamp(created), last_seen.map(Timestamp));
            Ok(Some(Account {
                jid: jid.clone(),
                created,
                verifiers: verifiers(&text)?,
                last_seen,
                disabled,
            }))
        })
        .await
    }

    async fn create(&self, accounts: &[Account]) -> Result<()> {
        AT.call("create", self.writer.write(Create(accounts.to_vec()))).await
    }

    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> Result<()> {
        let write = SetVerifiers {
            jid: jid.clone(),
            text: verifiers_text(verifiers),
        };
        AT.call("set_verifiers", self.writer.write(write)).await
    }

    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> Result<()> {
        AT.call("set_last_seen", self.writer.write(SetLastSeen { jid: jid.clone(), at }))
            .await
    }

    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> Result<bool> {
        let write = SetDisabled {
            jid: jid.clone(),
            disabled,
        };
        AT.call("set_disabled", self.writer.write(write)).await
    }

    async fn retire(&self, jid: &Bare) -> Result<bool> {
        AT.call("retire", self.writer.write(Retire(jid.clone()))).await
    }

    async fn retired(&self, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        AT.call("retired", async {
            let after = after.map_or("", |after| after.as_str());
            let list = sqlx::query_scalar(sql::ACCOUNT_RETIRED)
                .bind(after)
                .bind(i64::from(limit));
            let rows: Vec<String> = list.fetch_all(&self.readers).await.map_err(failed)?;
            rows.iter().map(|row| address(row)).collect()
        })
        .await
    }

    async fn remove(&self, jid: &Bare) -> Result<bool> {
        AT.call("remove", self.writer.write(Remove(jid.clone()))).await
    }

    async fn clear(&self, jid: &Bare) -> Result<()> {
        AT.call("clear", self.writer.write(Clear(jid.clone()))).await
    }

    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        AT.call("list", async {
            let after = after.map_or("", |after| after.as_str());
            let list = sqlx::query_scalar(include_str!("sql/account_list.sql"))
                .bind(domain)
                .bind(after)
                .bind(i64::from(limit));
            let rows: Vec<String> = list.fetch_all(&self.readers).await.map_err(failed)?;
            rows.iter().map(|row| address(row)).collect()
        })
        .await
    }
}

struct Create(Vec<Account>);

impl Write for Create {
    type Answer = ();

    async fn write(&self, connection: &mut SqliteConnection) -> Result<()> {
        let mut seen = BTreeSet::new();
        for account in &self.0 {
            let exists = sqlx::query_scalar(sql::ACCOUNT_EXISTS).bind(account.jid.as_str());
            let exists: bool = exists.fetch_one(&mut *connection).await.map_err(failed)?;
            if exists || !seen.insert(&account.jid) {
                return Err(Error::Precondition("account exists"));
            }
        }
        for account in &self.0 {
            remove_owned(connection, &account.jid).await?;
            sqlx::query(include_str!("sql/account_create.sql"))
                .bind(account.jid.as_str())
                .bind(account.jid.domain())
                .bind(account.created.0)
                .bind(account.last_seen.map(|at| at.0))
                .bind(verifiers_text(&account.verifiers))
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }
}

struct SetVerifiers {
    jid: Bare,
    text: String,
}

impl Write for SetVerifiers {
    type Answer = ();

    async fn write(&self, connection: &mut SqliteConnection) -> Result<()> {
        let set = sqlx::query(sql::ACCOUNT_VERIFIERS)
            .bind(self.jid.as_str())
            .bind(&self.text);
        match set.execute(connection).await.map_err(failed)?.rows_affected() {
            0 => Err(Error::Precondition("no such account")),
            _ => Ok(()),
        }
    }
}

struct SetLastSeen {
    jid: Bare,
    at: Timestamp,
}

impl Write for SetLastSeen {
    type Answer = ();

    async fn write(&self, connection: &mut SqliteConnection) -> Result<()> {
        let set = sqlx::query(sql::ACCOUNT_SEEN).bind(self.jid.as_str()).bind(self.at.0);
        set.execute(connection).await.map(drop).map_err(failed)
    }
}

struct SetDisabled {
    jid: Bare,
    disabled: bool,
}

impl Write for SetDisabled {
    type Answer = bool;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<bool> {
        let set = sqlx::query(sql::ACCOUNT_DISABLE)
            .bind(self.jid.as_str())
            .bind(self.disabled);
        Ok(set.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }
}

struct Retire(Bare);

impl Write for Retire {
    type Answer = bool;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<bool> {
        let retire = sqlx::query(sql::ACCOUNT_RETIRE).bind(self.0.as_str());
        Ok(retire.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }
}

struct Remove(Bare);

impl Write for Remove {
    type Answer = bool;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<bool> {
        let account = sqlx::query(sql::ACCOUNT_REMOVE).bind(self.0.as_str());
        let was_there = account.execute(&mut *connection).await.map_err(failed)?.rows_affected() > 0;
        if was_there {
            remove_owned(connection, &self.0).await?;
        }
        Ok(was_there)
    }
}

struct Clear(Bare);

impl Write for Clear {
    type Answer = ();

    async fn write(&self, connection: &mut SqliteConnection) -> Result<()> {
        let exists = sqlx::query_scalar(sql::ACCOUNT_EXISTS).bind(self.0.as_str());
        if exists.fetch_one(&mut *connection).await.map_err(failed)? {
            return Err(Error::Precondition("account exists"));
        }
        remove_owned(connection, &self.0).await
    }
}

/// Removes what an account owns besides its own row.
async fn remove_owned(connection: &mut SqliteConnection, owner: &Bare) -> Result<()> {
    for table in sql::OWNER_REMOVE {
        let remove = sqlx::query(table).bind(owner.as_str());
        remove.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}
