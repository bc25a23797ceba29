//! What the SQL adapters share: the statements both databases understand, and how records become columns.
//!
//! PostgreSQL binds to a place by its number, SQLite by where it first stands in the statement: in all statements these are the same.

mod archive;
mod item;
mod query;
mod roster;
mod verifier;
mod word;

pub(crate) use archive::{entries, entry, id_bytes, id_of};
pub(crate) use item::{item, items, page_of_items};
pub(crate) use query::{Key, Query, Value, count_found, read_page};
pub(crate) use roster::{groups_text, roster};
pub(crate) use verifier::{verifiers, verifiers_text};
pub(crate) use word::{Word, floor, said, unsaid};

use store::Error;

/// An account's address as it was written.
pub(crate) fn address(row: &str) -> store::Result<stanza::Bare> {
    stanza::Bare::parse(row).map_err(|error| Error::Corrupt(format!("account: {error}")))
}

pub(crate) const ACCOUNT_GET: &str = include_str!("account_get.sql");
pub(crate) const ACCOUNT_VERIFIERS: &str = include_str!("account_verifiers.sql");
pub(crate) const ACCOUNT_SEEN: &str = include_str!("account_seen.sql");
pub(crate) const ACCOUNT_DISABLE: &str = include_str!("account_disable.sql");
pub(crate) const ACCOUNT_RETIRE: &str = include_str!("account_retire.sql");
pub(crate) const ACCOUNT_RETIRED: &str = include_str!("account_retired.sql");
pub(crate) const ACCOUNT_REMOVE: &str = include_str!("account_remove.sql");
/// Remove what an account owned besides its own row and its logs, which each database keeps in its own way.
pub(crate) const OWNER_REMOVE: [&str; 3] = [
    include_str!("owner_remove_rosters.sql"),
    include_str!("owner_remove_contacts.sql"),
    include_str!("owner_remove_items.sql"),
];
pub(crate) const ACCOUNT_EXISTS: &str = include_str!("account_exists.sql");
pub(crate) const ROSTER_LOAD: &str = include_str!("roster_load.sql");
pub(crate) const ROSTER_BEGIN: &str = include_str!("roster_begin.sql");
pub(crate) const ROSTER_ADVANCE: &str = include_str!("roster_advance.sql");
pub(crate) const ROSTER_OLDEST: &str = include_str!("roster_oldest.sql");
pub(crate) const CONTACT_REMOVE: &str = include_str!("contact_remove.sql");
pub(crate) const CONTACT_EXCESS: &str = include_str!("contact_excess.sql");
pub(crate) const CONTACT_FORGET: &str = include_str!("contact_forget.sql");
pub(crate) const ITEM_GET: &str = include_str!("item_get.sql");
pub(crate) const ITEM_LIST: &str = include_str!("item_list.sql");
pub(crate) const ITEM_PAGE: &str = include_str!("item_page.sql");
pub(crate) const ITEM_CREATE: &str = include_str!("item_create.sql");
pub(crate) const ITEM_REPLACE: &str = include_str!("item_replace.sql");
pub(crate) const ITEM_REMOVE: &str = include_str!("item_remove.sql");
