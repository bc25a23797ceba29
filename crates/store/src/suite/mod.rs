//! One async function per promise of a port; every back-end runs them all through [`suite!`](crate::suite!).
//!
//! A back-end says how a fresh, empty set of stores is made and which ports it keeps:
//!
//! ```text
//! async fn fresh() -> (store::Stores, Guard) { ... }
//! store::suite!(fresh: accounts, rosters, archive, items);
//! ```
#![allow(clippy::missing_panics_doc, reason = "these are tests: a broken promise is a panic")]

pub mod accounts;
pub mod archive;
pub mod items;
pub mod locations;
pub mod members;
pub mod presence;
pub mod rosters;

use stanza::{Bare, Full, Jid};

/// Instantiates the promises of the named ports as `#[tokio::test]`s. The first argument names an async function in scope
/// that returns `(Stores, guard)`; the guard lives as long as the test.
#[macro_export]
macro_rules! suite {
    ($make:ident : $($port:ident),+ $(,)?) => { $($crate::suite_port!($port, $make);)+ };
}

/// The promises of one port, see [`suite!`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! suite_port {
    (accounts, $make:ident) => {
        $crate::promises!($make, accounts: creates_all_or_none, refuses_twins_in_one_call, replaces_verifiers,
            remembers_last_seen, disables_and_enables, a_retired_account_is_none_but_taken, removes_all_it_owned, lists_the_retired,
            begins_with_nothing, clears_what_is_left, lists_a_domain_in_order, one_of_two_creators_wins);
    };
    (rosters, $make:ident) => {
        $crate::promises!($make, rosters: starts_empty_at_version_0, keeps_every_field, replaces_and_removes,
            refuses_a_stale_version, one_of_many_writers_wins, remembers_the_removed, forgets_the_oldest_removed,
            owners_are_apart);
    };
    (archive, $make:ident) => {
        $crate::promises!($make, archive: appends_and_reads_back, repeated_key_finds_its_first_self,
            repeated_id_is_left_out, repetition_in_concurrent_appends_is_kept_once, pages_forward_and_backward,
                    pages_by_bytes,
                    walks_past_what_is_not_asked_for,
            filters_by_party_and_time, counts_and_trims, removes_some, reads_named_entries, tells_what_is_in_excess,
            replaces_one, finds_what_was_said, finds_page_by_page, finds_what_is_there, indexes_while_others_replace, logs_and_owners_are_apart,
            takes_many_at_once, many_small_appends_are_all_kept, empty_log_is_complete);
    };
    (items, $make:ident) => {
        $crate::promises!($make, items: puts_and_gets, compares_before_it_swaps, one_of_many_writers_wins,
            lists_a_space_in_order, pages_through_all_spaces, removes_the_version_seen, owners_are_apart);
    };
    (presence, $make:ident) => {
        $crate::promises!($make, presence: generation_stays, refuses_an_unknown_generation, keeps_every_field,
            newest_wins_and_none_removes, slots_are_apart, keeps_many);
    };
    (locations, $make:ident) => {
        $crate::promises!($make, locations: keeps_every_field, later_calls_win, slots_are_apart, keeps_many,
            odd_resources_survive);
    };
    (members, $make:ident) => {
        $crate::promises!($make, members: joins_once_per_life, later_lives_have_later_epochs, leases_end_unless_kept,
            update_keeps_the_epoch, drain_marks_a_live_node, bury_ends_one_life_alone, update_of_a_past_life_is_refused, leave_of_a_past_life_does_nothing,
            publishes_in_order, one_of_two_publishers_wins, watch_starts_with_what_is, every_watcher_is_told,
            secret_is_made_once);
    };
}

/// See [`suite!`](crate::suite!).
#[doc(hidden)]
#[macro_export]
macro_rules! promises {
    ($make:ident, $port:ident: $($promise:ident),+ $(,)?) => {
        mod $port {
            $(
                #[tokio::test]
                async fn $promise() {
                    let (stores, _guard) = super::$make().await;
                    $crate::suite::$port::$promise(&stores).await;
                }
            )+
        }
    };
}

/// A valid address.
pub(crate) fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("a valid address")
}

/// A valid bare address.
pub(crate) fn bare(text: &str) -> Bare {
    Bare::parse(text).expect("a valid bare address")
}

/// A valid full address.
pub(crate) fn full(text: &str) -> Full {
    Full::parse(text).expect("a valid full address")
}

/// What a call must answer in these tests.
pub(crate) fn ok<T>(answer: crate::Result<T>) -> T {
    answer.unwrap_or_else(|error| panic!("the store answered: {error} ({error:?})"))
}

/// Runs all futures at once and waits for every one.
pub(crate) async fn all<T>(calls: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.into_iter().map(|call| (Box::pin(call), None)).collect();
    std::future::poll_fn(|context| {
        for (call, answer) in calls.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let std::task::Poll::Ready(value) = call.as_mut().poll(context) {
                *answer = Some(value);
            }
        }
        if calls.iter().all(|(_, answer)| answer.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    calls.into_iter().filter_map(|(_, answer)| answer).collect()
}
