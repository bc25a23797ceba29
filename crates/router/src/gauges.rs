//! What a router counts. Names and labels stand here alone, so that documentation and dashboards can be compared with them.

use engine::Way;
use link::Renewal;
use metrics::{counter, gauge};
use stanza::{Condition, Stanza};

/// Every metric of this crate: its name, its kind, and what it tells an operator.
pub const METRICS: &[(&str, &str, &str)] = &[
    (
        "dunlin_router_accounts",
        "gauge",
        "Accounts held in memory, with sessions or idle",
    ),
    (
        "dunlin_router_accounts_loaded_total",
        "counter",
        "Accounts loaded from the stores",
    ),
    (
        "dunlin_router_accounts_removed_total",
        "counter",
        "Retired accounts that their home has removed, with all that was kept for them",
    ),
    (
        "dunlin_router_buried_total",
        "counter",
        "Lives of routers that were ended before their leases, because nothing listened at their addresses any more",
    ),
    (
        "dunlin_router_dropped_total",
        "counter",
        "Stanzas dropped, by `what`: beyond the `depth` or `steps` of what one stanza may set off; of a life that is over (`fenced`)",
    ),
    (
        "dunlin_router_effect_failures_total",
        "counter",
        "Effects that could not be performed, by `effect`; mostly a store that is away",
    ),
    (
        "dunlin_router_hook_panics_total",
        "counter",
        "Panics of hooks and handlers, by `module`: a bug, please report it",
    ),
    (
        "dunlin_router_held_stanzas_total",
        "counter",
        "Stanzas (presence, chat states) held back because nobody looked at the client (XEP-0352), or it had no stream",
    ),
    (
        "dunlin_router_kicks_total",
        "counter",
        "Sessions ended by their home, by `reason`; `overflow`: more than `router.queue_stanzas` or `queue_bytes` was not written",
    ),
    (
        "dunlin_router_lease_renewals_total",
        "counter",
        "Attempts to renew this router's own lease, by the way taken (`by`): `store`, `peer` (the store was not reached), `nobody` (nor is there \
         another router); and `outcome`: `renewed`, `ended` (it fences itself), `blind` (who answered does not reach the store either), \
         `unknown` (nobody answered)",
    ),
    (
        "dunlin_router_managed_sessions_total",
        "counter",
        "What happened to sessions under stream management, by `event`: `enabled`, `detached` (the stream is gone), `resumed`, `expired` (nobody \
         came in time), `not_found` (asked for in vain)",
    ),
    (
        "dunlin_router_offline_total",
        "counter",
        "Messages for later, by `outcome`: `kept`, `full` (refused, too many waited), `taken` (delivered from the archive)",
    ),
    (
        "dunlin_router_outdated_messages_total",
        "counter",
        "Messages removed from archives because they were older, or more, than their host keeps",
    ),
    (
        "dunlin_router_registrations_total",
        "counter",
        "Questions of clients without an account (XEP-0077), by `outcome`: `form`, `accepted` (an invitation), `created`, or the condition of the error",
    ),
    (
        "dunlin_router_repeated_messages_total",
        "counter",
        "Messages that came again after a failure and were not delivered again",
    ),
    (
        "dunlin_router_sasl_total",
        "counter",
        "SASL exchanges that ended, by `outcome`",
    ),
    ("dunlin_router_sessions", "gauge", "Sessions that are at home here"),
    (
        "dunlin_router_slot_waits",
        "gauge",
        "Stanzas, logins and attachments that wait for a slot to open; each waits `router.cluster.hold_ms` at most",
    ),
    (
        "dunlin_router_slot_waits_given_up_total",
        "counter",
        "Waits for a slot to open that were given up: the slot's home is found anew",
    ),
    (
        "dunlin_router_slots",
        "gauge",
        "Slots by `state`: `serving`, or `opening` (just moved here)",
    ),
    (
        "dunlin_router_stanza_errors_total",
        "counter",
        "Stanzas answered with an error, by `condition`",
    ),
    (
        "dunlin_router_stanzas_total",
        "counter",
        "Stanzas through accounts, by `kind`, `way` (`out` of the sender's, `in` to the recipient's) and `outcome`",
    ),
    (
        "dunlin_router_superseded_stanzas_total",
        "counter",
        "Stanzas of these that were left out, because a newer one from the same address took their place",
    ),
    (
        "dunlin_router_unwritten_bytes",
        "gauge",
        "Bytes of deliveries that no edge has reported written yet",
    ),
    (
        "dunlin_router_unwritten_deliveries",
        "gauge",
        "Deliveries that no edge has reported written yet",
    ),
    (
        "dunlin_router_write_behind_total",
        "counter",
        "Records written behind, by `store` and `outcome`: `written`, `failed` (tried again), `lost` (the store had forgotten)",
    ),
    (
        "dunlin_router_write_behind_waiting",
        "gauge",
        "Records that wait to be written behind, by `store`",
    ),
];

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

