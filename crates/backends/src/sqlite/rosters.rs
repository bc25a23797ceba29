//! Rosters in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use stanza::{Bare, Jid};
use store::{Ask, Contact, Error, REMOVED_KEPT, Result, Roster, Rosters};

use super::Sqlite;
use super::writer::Write;
use crate::observe::At;
use crate::sql::{self, failed, groups_text};

const AT: At = At {
    backend: "sqlite",
    port: "rosters",
};

#[async_trait]
impl Rosters for Sqlite {
    async fn load(&self, owner: &Bare) -> Result<Roster> {
        AT.call("load", async {
            let rows = sqlx::query_as(sql::ROSTER_LOAD)
                .bind(owner.as_str())
                .fetch_all(&self.readers)
                .await;
            sql::roster(rows.map_err(failed)?)
        })
        .await
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> Result<u64> {
        let write = Change {
            owner: owner.clone(),
            seen,
            put: put.to_vec(),
            remove: remove.to_vec(),
        };
        AT.call("change", self.writer.write(write)).await
    }
}

struct Change {
    owner: Bare,
    seen: u64,
    put: Vec<Contact>,
    remove: Vec<Jid>,
}

impl Write for Change {
    type Answer = u64;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<u64> {
        self.advance(connection).await?;
        for contact in &self.put {
            self.put(connection, contact).await?;
        }
        for jid in &self.remove {
            let remove = sqlx::query(sql::CONTACT_REMOVE)
                .bind(self.owner.as_str())
                .bind(jid.as_str());
            remove
                .bind(self.version())
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        if !self.remove.is_empty() {
            self.forget(connection).await?;
        }
        Ok(self.seen + 1)
    }
}

impl Change {
    fn version(&self) -> i64 {
        self.seen.cast_signed().wrapping_add(1)
    }

    async fn advance(&self, connection: &mut SqliteConnection) -> Result<()> {
        let advance = match self.seen {
            0 => sqlx::query(sql::ROSTER_BEGIN).bind(self.owner.as_str()),
            seen => sqlx::query(sql::ROSTER_ADVANCE)
                .bind(self.owner.as_str())
                .bind(seen.cast_signed()),
        };
        match advance.execute(connection).await.map_err(failed)?.rows_affected() {
            0 => Err(Error::Conflict),
            _ => Ok(()),
        }
    }

    async fn put(&self, connection: &mut SqliteConnection, contact: &Contact) -> Result<()> {
        sqlx::query(include_str!("sql/contact_put.sql"))
            .bind(self.owner.as_str())
            .bind(contact.jid.as_str())
            .bind(self.version())
            .bind(&contact.name)
            .bind(groups_text(&contact.groups))
            .bind(contact.subscription.name())
            .bind(contact.ask == Ask::Subscribe)
            .bind(contact.approved)
            .bind(&contact.pending_in)
            .bind(contact.in_roster)
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Forgets the oldest removed contacts beyond what a roster keeps of them.
    async fn forget(&self, connection: &mut SqliteConnection) -> Result<()> {
        let excess = sqlx::query_as(sql::CONTACT_EXCESS)
            .bind(self.owner.as_str())
            .bind(REMOVED_KEPT as i64);
        let excess: Option<(i64, String)> = excess.fetch_optional(&mut *connection).await.map_err(failed)?;
        let Some((version, jid)) = excess else { return Ok(()) };
        let forget = sqlx::query(sql::CONTACT_FORGET)
            .bind(self.owner.as_str())
            .bind(version)
            .bind(jid);
        forget.execute(&mut *connection).await.map_err(failed)?;
        let oldest = sqlx::query(sql::ROSTER_OLDEST).bind(self.owner.as_str()).bind(version);
        oldest.execute(connection).await.map(drop).map_err(failed)
    }
}
