//! The limits that the scheduler works under: per transport, and for the whole queue manager.

use std::time::Duration;

/// Where a feedback amount comes from (`postconf(5) default_destination_concurrency_positive_feedback`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feedback {
    /// The same amount for each delivery (`N`, `N/M`).
    Fixed(f64),
    /// The amount divided by the present concurrency (`N/concurrency`).
    PerConcurrency(f64),
    /// The amount divided by the square root of the present concurrency (`N/sqrt_concurrency`).
    PerRootConcurrency(f64),
}

/// The text is no feedback amount between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFeedback;

impl Feedback {
    /// Reads `N`, `N/M`, `N/concurrency` or `N/sqrt_concurrency`.
    ///
    /// # Errors
    /// [`BadFeedback`] for another form, or an amount outside 0 to 1; the manuals then want a warning and 1.
    pub fn parse(text: &str) -> Result<Self, BadFeedback> {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| BadFeedback);
        let (made, amount): (fn(f64) -> Self, f64) = match text.trim().split_once('/') {
            None => (Self::Fixed, number(text)?),
            Some((n, m)) => match m.trim() {
                "concurrency" => (Self::PerConcurrency, number(n)?),
                "sqrt_concurrency" => (Self::PerRootConcurrency, number(n)?),
                m => (Self::Fixed, number(n)? / number(m)?),
            },
        };
        if (0.0..=1.0).contains(&amount) { Ok(made(amount)) } else { Err(BadFeedback) }
    }

    /// The amount at this concurrency.
    #[must_use]
    pub fn amount(self, window: u32) -> f64 {
        let window = f64::from(window.max(1));
        match self {
            Self::Fixed(n) => n,
            Self::PerConcurrency(n) => n / window,
            Self::PerRootConcurrency(n) => n / window.sqrt(),
        }
    }
}

/// What the concurrency of a destination obeys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concurrency {
    /// `transport_initial_destination_concurrency`, at least 1.
    pub initial: u32,
    /// `transport_destination_concurrency_limit`; 0 = none.
    pub limit: u32,
    /// `transport_destination_concurrency_positive_feedback`.
    pub positive: Feedback,
    /// `transport_destination_concurrency_negative_feedback`.
    pub negative: Feedback,
    /// `transport_destination_concurrency_failed_cohort_limit`; 0 = never dead.
    pub failed_cohort_limit: u32,
}

impl Concurrency {
    /// The first window: `initial`, capped by a limit.
    #[must_use]
    pub fn first_window(&self) -> u32 {
        let initial = self.initial.max(1);
        if self.limit == 0 { initial } else { initial.min(self.limit) }
    }
}

/// Limits of one transport (the per-service parameters of the queue manager).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransportLimits {
    /// Concurrency of each destination.
    pub concurrency: Concurrency,
    /// `transport_destination_recipient_limit`: recipients in one request; 0 = no limit.
    pub destination_recipient_limit: u32,
    /// `transport_destination_rate_delay`.
    pub destination_rate_delay: Duration,
    /// `transport_transport_rate_delay`.
    pub transport_rate_delay: Duration,
    /// `transport_recipient_limit`: recipients in memory.
    pub recipient_limit: u32,
    /// `transport_extra_recipient_limit`.
    pub extra_recipient_limit: u32,
    /// `transport_recipient_refill_limit`.
    pub refill_limit: u32,
    /// `transport_recipient_refill_delay`.
    pub refill_delay: Duration,
    /// `transport_delivery_slot_cost`; below 2 there is no preemption.
    pub slot_cost: u32,
    /// `transport_delivery_slot_loan`.
    pub slot_loan: u32,
    /// `transport_delivery_slot_discount`, percent.
    pub slot_discount: u32,
    /// `transport_minimum_delivery_slots`.
    pub minimum_slots: u32,
}

impl Default for TransportLimits {
    /// The documented defaults (`postconf(5) default_…`).
    fn default() -> Self {
        Self {
            concurrency: Concurrency {
                initial: 5,
                limit: 20,
                positive: Feedback::PerConcurrency(1.0),
                negative: Feedback::PerConcurrency(1.0),
                failed_cohort_limit: 1,
            },
            destination_recipient_limit: 50,
            destination_rate_delay: Duration::ZERO,
            transport_rate_delay: Duration::ZERO,
            recipient_limit: 20_000,
            extra_recipient_limit: 1000,
            refill_limit: 100,
            refill_delay: Duration::from_secs(5),
            slot_cost: 5,
            slot_loan: 3,
            slot_discount: 50,
            minimum_slots: 3,
        }
    }
}

impl TransportLimits {
    /// The limits as they work: a destination rate delay forces one delivery at a time and keeps the destination alive.
    #[must_use]
    pub fn effective(mut self) -> Self {
        if !self.destination_rate_delay.is_zero() {
            self.concurrency.limit = 1;
            self.concurrency.failed_cohort_limit = 0;
        }
        self
    }
}

/// Limits of the whole queue manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `qmgr_message_active_limit`.
    pub active_messages: u32,
    /// `qmgr_message_recipient_limit`.
    pub recipients: u32,
    /// `qmgr_message_recipient_minimum`.
    pub message_minimum: u32,
    /// Recipients read at once from one message.
    pub batch: u32,
    /// `minimal_backoff_time`: how long a dead destination stays dead.
    pub destination_retry: Duration,
    /// `transport_retry_time`: how long a dead transport stays dead.
    pub transport_retry: Duration,
    /// Agent connections of one transport that wait for an agent to become free.
    pub pending_connections: u32,
    /// `qmgr_clog_warn_time`: least time between two warnings; zero = no warnings.
    pub clog_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            active_messages: 20_000,
            recipients: 20_000,
            message_minimum: 10,
            batch: 5000,
            destination_retry: Duration::from_secs(300),
            transport_retry: Duration::from_secs(60),
            pending_connections: 2,
            clog_interval: Duration::from_secs(300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_has_four_forms_and_stays_within_0_and_1() {
        for (text, amount_at_4) in [
            ("1", 1.0),
            ("1/2", 0.5),
            ("1/concurrency", 0.25),
            ("0.5 / concurrency", 0.125),
            ("1/sqrt_concurrency", 0.5),
            ("0", 0.0),
        ] {
            assert_eq!(Feedback::parse(text).map(|f| f.amount(4)), Ok(amount_at_4), "{text}");
        }
        for text in ["", "2", "-1", "1/0", "x", "1/x", "concurrency", "3/2"] {
            assert_eq!(Feedback::parse(text), Err(BadFeedback), "{text}");
        }
    }
}
