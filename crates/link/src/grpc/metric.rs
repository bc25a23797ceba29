//! What the links count.

use metrics::{counter, gauge, histogram};
use topology::NodeId;

/// Every metric of this crate: its name, its kind, and what it tells an operator.
pub const METRICS: &[(&str, &str, &str)] = &[
    (
        "dunlin_link_batch_frames",
        "histogram",
        "Frames written together, by `link`: who writes (`edge`, `router`, `peer`, `reply`)",
    ),
    (
        "dunlin_link_gaps_total",
        "counter",
        "Edges: deliveries that were not taken because one before them had not come; the session attaches again, and gets them in order",
    ),
    (
        "dunlin_link_given_up_total",
        "counter",
        "Stanzas that could not be handed over within the time allowed, by `link`: `edge` (the session is closed) or `peer` (the sender gets an error)",
    ),
    (
        "dunlin_link_held_bytes",
        "gauge",
        "Bytes of stanzas kept until the other side has answered for them, by `link`; bounded by the windows",
    ),
    (
        "dunlin_link_held_parcels",
        "gauge",
        "Routers: stanzas kept for another home, by `router`, the home; those of slots without a home are in none",
    ),
    (
        "dunlin_link_held_stanzas",
        "gauge",
        "Stanzas kept until the other side has answered for them, by `link`: `edge` (submissions not done) or `peer` (stanzas for other homes)",
    ),
    (
        "dunlin_link_lane_jobs",
        "gauge",
        "Frames taken in whose work goes on or waits for its turn; a full lane stops reading from its link",
    ),
    ("dunlin_link_links", "gauge", "Links that are up, by `link`"),
    (
        "dunlin_link_malformed_frames_total",
        "counter",
        "Frames that could not be read and were passed over, by `link`",
    ),
    (
        "dunlin_link_queue_bytes",
        "gauge",
        "Bytes of frames that wait to be written, by `link`",
    ),
    (
        "dunlin_link_queue_frames",
        "gauge",
        "Frames that wait to be written, by `link`; a short queue shows with a delay of up to 64 frames",
    ),
    (
        "dunlin_link_queue_overflows_total",
        "counter",
        "Links closed because the other side did not read, by `link`; it attaches again",
    ),
    (
        "dunlin_link_received_frames_total",
        "counter",
        "Frames read, by `link`: who wrote",
    ),
    (
        "dunlin_link_reconnects_total",
        "counter",
        "Times a link ended or could not be made, by `link`",
    ),
    (
        "dunlin_link_sent_bytes_total",
        "counter",
        "Bytes of frames written, roughly, by `link`",
    ),
    ("dunlin_link_sent_frames_total", "counter", "Frames written, by `link`"),
    (
        "dunlin_link_waits_total",
        "counter",
        "Times a stanza had to wait for room in a window, by `link`: back-pressure reaches the client (`edge`) or the sender's home (`peer`)",
    ),
];

/// One message was written: `link` is `edge`, `router`, `peer` or `reply`, for who writes.
pub(super) fn sent(link: &'static str, frames: usize, bytes: usize) {
    counter!("dunlin_link_sent_frames_total", "link" => link).increment(frames as u64);
    counter!("dunlin_link_sent_bytes_total", "link" => link).increment(bytes as u64);
    histogram!("dunlin_link_batch_frames", "link" => link).record(frames as f64);
}

/// One message was read from `link`.
pub(super) fn received(link: &'static str, frames: usize) {
    counter!("dunlin_link_received_frames_total", "link" => link).increment(frames as u64);
}

/// A frame could not be read, and was passed over.
pub(super) fn malformed(link: &'static str) {
    counter!("dunlin_link_malformed_frames_total", "link" => link).increment(1);
}

/// A link is up (or no longer).
pub(super) fn up(link: &'static str, up: bool) {
    let gauge = gauge!("dunlin_link_links", "link" => link);
    if up { gauge.increment(1) } else { gauge.decrement(1) }
}

/// A link ended or could not be made, and is tried again.
pub(super) fn retried(link: &'static str) {
    counter!("dunlin_link_reconnects_total", "link" => link).increment(1);
}

/// Stanzas kept until they are answered.
pub(super) fn held(link: &'static str, items: usize, bytes: usize) {
    gauge!("dunlin_link_held_stanzas", "link" => link).set(items as f64);
    gauge!("dunlin_link_held_bytes", "link" => link).set(bytes as f64);
}

/// Stanzas kept for one home.
pub(super) fn held_for(home: &NodeId, items: usize) {
    gauge!("dunlin_link_held_parcels", "router" => home.0.to_string()).set(items as f64);
}

/// A stanza waits for room in a window.
pub(super) fn waits(link: &'static str) {
    counter!("dunlin_link_waits_total", "link" => link).increment(1);
}

/// Deliveries were not taken because one before them is missing.
pub(super) fn gaps(sessions: usize) {
    counter!("dunlin_link_gaps_total").increment(sessions as u64);
}

/// A stanza could not be handed over in time.
pub(super) fn given_up(link: &'static str) {
    counter!("dunlin_link_given_up_total", "link" => link).increment(1);
}
