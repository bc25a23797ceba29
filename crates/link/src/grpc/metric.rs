//! What the links count.

use metrics::{counter, gauge, histogram};

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
