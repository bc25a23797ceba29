//! Rosters in PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;
use stanza::{Bare, Jid};
use store::{Ask, Contact, Error, REMOVED_KEPT, Result, Roster, Rosters};

use super::Postgres;
use super::retry::{answer, persist};
use crate::observe::At;
use crate::sql::{self, groups_text};

const AT: At = At {
    backend: "postgres",
    port: "rosters",
};

#[async_trait]
impl Rosters for Postgres {
    async fn load(&self, owner: &Bare) -> Result<Roster> {
        self.call(AT, "load", async {
            sql::roster(answer(
                sqlx::query_as(sql::ROSTER_LOAD)
                    .bind(owner.as_str())
                    .fetch_all(&self.pool)
                    .await,
            )?)
        })
        .await
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> Result<u64> {
        let change = Change {
            owner: owner.as_str(),
            seen: seen.cast_signed(),
            put: &last_of_each(put),
            remove,
        };
        self.call(AT, "change", async {
            match answer(persist(|| self.apply(&change)).await)? {
                true => Ok(seen + 1),
                false => Err(Error::Conflict),
            }
        })
        .await
    }
}

struct Change<'a> {
    owner: &'a str,
    seen: i64,
    put: &'a [&'a Contact],
    remove: &'a [Jid],
}

/// One statement may not touch a row twice; the last word of each contact counts.
fn last_of_each(put: &[Contact]) -> Vec<&Contact> {
    let last: std::collections::BTreeMap<_, _> = put.iter().map(|contact| (&contact.jid, contact)).collect();
    last.into_values().collect()
}

impl Postgres {
    /// Returns whether the roster was at the version seen. Dropping the transaction rolls it back.
    async fn apply(&self, change: &Change<'_>) -> sqlx::Result<bool> {
        let mut transaction = self.pool.begin().await?;
        if !change.advance(&mut transaction).await? {
            return Ok(false);
        }
        if !change.put.is_empty() {
            change.put(&mut transaction).await?;
        }
        for jid in change.remove {
            let remove = sqlx::query(sql::CONTACT_REMOVE)
                .bind(change.version())
                .bind(change.owner)
                .bind(jid.as_str());
            remove.execute(&mut *transaction).await?;
        }
        if !change.remove.is_empty() {
            change.forget(&mut transaction).await?;
        }
        transaction.commit().await.map(|()| true)
    }
}

impl Change<'_> {
    fn version(&self) -> i64 {
        self.seen.wrapping_add(1)
    }

    async fn advance(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let advance = match self.seen {
            0 => sqlx::query(sql::ROSTER_BEGIN).bind(self.owner),
            seen => sqlx::query(sql::ROSTER_ADVANCE).bind(self.owner).bind(seen),
        };
        Ok(advance.execute(connection).await?.rows_affected() > 0)
    }

    async fn put(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let put = self.put;
        sqlx::query(include_str!("sql/contact_put.sql"))
            .bind(self.owner)
            .bind(self.version())
            .bind(put.iter().map(|contact| contact.jid.as_str()).collect::<Vec<_>>())
            .bind(put.iter().map(|contact| contact.name.as_deref()).collect::<Vec<_>>())
            .bind(
                put.iter()
                    .map(|contact| groups_text(&contact.groups))
                    .collect::<Vec<_>>(),
            )
            .bind(
                put.iter()
                    .map(|contact| contact.subscription.name())
                    .collect::<Vec<_>>(),
            )
            .bind(
                put.iter()
                    .map(|contact| contact.ask == Ask::Subscribe)
                    .collect::<Vec<_>>(),
            )
            .bind(put.iter().map(|contact| contact.approved).collect::<Vec<_>>())
            .bind(
                put.iter()
                    .map(|contact| contact.pending_in.as_deref())
                    .collect::<Vec<_>>(),
            )
            .bind(put.iter().map(|contact| contact.in_roster).collect::<Vec<_>>())
            .execute(connection)
            .await
            .map(drop)
    }

    /// Forgets the oldest removed contacts beyond what a roster keeps of them.
    async fn forget(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let excess = sqlx::query_as(sql::CONTACT_EXCESS)
            .bind(self.owner)
            .bind(REMOVED_KEPT as i64);
        let excess: Option<(i64, String)> = excess.fetch_optional(&mut *connection).await?;
        let Some((version, jid)) = excess else { return Ok(()) };
        let forget = sqlx::query(sql::CONTACT_FORGET)
            .bind(self.owner)
            .bind(version)
            .bind(jid);
        forget.execute(&mut *connection).await?;
        sqlx::query(sql::ROSTER_OLDEST)
            .bind(version)
            .bind(self.owner)
            .execute(connection)
            .await
            .map(drop)
    }
}