/// A message waits for a session (`true`), or was refused as too many do.
pub(crate) fn kept(accepted: bool) {
    let outcome = if accepted { "kept" } else { "full" };
    counter!("dunlin_router_offline_total", "outcome" => outcome).increment(1);
}

/// So many messages were delivered from the archive.
pub(crate) fn taken(messages: u64) {
    counter!("dunlin_router_offline_total", "outcome" => "taken").increment(messages);
}

/// So many messages were removed from an archive, as they were too old or too many.
pub(crate) fn outdated(messages: u64) {
    counter!("dunlin_router_outdated_messages_total").increment(messages);
}

/// A message came again, and was recognised.
pub(crate) fn repeated() {
    counter!("dunlin_router_repeated_messages_total").increment(1);
}

/// Somebody waits for a slot to open (`true`), or no more.
pub(crate) fn slot_wait(begins: bool) {
    gauge!("dunlin_router_slot_waits").increment(if begins { 1.0 } else { -1.0 });
}

/// A slot did not open in time.
pub(crate) fn slot_given_up() {
    counter!("dunlin_router_slot_waits_given_up_total").increment(1);
}

/// So much was delivered and not yet written.
pub(crate) fn unwritten(deliveries: u64, bytes: usize) {
    gauge!("dunlin_router_unwritten_deliveries").set(deliveries as f64);
    gauge!("dunlin_router_unwritten_bytes").set(bytes as f64);
}

/// So many records wait to be written behind.
pub(crate) fn behind(presence: usize, locations: usize) {
    for (store, records) in [("presence", presence), ("locations", locations)] {
        gauge!("dunlin_router_write_behind_waiting", "store" => store).set(records as f64);
    }
}

/// What happened to a session under stream management: `enabled`, `detached`, `resumed`, `expired`, or `not_found` when asked for.
pub(crate) fn managed(event: &'static str) {
    counter!("dunlin_router_managed_sessions_total", "event" => event).increment(1);
}

/// A stanza was held back for a client that nobody looks at, perhaps in place of an older one.
pub(crate) fn held(replaced: bool) {
    counter!("dunlin_router_held_stanzas_total").increment(1);
    if replaced {
        counter!("dunlin_router_superseded_stanzas_total").increment(1);
    }
}

/// A session was ended by the home.
pub(crate) fn kicked(reason: &'static str) {
    counter!("dunlin_router_kicks_total", "reason" => reason).increment(1);
}

/// Something was dropped to keep a bound.
pub(crate) fn dropped(what: &'static str) {
    counter!("dunlin_router_dropped_total", "what" => what).increment(1);
}

/// The life of a dead router was ended before its lease.
pub(crate) fn buried() {
    counter!("dunlin_router_buried_total").increment(1);
}

/// This router's own lease was to be renewed.
pub(crate) fn lease_renewal(by: &'static str, renewal: Renewal) {
    let outcome = match renewal {
        Renewal::Renewed => "renewed",
        Renewal::Ended => "ended",
        Renewal::Blind => "blind",
        Renewal::Unknown => "unknown",
    };
    counter!("dunlin_router_lease_renewals_total", "by" => by, "outcome" => outcome).increment(1);
}

/// A SASL exchange ended.
pub(crate) fn sasl(outcome: &'static str) {
    counter!("dunlin_router_sasl_total", "outcome" => outcome).increment(1);
}

/// A step of a registration was answered.
pub(crate) fn registration(outcome: &'static str) {
    counter!("dunlin_router_registrations_total", "outcome" => outcome).increment(1);
}

/// A batch was written behind, or has to be tried again.
pub(crate) fn written_behind(store: &'static str, outcome: &'static str, records: usize) {
    counter!("dunlin_router_write_behind_total", "store" => store, "outcome" => outcome).increment(records as u64);
}
