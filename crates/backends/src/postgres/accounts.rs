//! User accounts in PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;
use stanza::{Bare, Timestamp};
use store::{Account, Accounts, Error, Result, Verifier};

use super::Postgres;
use super::retry::{answer, is_repetition, persist};
use crate::observe::At;
use crate::sql::{self, address, verifiers, verifiers_text};

const AT: At = At {
    backend: "postgres",
    port: "accounts",
};

#[async_trait]
impl Accounts for Postgres {
    async fn get(&self, jid: &Bare) -> Result<Option<Account>> {
        self.call(AT, "get", async {
            let get = sqlx::query_as(sql::ACCOUNT_GET)
                .bind(jid.as_str())
                .fetch_optional(&self.pool);
            let row: Option<(i64, Option<i64>, String, bool)> = answer(get.await)?;
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
        match self
            .call(AT, "create", async { Ok(persist(|| self.insert(accounts)).await) })
            .await?
        {
            Err(error) if is_repetition(&error) => Err(Error::Precondition("account exists")),
            done => answer(done),
        }
    }

    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> Result<()> {
        self.call(AT, "set_verifiers", async {
            let set = sqlx::query(sql::ACCOUNT_VERIFIERS)
                .bind(verifiers_text(verifiers))
                .bind(jid.as_str());
            match answer(set.execute(&self.pool).await)?.rows_affected() {
                0 => Err(Error::Precondition("no such account")),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> Result<()> {
        self.call(AT, "set_last_seen", async {
            let set = sqlx::query(sql::ACCOUNT_SEEN).bind(at.0).bind(jid.as_str());
            answer(set.execute(&self.pool).await).map(drop)
        })
        .await
    }

    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> Result<bool> {
        self.call(AT, "set_disabled", async {
            let set = sqlx::query(sql::ACCOUNT_DISABLE).bind(disabled).bind(jid.as_str());
            Ok(answer(set.execute(&self.pool).await)?.rows_affected() > 0)
        })
        .await
    }

    async fn retire(&self, jid: &Bare) -> Result<bool> {
        self.call(AT, "retire", async {
            let retire = sqlx::query(sql::ACCOUNT_RETIRE).bind(jid.as_str());
            Ok(answer(retire.execute(&self.pool).await)?.rows_affected() > 0)
        })
        .await
    }

    async fn retired(&self, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        self.call(AT, "retired", async {
            let after = after.map_or("", |after| after.as_str());
            let list = sqlx::query_scalar(sql::ACCOUNT_RETIRED)
                .bind(after)
                .bind(i64::from(limit));
            let rows: Vec<String> = answer(list.fetch_all(&self.pool).await)?;
            rows.iter().map(|row| address(row)).collect()
        })
        .await
    }

    async fn remove(&self, jid: &Bare) -> Result<bool> {
        self.call(AT, "remove", async { answer(persist(|| self.delete(jid)).await) })
            .await
    }

    async fn clear(&self, jid: &Bare) -> Result<()> {
        self.call(AT, "clear", async {
            match answer(persist(|| self.delete_left(jid)).await)? {
                true => Ok(()),
                false => Err(Error::Precondition("account exists")),
            }
        })
        .await
    }

    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        self.call(AT, "list", async {
            let after = after.map_or("", |after| after.as_str());
            let list = sqlx::query_scalar(include_str!("sql/account_list.sql"))
                .bind(domain)
                .bind(after)
                .bind(i64::from(limit));
            let rows: Vec<String> = answer(list.fetch_all(&self.pool).await)?;
            rows.iter().map(|row| address(row)).collect()
        })
        .await
    }
}

impl Postgres {
    /// All accounts or none, and nothing that was left under their addresses.
    async fn insert(&self, accounts: &[Account]) -> sqlx::Result<()> {
        let mut transaction = self.pool.begin().await?;
        insert(&mut transaction, accounts).await?;
        let owners: Vec<_> = accounts.iter().map(|account| account.jid.as_str()).collect();
        for table in OWNERS_REMOVE {
            sqlx::query(table).bind(&owners).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    async fn delete(&self, jid: &Bare) -> sqlx::Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let account = sqlx::query(sql::ACCOUNT_REMOVE).bind(jid.as_str());
        let was_there = account.execute(&mut *transaction).await?.rows_affected() > 0;
        if was_there {
            remove_owned(&mut transaction, jid).await?;
        }
        transaction.commit().await?;
        Ok(was_there)
    }

    /// Returns whether there was no account, so that what was left could go.
    async fn delete_left(&self, jid: &Bare) -> sqlx::Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let exists = sqlx::query_scalar(sql::ACCOUNT_EXISTS).bind(jid.as_str());
        if exists.fetch_one(&mut *transaction).await? {
            return Ok(false);
        }
        remove_owned(&mut transaction, jid).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Removes what an account owns besides its own row.
async fn remove_owned(connection: &mut PgConnection, owner: &Bare) -> sqlx::Result<()> {
    for table in sql::OWNER_REMOVE.into_iter().chain(LOGS_REMOVE) {
        sqlx::query(table)
            .bind(owner.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, accounts: &[Account]) -> sqlx::Result<()> {
    let insert = sqlx::query(include_str!("sql/account_create.sql"))
        .bind(accounts.iter().map(|account| account.jid.as_str()).collect::<Vec<_>>())
        .bind(accounts.iter().map(|account| account.jid.domain()).collect::<Vec<_>>())
        .bind(accounts.iter().map(|account| account.created.0).collect::<Vec<_>>())
        .bind(
            accounts
                .iter()
                .map(|account| account.last_seen.map(|at| at.0))
                .collect::<Vec<_>>(),
        )
        .bind(
            accounts
                .iter()
                .map(|account| verifiers_text(&account.verifiers))
                .collect::<Vec<_>>(),
        );
    insert.execute(connection).await.map(drop)
}

/// Remove an account's logs.
const LOGS_REMOVE: [&str; 3] = [
    include_str!("sql/owner_remove_archive.sql"),
    include_str!("sql/owner_remove_words.sql"),
    include_str!("sql/owner_remove_indexed.sql"),
];

/// Remove what is left under the addresses of accounts to be.
const OWNERS_REMOVE: [&str; 6] = [
    include_str!("sql/owners_remove_rosters.sql"),
    include_str!("sql/owners_remove_contacts.sql"),
    include_str!("sql/owners_remove_archive.sql"),
    include_str!("sql/owners_remove_words.sql"),
    include_str!("sql/owners_remove_indexed.sql"),
    include_str!("sql/owners_remove_items.sql"),
];
