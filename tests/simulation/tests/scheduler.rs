//! Invariants of the scheduler over many random worlds.

use std::time::Duration;

use engine_scheduler::{Concurrency, Limits, TransportLimits};
use simulation::{Outcome, Scenario, World};

const SEEDS: u64 = 12;

fn each_once(outcome: &Outcome, seed: u64) {
    assert!(!outcome.delivered.is_empty());
    for (recipient, times) in &outcome.delivered {
        assert_eq!(*times, 1, "seed {seed}: {recipient:?}");
    }
}

#[test]
fn each_recipient_is_delivered_exactly_once_whatever_fails() {
    for seed in 1..=SEEDS {
        let outcome = World::new(Scenario { seed, ..Scenario::default() }).run();
        each_once(&outcome, seed);
        assert!(outcome.peak <= 20, "seed {seed}: {} deliveries at once", outcome.peak);
        assert!(outcome.largest_request <= 50);
    }
}

#[test]
fn restarts_lose_and_repeat_nothing_that_was_marked_done() {
    for seed in 1..=SEEDS {
        let outcome = World::new(Scenario { seed, restarts: 5, ..Scenario::default() }).run();
        each_once(&outcome, seed);
    }
}

#[test]
fn few_recipients_in_memory_still_deliver_everything() {
    for seed in 1..=SEEDS {
        let limits = TransportLimits {
            recipient_limit: 20,
            extra_recipient_limit: 5,
            refill_limit: 5,
            ..TransportLimits::default()
        };
        let total = Limits { recipients: 30, message_minimum: 2, batch: 7, ..Limits::default() };
        let outcome = World::new(Scenario {
            seed,
            limits,
            total,
            recipients: 200,
            messages: 60,
            ..Scenario::default()
        })
        .run();
        each_once(&outcome, seed);
    }
}

#[test]
fn one_at_a_time_means_one_at_a_time() {
    for seed in 1..=10 {
        let default = TransportLimits::default();
        let concurrency = Concurrency { limit: 1, ..default.concurrency };
        let limits = TransportLimits { concurrency, destination_recipient_limit: 3, ..default };
        let outcome = World::new(Scenario { seed, limits, messages: 60, ..Scenario::default() }).run();
        each_once(&outcome, seed);
        assert_eq!(outcome.peak, 1);
        assert!(outcome.largest_request <= 3);
    }
}

#[test]
fn a_rate_delay_keeps_deliveries_apart() {
    let limits =
        TransportLimits { destination_rate_delay: Duration::from_secs(2), ..TransportLimits::default() };
    for seed in 1..=10 {
        let outcome =
            World::new(Scenario { seed, limits, messages: 40, restarts: 0, ..Scenario::default() }).run();
        each_once(&outcome, seed);
        assert_eq!(outcome.peak, 1);
        assert!(outcome.least_gap >= Some(Duration::from_secs(2)), "seed {seed}: {:?}", outcome.least_gap);
    }
    let limits =
        TransportLimits { transport_rate_delay: Duration::from_secs(1), ..TransportLimits::default() };
    let outcome = World::new(Scenario { limits, messages: 40, ..Scenario::default() }).run();
    each_once(&outcome, 1);
    assert!(outcome.least_gap >= Some(Duration::from_secs(1)));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || World::new(Scenario { seed: 7, restarts: 2, ..Scenario::default() }).run();
    assert_eq!(run(), run());
}
