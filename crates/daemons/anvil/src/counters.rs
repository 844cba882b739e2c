//! The counters, without IO: time is passed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proto_ipc::anvil::LookupReply;

/// Clients remembered at the most; beyond that the oldest rates are forgotten at once.
const LIMIT: usize = 1_000_000;

/// What is counted besides connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connection,
    Message,
    Recipient,
    NewTls,
    Auth,
}

const EVENTS: [Event; 5] = [Event::Connection, Event::Message, Event::Recipient, Event::NewTls, Event::Auth];

impl Event {
    /// The event of a request.
    pub fn parse(request: &str) -> Option<Self> {
        match request {
            "message" => Some(Self::Message),
            "recipient" => Some(Self::Recipient),
            "newtls" => Some(Self::NewTls),
            "auth" => Some(Self::Auth),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Message => "message",
            Self::Recipient => "recipient",
            Self::NewTls => "newtls",
            Self::Auth => "auth",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    since: Instant,
    open: i32,
    rates: [i32; EVENTS.len()],
}

/// Connections that one client process has reported and not taken back.
#[derive(Debug, Default)]
pub(crate) struct Connections(HashMap<String, i32>);

/// A greatest value with its owner and time.
#[derive(Clone, Debug)]
struct Greatest {
    value: i32,
    ident: String,
    at: String,
}

/// All counters.
#[derive(Debug)]
pub(crate) struct Counters {
    unit: Duration,
    clients: HashMap<String, Counts>,
    greatest_rates: [Option<Greatest>; EVENTS.len()],
    greatest_count: Option<Greatest>,
    greatest_size: Option<Greatest>,
}

impl Counters {
    pub fn new(unit: Duration) -> Self {
        Self {
            unit,
            clients: HashMap::new(),
            greatest_rates: [const { None }; EVENTS.len()],
            greatest_count: None,
            greatest_size: None,
        }
    }

    /// A connection begins: simultaneous ones, and those in the time unit.
    pub fn connect(&mut self, ident: &str, mine: &mut Connections, now: Instant, stamp: &str) -> (i32, i32) {
        let rate = self.event(Event::Connection, ident, now, stamp);
        let count = self.clients.get_mut(ident).map_or(1, |counts| {
            counts.open = counts.open.saturating_add(1);
            counts.open
        });
        *mine.0.entry(ident.to_owned()).or_default() += 1;
        raise(&mut self.greatest_count, count, ident, stamp);
        (count, rate)
    }

    /// A connection ends.
    pub fn disconnect(&mut self, ident: &str, mine: &mut Connections) {
        if let Some(open) = mine.0.get_mut(ident).filter(|open| **open > 0) {
            *open -= 1;
            if *open == 0 {
                mine.0.remove(ident);
            }
            self.close(ident, 1);
        }
    }

    /// A client process is gone, and its connections with it.
    pub fn release(&mut self, mine: Connections) {
        for (ident, open) in mine.0 {
            self.close(&ident, open);
        }
    }

    fn close(&mut self, ident: &str, count: i32) {
        if let Some(counts) = self.clients.get_mut(ident) {
            counts.open = counts.open.saturating_sub(count).max(0);
        }
    }

    /// An event: its number in the time unit.
    pub fn event(&mut self, event: Event, ident: &str, now: Instant, stamp: &str) -> i32 {
        if self.clients.len() >= LIMIT {
            self.expire(now);
        }
        let known = self.clients.len();
        let fresh = Counts { since: now, open: 0, rates: [0; EVENTS.len()] };
        let counts = self.clients.entry(ident.to_owned()).or_insert(fresh);
        if now.duration_since(counts.since) > self.unit {
            *counts = Counts { open: counts.open, ..fresh };
        }
        let rate = counts.rates.get_mut(event.index()).map_or(0, |rate| {
            *rate = rate.saturating_add(1);
            *rate
        });
        if let Some(greatest) = self.greatest_rates.get_mut(event.index()) {
            raise(greatest, rate, ident, stamp);
        }
        if self.clients.len() > known {
            let size = i32::try_from(self.clients.len()).unwrap_or(i32::MAX);
            raise(&mut self.greatest_size, size, "", stamp);
        }
        rate
    }

    /// The number of events without another one.
    pub fn rate(&self, event: Event, ident: &str, now: Instant) -> i32 {
        self.current(ident, now).and_then(|counts| counts.rates.get(event.index()).copied()).unwrap_or(0)
    }

    fn current(&self, ident: &str, now: Instant) -> Option<&Counts> {
        self.clients.get(ident).filter(|counts| now.duration_since(counts.since) <= self.unit)
    }

    /// All counters of a client.
    pub fn lookup(&self, ident: &str, now: Instant) -> LookupReply {
        let open = self.clients.get(ident).map_or(0, |counts| counts.open);
        let rate = |event| self.rate(event, ident, now);
        LookupReply {
            status: 0,
            count: open,
            rate: rate(Event::Connection),
            mail: rate(Event::Message),
            rcpt: rate(Event::Recipient),
            newtls: rate(Event::NewTls),
            auth: rate(Event::Auth),
        }
    }

    fn expire(&mut self, now: Instant) {
        let unit = self.unit;
        self.clients.retain(|_, counts| counts.open > 0 || now.duration_since(counts.since) <= unit);
    }

    /// The greatest values since the last report, as log lines.
    pub fn statistics(&mut self, now: Instant) -> Vec<String> {
        self.expire(now);
        let unit = self.unit.as_secs();
        let mut lines = Vec::new();
        for event in EVENTS {
            if let Some(greatest) = self.greatest_rates.get_mut(event.index()).and_then(Option::take) {
                lines.push(format!(
                    "max {} rate {}/{unit}s for ({}) at {}",
                    event.label(),
                    greatest.value,
                    greatest.ident,
                    greatest.at
                ));
            }
            if event == Event::Connection
                && let Some(greatest) = self.greatest_count.take()
            {
                lines.push(format!(
                    "max connection count {} for ({}) at {}",
                    greatest.value, greatest.ident, greatest.at
                ));
            }
        }
        if let Some(greatest) = self.greatest_size.take() {
            lines.push(format!("max cache size {} at {}", greatest.value, greatest.at));
        }
        lines
    }
}

fn raise(greatest: &mut Option<Greatest>, value: i32, ident: &str, stamp: &str) {
    if greatest.as_ref().is_none_or(|greatest| value > greatest.value) {
        *greatest = Some(Greatest { value, ident: ident.to_owned(), at: stamp.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "Nov 25 04:00:00";

    fn counters() -> (Counters, Instant) {
        let now = Instant::now();
        (Counters::new(Duration::from_secs(60)), now)
    }

    #[test]
    fn connections_are_counted_until_they_end_or_their_process_ends() {
        let (mut counters, now) = counters();
        let (mut one, mut other) = (Connections::default(), Connections::default());
        assert_eq!(counters.connect("smtp:a", &mut one, now, STAMP), (1, 1));
        assert_eq!(counters.connect("smtp:a", &mut other, now, STAMP), (2, 2));
        counters.disconnect("smtp:a", &mut one);
        counters.disconnect("smtp:a", &mut one);
        assert_eq!(counters.lookup("smtp:a", now).count, 1);
        counters.release(other);
        assert_eq!(counters.lookup("smtp:a", now).count, 0);
        assert_eq!(counters.lookup("smtp:a", now).rate, 2);
    }

    #[test]
    fn rates_begin_anew_after_the_time_unit() {
        let (mut counters, now) = counters();
        assert_eq!(counters.event(Event::Message, "x", now, STAMP), 1);
        assert_eq!(counters.event(Event::Message, "x", now, STAMP), 2);
        let later = now + Duration::from_secs(61);
        assert_eq!(counters.rate(Event::Message, "x", later), 0);
        assert_eq!(counters.event(Event::Message, "x", later, STAMP), 1);
        assert_eq!(counters.lookup("unknown", now), LookupReply::default());
    }

    #[test]
    fn statistics_show_the_greatest_values_once() {
        let (mut counters, now) = counters();
        let mut mine = Connections::default();
        counters.connect("smtp:a", &mut mine, now, STAMP);
        counters.event(Event::Message, "smtp:a", now, STAMP);
        assert_eq!(
            counters.statistics(now),
            [
                "max connection rate 1/60s for (smtp:a) at Nov 25 04:00:00",
                "max connection count 1 for (smtp:a) at Nov 25 04:00:00",
                "max message rate 1/60s for (smtp:a) at Nov 25 04:00:00",
                "max cache size 1 at Nov 25 04:00:00",
            ]
        );
        assert!(counters.statistics(now).is_empty());
    }
}
