//! Delays as the log shows them (`delay=`, `delays=`).

use proto_ipc::delivery::{MessageStats, Stamp};

const MICROSECONDS: i64 = 1_000_000;

/// The four stages of a delivery, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Arrival to delivery.
    pub total: i64,
    /// Before the queue manager.
    pub before_queue_manager: i64,
    /// In the queue manager.
    pub in_queue_manager: i64,
    /// Connection set-up.
    pub connection: i64,
    /// Transmission.
    pub transmission: i64,
}

impl Delays {
    /// From the time stamps; unset ones make their stage 0, time running backwards as well.
    #[must_use]
    pub fn new(stats: &MessageStats) -> Self {
        let done = stats.deliver_done;
        let connected = stats.conn_setup_done;
        let (connection, transmission) = if connected.is_unset() {
            (0, between(stats.agent_handoff, done))
        } else {
            (between(stats.agent_handoff, connected), between(connected, done))
        };
        Self {
            total: between(stats.incoming_arrival, done),
            before_queue_manager: between(stats.incoming_arrival, stats.active_arrival),
            in_queue_manager: between(stats.active_arrival, stats.agent_handoff),
            connection,
            transmission,
        }
    }
}

fn between(from: Stamp, to: Stamp) -> i64 {
    // Stamps come from outside: any number may be in them.
    let seconds = to.seconds.saturating_sub(from.seconds).saturating_mul(MICROSECONDS);
    seconds.saturating_add(to.microseconds.saturating_sub(from.microseconds)).max(0)
}

/// A delay with at most `resolution` digits of meaning below 100 seconds (`delay_logging_resolution_limit`).
#[must_use]
pub fn format_delay(microseconds: i64, resolution: u32) -> String {
    let (mut seconds, mut rest) = (microseconds / MICROSECONDS, microseconds % MICROSECONDS);
    let mut unit = 10i64.pow(6 - resolution.min(6));
    if resolution > 0 {
        if seconds >= 10 {
            unit = unit.max(MICROSECONDS);
        } else if seconds >= 1 {
            unit = unit.max(MICROSECONDS / 10);
        } else {
            while rest >= 100 * unit {
                unit *= 10;
            }
        }
    }
    rest += unit / 2;
    if rest >= MICROSECONDS {
        seconds += 1;
        rest -= MICROSECONDS;
    }
    let mut text = seconds.to_string();
    if rest >= unit {
        text.push('.');
        let mut place = MICROSECONDS / 10;
        while rest >= unit && place > 0 {
            text.push_str(&(rest / place).to_string());
            rest %= place;
            place /= 10;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_time_stamps_do_no_harm() {
        let odd = [i64::MIN, -1, 0, 1, i64::MAX].map(|n| Stamp { seconds: n, microseconds: n });
        for from in odd {
            for to in odd {
                let delay = between(from, to);
                assert!(delay >= 0 && !format_delay(delay, 2).is_empty());
            }
        }
    }

    #[test]
    fn delays_are_rounded_as_the_reference_does() {
        for (microseconds, text) in [
            (4_000, "0"),
            (5_000, "0.01"),
            (1_250_000, "1.3"),
            (3_020_000, "3"),
            (9_960_000, "10"),
            (12_500_000, "13"),
            (0, "0"),
            (120_000, "0.12"),
            (60_000, "0.06"),
        ] {
            assert_eq!(format_delay(microseconds, 2), text, "{microseconds}");
        }
    }

    #[test]
    fn stages_add_up() {
        let at = |seconds| Stamp { seconds, microseconds: 0 };
        let mut stats = MessageStats {
            incoming_arrival: at(100),
            active_arrival: at(101),
            agent_handoff: at(103),
            deliver_done: at(110),
            ..Default::default()
        };
        let delays = Delays::new(&stats);
        assert_eq!((delays.total, delays.connection, delays.transmission), (10_000_000, 0, 7_000_000));
        stats.conn_setup_done = at(104);
        assert_eq!(Delays::new(&stats).connection, 1_000_000);
    }
}
