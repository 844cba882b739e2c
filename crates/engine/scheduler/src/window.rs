//! The concurrency window of one destination: it grows on success, shrinks on failure, and closes when
//! as many deliveries in a row fail as fill `failed_cohort_limit` windows.

use crate::Concurrency;

/// Whether a destination may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, with the window as it is now.
    Alive,
    /// Too many failed cohorts.
    Dead,
}

/// A concurrency window and its feedback accounts.
#[derive(Clone, Debug)]
pub struct Window {
    size: u32,
    success: f64,
    failure: f64,
    failed_cohorts: f64,
}

impl Window {
    /// The window of a fresh destination.
    #[must_use]
    pub fn new(rules: &Concurrency) -> Self {
        Self { size: rules.first_window(), success: 0.0, failure: 0.0, failed_cohorts: 0.0 }
    }

    /// Deliveries allowed at the same time.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// A delivery reached the destination; `busy` counts this delivery too.
    pub fn succeeded(&mut self, rules: &Concurrency, busy: u32) {
        self.failed_cohorts = 0.0;
        let may_grow =
            (rules.limit == 0 || self.size < rules.limit) && self.size < busy + rules.first_window();
        if !may_grow {
            return;
        }
        let amount = rules.positive.amount(self.size);
        self.success += amount;
        while self.success + amount / 2.0 >= 1.0 {
            self.size = self.size.saturating_add(1);
            self.success -= 1.0;
            self.failure = 0.0;
        }
        if rules.limit != 0 {
            self.size = self.size.min(rules.limit);
        }
    }

    /// The destination was unusable for one delivery.
    pub fn failed(&mut self, rules: &Concurrency) -> Verdict {
        self.failed_cohorts += 1.0 / f64::from(self.size.max(1));
        if rules.failed_cohort_limit > 0 && self.failed_cohorts >= f64::from(rules.failed_cohort_limit) {
            return Verdict::Dead;
        }
        let amount = rules.negative.amount(self.size);
        self.failure -= amount;
        while amount > 0.0 && self.failure - amount / 2.0 < 0.0 {
            self.size = self.size.saturating_sub(1);
            self.success = 0.0;
            self.failure += 1.0;
        }
        self.size = self.size.max(1);
        Verdict::Alive
    }

    /// Back from the dead: nobody knows what the destination can bear, so it is what it bears now, or the first window.
    pub fn revive(&mut self, rules: &Concurrency, busy: u32) {
        *self = Self::new(rules);
        if busy > 0 {
            self.size = busy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feedback;

    fn rules(positive: &str, negative: &str, cohorts: u32) -> Concurrency {
        Concurrency {
            initial: 5,
            limit: 20,
            positive: Feedback::parse(positive).unwrap(),
            negative: Feedback::parse(negative).unwrap(),
            failed_cohort_limit: cohorts,
        }
    }

    #[test]
    fn with_feedback_1_three_failures_close_a_window_of_5() {
        let rules = rules("1", "1", 1);
        let mut window = Window::new(&rules);
        let mut seen = Vec::new();
        while window.failed(&rules) == Verdict::Alive {
            seen.push((window.size(), (window.failed_cohorts * 1000.0).round()));
        }
        assert_eq!(seen, [(3, 200.0), (2, 533.0)]);
        assert_eq!((window.failed_cohorts * 1000.0).round(), 1033.0);
    }

    #[test]
    fn success_grows_the_window_only_while_it_is_used_and_up_to_the_limit() {
        let rules = rules("1", "1", 1);
        let mut window = Window::new(&rules);
        window.succeeded(&rules, 0);
        assert_eq!(window.size(), 5, "five more than busy is enough");
        for expected in 6..=20 {
            let before = window.size();
            window.succeeded(&rules, before);
            assert!(window.size() >= expected.min(20) && window.size() <= before + 2);
        }
        window.succeeded(&rules, 20);
        assert_eq!(window.size(), 20);
    }

    #[test]
    fn feedback_of_one_nth_needs_n_deliveries_in_the_long_run() {
        let rules = Concurrency { limit: 0, ..rules("1/4", "1/4", 0) };
        let mut window = Window::new(&rules);
        for _ in 0..40 {
            window.succeeded(&rules, 1000);
        }
        assert_eq!(window.size(), 15);
        for _ in 0..40 {
            assert_eq!(window.failed(&rules), Verdict::Alive, "a limit of 0 never closes");
        }
        assert_eq!(window.size(), 4, "the first shrink comes half an amount early, and takes one more");
    }

    #[test]
    fn a_revived_window_is_what_is_busy_or_the_first() {
        let rules = rules("1", "1", 1);
        let mut window = Window::new(&rules);
        window.revive(&rules, 3);
        assert_eq!(window.size(), 3);
        window.revive(&rules, 0);
        assert_eq!(window.size(), 5);
    }
}
