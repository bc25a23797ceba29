//! Which stanzas are traced: decided once, here, by chance (W3C trace context).

use link::Trace;

/// A new trace context for one in `1 / ratio` stanzas.
pub(crate) fn sample(ratio: f64) -> Option<Trace> {
    if ratio <= 0.0 || rand::random::<f64>() >= ratio {
        return None;
    }
    let trace = rand::random::<u128>().max(1); // an id of zeros is invalid
    let span = rand::random::<u64>().max(1);
    Some(Trace(format!("00-{trace:032x}-{span:016x}-01").into()))
}

/// A span for a traced stanza; the exporter finds its parent in `traceparent`. None for the others.
pub(crate) fn span(name: &'static str, trace: Option<&Trace>) -> tracing::Span {
    match trace {
        Some(Trace(parent)) => {
            tracing::info_span!(target: "dunlin::trace", "edge", otel.name = name, traceparent = %parent)
        }
        None => tracing::Span::none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_decides() {
        assert_eq!(sample(0.0), None);
        let Trace(parent) = sample(1.0).unwrap();
        let lengths: Vec<_> = parent.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{parent}");
    }
}
