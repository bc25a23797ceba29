//! Every metric of the process: what it is called, what it means, and when it is read.

use std::sync::{Arc, OnceLock};

use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};

/// A metric: its name, its kind, and what it tells an operator.
type Metric = (&'static str, &'static str, &'static str);

/// What the process itself tells.
const METRICS: &[Metric] = &[("dunlin_build_info", "gauge", "1, with the `version` that runs")];

/// All metrics by name.
pub(crate) fn all() -> Vec<Metric> {
    let crates = [
        METRICS,
        edge::METRICS,
        router::METRICS,
        link::METRICS,
        backends::METRICS,
    ];
    let mut all: Vec<Metric> = crates.concat();
    all.sort_unstable();
    all
}

/// Gives the meanings to the recorder, and the metrics of the process itself.
pub(crate) fn describe() {
    for (name, kind, meaning) in all() {
        match kind {
            "counter" => describe_counter!(name, meaning),
            "gauge" => describe_gauge!(name, meaning),
            _ => describe_histogram!(name, meaning),
        }
    }
    gauge!("dunlin_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// What is to be read just before metrics are shown, once there is something to read: nobody keeps count of lengths meanwhile.
#[derive(Clone, Default)]
pub(crate) struct Sampler(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl Sampler {
    /// From now on `read` is done.
    pub(crate) fn set(&self, read: impl Fn() + Send + Sync + 'static) {
        // Set once, when the roles have started.
        let _ = self.0.set(Box::new(read));
    }

    /// Reads.
    pub(crate) fn sample(&self) {
        if let Some(read) = self.0.get() {
            read();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_unit_and_kind() {
        let all = all();
        for (at, (name, kind, meaning)) in all.iter().enumerate() {
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
            assert!(["counter", "gauge", "histogram"].contains(kind), "{name}: {kind}");
            assert!(name.starts_with("dunlin_") && !meaning.is_empty(), "{name}");
            assert!(at == 0 || all[at - 1].0 != *name, "{name} stands twice");
        }
    }
}
