//! Rosters in SQLite.

use async_trait::async_trait;
use stanza::{Bare, Jid};
use store::{Ask, Contact, Error, REMOVED_KEPT, Result, Roster, Rosters};

use super::Sqlite;
use super::connection::Connection;
use crate::observe::At;
use crate::sql::{self, groups_text};

const AT: At = At {
    backend: "sqlite",
    port: "rosters",
};

#[async_trait]
impl Rosters for Sqlite {
    async fn load(&self, owner: &Bare) -> Result<Roster> {
        let owner = owner.clone();
        let load = move |db: &Connection| sql::roster(db.all(sql::ROSTER_LOAD, (owner.as_str(),))?);
        AT.call("load", self.readers.short(load)).await
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> Result<u64> {
        let change = Change {
            owner: owner.clone(),
            seen,
            put: put.to_vec(),
            remove: remove.to_vec(),
        };
        let write = move |db: &Connection| change.write(db);
        AT.call("change", self.writer.write(write)).await
    }
}

struct Change {
    owner: Bare,
    seen: u64,
    put: Vec<Contact>,
    remove: Vec<Jid>,
}

impl Change {
    fn write(&self, db: &Connection) -> Result<u64> {
        self.advance(db)?;
        for contact in &self.put {
            self.put(db, contact)?;
        }
        for jid in &self.remove {
            let remove = (self.version(), self.owner.as_str(), jid.as_str());
            db.execute(sql::CONTACT_REMOVE, remove)?;
        }
        if !self.remove.is_empty() {
            self.forget(db)?;
        }
        Ok(self.seen + 1)
    }

    fn version(&self) -> i64 {
        self.seen.cast_signed().wrapping_add(1)
    }

    fn advance(&self, db: &Connection) -> Result<()> {
        let owner = self.owner.as_str();
        let advanced = match self.seen {
            0 => db.execute(sql::ROSTER_BEGIN, (owner,)),
            seen => db.execute(sql::ROSTER_ADVANCE, (owner, seen.cast_signed())),
        };
        match advanced? {
            0 => Err(Error::Conflict),
            _ => Ok(()),
        }
    }

    fn put(&self, db: &Connection, contact: &Contact) -> Result<()> {
        let values = (
            self.owner.as_str(),
            contact.jid.as_str(),
            self.version(),
            &contact.name,
            groups_text(&contact.groups),
            contact.subscription.name(),
            contact.ask == Ask::Subscribe,
            contact.approved,
            &contact.pending_in,
            contact.in_roster,
        );
        db.execute(include_str!("sql/contact_put.sql"), values).map(drop)
    }

    /// Forgets the oldest removed contacts beyond what a roster keeps of them.
    fn forget(&self, db: &Connection) -> Result<()> {
        let owner = self.owner.as_str();
        let excess: Option<(i64, String)> = db.one(sql::CONTACT_EXCESS, (owner, REMOVED_KEPT as i64))?;
        let Some((version, jid)) = excess else { return Ok(()) };
        db.execute(sql::CONTACT_FORGET, (owner, version, jid))?;
        db.execute(sql::ROSTER_OLDEST, (version, owner)).map(drop)
    }
}
