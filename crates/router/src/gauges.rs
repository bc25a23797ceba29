//! What a router counts. Names and labels stand here alone, so that documentation and dashboards can be compared with them.

use engine::Way;
use metrics::{counter, gauge};
use stanza::{Condition, Stanza};

/// A stanza went through an account.
pub(crate) fn stanza(way: Way, stanza: &Stanza, outcome: &'static str) {
    let way = match way {
        Way::Out => "out",
        Way::In => "in",
    };
    counter!("dunlin_router_stanzas_total", "kind" => stanza.name(), "way" => way, "outcome" => outcome).increment(1);
}

/// A stanza was answered with an error.
pub(crate) fn refused(condition: Condition) {
    counter!("dunlin_router_stanza_errors_total", "condition" => condition.name()).increment(1);
}

/// A session was bound or attached (`true`), or ended.
pub(crate) fn session(opened: bool) {
    let sessions = gauge!("dunlin_router_sessions");
    if opened {
        sessions.increment(1.0)
    } else {
        sessions.decrement(1.0)
    }
}

/// An account was loaded.
pub(crate) fn loaded() {
    counter!("dunlin_router_accounts_loaded_total").increment(1);
}

/// So many accounts are held in memory.
pub(crate) fn accounts(held: usize) {
    gauge!("dunlin_router_accounts").set(held as f64);
}

/// A retired account was removed.
pub(crate) fn removed() {
    counter!("dunlin_router_accounts_removed_total").increment(1);
}

/// An effect could not be performed.
pub(crate) fn failed(effect: &'static str) {
    counter!("dunlin_router_effect_failures_total", "effect" => effect).increment(1);
}

/// A hook or handler of `module` panicked.
pub(crate) fn panicked(module: &'static str) {
    counter!("dunlin_router_hook_panics_total", "module" => module).increment(1);
}

/// So many slots are served and are opening.
pub(crate) fn slots(serving: usize, opening: usize) {
    for (state, slots) in [("serving", serving), ("opening", opening)] {
        gauge!("dunlin_router_slots", "state" => state).set(slots as f64);
    }
}

/// A message was kept for later (`true`), or refused as the log is full.
pub(crate) fn kept(accepted: bool) {
    let outcome = if accepted { "kept" } else { "full" };
    counter!("dunlin_router_offline_total", "outcome" => outcome).increment(1);
}

/// A session was ended by the home.
pub(crate) fn kicked(reason: &'static str) {
    counter!("dunlin_router_kicks_total", "reason" => reason).increment(1);
}

/// Something was dropped to keep a bound.
pub(crate) fn dropped(what: &'static str) {
    counter!("dunlin_router_dropped_total", "what" => what).increment(1);
}

/// A SASL exchange ended.
pub(crate) fn sasl(outcome: &'static str) {
    counter!("dunlin_router_sasl_total", "outcome" => outcome).increment(1);
}

/// A batch was written behind, or has to be tried again.
pub(crate) fn written_behind(store: &'static str, outcome: &'static str, records: usize) {
    counter!("dunlin_router_write_behind_total", "store" => store, "outcome" => outcome).increment(records as u64);
}
