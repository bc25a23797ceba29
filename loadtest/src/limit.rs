//! The search for the most that a server stands: upwards until it does not hold, then between the last that held and the first that did not.
//! Pure.

/// A search for a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    next: f64,
    factor: f64,
    precision: f64,
    held: Option<f64>,
    broke: Option<f64>,
}

impl Search {
    /// Begins at `first`, goes up by `factor` (above 1), and ends when it knows the limit to within `precision`, a share of it.
    pub fn new(first: f64, factor: f64, precision: f64) -> Self {
        Self {
            next: first,
            factor,
            precision,
            held: None,
            broke: None,
        }
    }

    /// What is to be tried; `None` when the limit is known.
    pub fn next(&self) -> Option<f64> {
        match (self.held, self.broke) {
            (Some(held), Some(broke)) if broke <= held * (1.0 + self.precision) => None,
            // What does not hold at a hundredth of a first try is not a matter of how much.
            (None, Some(_)) if self.next < 1e-2 => None,
            _ => Some(self.next),
        }
    }

    /// What was tried held, or did not.
    pub fn tell(&mut self, held: bool) {
        let tried = self.next;
        if held {
            self.held = Some(self.held.map_or(tried, |best| best.max(tried)));
        } else {
            self.broke = Some(self.broke.map_or(tried, |worst| worst.min(tried)));
        }
        self.next = match (self.held, self.broke) {
            (Some(held), Some(broke)) => (held * broke).sqrt(),
            (_, None) => tried * self.factor,
            (None, Some(_)) => tried / self.factor,
        };
    }

    /// The most that held.
    pub fn limit(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: f64, expected: std::ops::Range<f64>) {
        let mut search = Search::new(100.0, 2.0, 0.1);
        let mut tries = 0;
        while let Some(tried) = search.next() {
            search.tell(tried <= limit);
            tries += 1;
            assert!(tries < 40, "{search:?}");
        }
        assert!(
            search.limit().is_some_and(|found| expected.contains(&found)),
            "{search:?}"
        );
    }

    #[test]
    fn finds_the_limit_from_below_and_from_above() {
        check(1_000.0, 900.0..1_000.0);
        check(7.0, 6.3..7.0);
        check(100.0, 91.0..100.1);
    }

    #[test]
    fn gives_up_when_nothing_holds() {
        let mut search = Search::new(1.0, 10.0, 0.1);
        while search.next().is_some() {
            search.tell(false);
        }
        assert_eq!(search.limit(), None);
    }
}
