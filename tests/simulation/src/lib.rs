//! A world for the scheduler: messages arrive, destinations fail, agents are slow or crash, the queue manager restarts.
//! Everything comes from one seed and a virtual clock, so a failure is repeated by its seed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use engine_scheduler::{
    Action, BatchOptions, Delivery, Limits, MessageId, Report, Routed, Scheduler, TransportId,
    TransportLimits,
};

/// A small generator (xorshift64*): the simulation needs repeatability, not quality.
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit.max(1)
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Shape of a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Seed of everything random.
    pub seed: u64,
    /// Messages to deliver.
    pub messages: u32,
    /// Most recipients of a message.
    pub recipients: u64,
    /// Next hops of the ordinary transport.
    pub destinations: u64,
    /// Percent of the next hops that are down for the first part of the run.
    pub down_percent: u64,
    /// Percent of requests in which the agent crashes, while trouble lasts.
    pub crash_percent: u64,
    /// Percent of connects that fail, while trouble lasts.
    pub connect_failure_percent: u64,
    /// When trouble ends.
    pub trouble_ends: Duration,
    /// Restarts of the queue manager.
    pub restarts: u32,
    /// Limits of the ordinary transport.
    pub limits: TransportLimits,
    /// Limits of the queue manager.
    pub total: Limits,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            messages: 200,
            recipients: 30,
            destinations: 12,
            down_percent: 30,
            crash_percent: 2,
            connect_failure_percent: 1,
            trouble_ends: Duration::from_secs(3000),
            restarts: 0,
            limits: TransportLimits::default(),
            total: Limits::default(),
        }
    }
}

/// What a run showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Deliveries of each recipient (message, number).
    pub delivered: BTreeMap<(u32, u32), u32>,
    /// The largest number of requests in flight for one next hop.
    pub peak: u32,
    /// The largest number of recipients in one request.
    pub largest_request: usize,
    /// The largest number of recipients in memory.
    pub most_in_memory: usize,
    /// Least time between two hand-offs to one next hop.
    pub least_gap: Option<Duration>,
    /// Time of the last delivery.
    pub end: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(u32),
    Due(u32),
    Connected(u64, bool),
    Done(u64),
    Restart,
}

struct Stored {
    todo: BTreeSet<u32>,
    created: Duration,
    hops: Vec<u64>,
}

struct InMemory {
    number: u32,
    /// Recipients not yet read, in file order.
    unread: Vec<u32>,
    deferred: bool,
}

/// The world.
pub struct World {
    scenario: Scenario,
    random: Random,
    now: Duration,
    events: BTreeSet<(Duration, u64, Event)>,
    serial: u64,
    scheduler: Scheduler,
    smtp: TransportId,
    stored: BTreeMap<u32, Stored>,
    active: HashMap<MessageId, InMemory>,
    connections: HashMap<u64, TransportId>,
    flights: HashMap<u64, (TransportId, Delivery)>,
    in_flight: HashMap<String, u32>,
    last_hand_off: HashMap<String, Duration>,
    outcome: Outcome,
}

const LEAST_BACKOFF: Duration = Duration::from_secs(300);
const MOST_BACKOFF: Duration = Duration::from_secs(4000);

impl World {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let (scheduler, smtp) = fresh_scheduler(&scenario);
        let mut world = Self {
            random: Random::new(scenario.seed),
            now: Duration::from_secs(1),
            events: BTreeSet::new(),
            serial: 0,
            scheduler,
            smtp,
            stored: BTreeMap::new(),
            active: HashMap::new(),
            connections: HashMap::new(),
            flights: HashMap::new(),
            in_flight: HashMap::new(),
            last_hand_off: HashMap::new(),
            outcome: Outcome::default(),
            scenario,
        };
        for number in 0..world.scenario.messages {
            let at = Duration::from_millis(1000 + world.random.below(600_000));
            world.at(at, Event::Arrive(number));
        }
        for _ in 0..world.scenario.restarts {
            let at = Duration::from_millis(1000 + world.random.below(3_000_000));
            world.at(at, Event::Restart);
        }
        world
    }

    /// Runs until all mail is gone.
    ///
    /// # Panics
    /// When mail is left but nothing will ever happen again, or nothing ends within simulated days.
    pub fn run(mut self) -> Outcome {
        loop {
            self.act();
            let next_event = self.events.first().map(|e| e.0);
            let next = [next_event, self.scheduler.next_due()].into_iter().flatten().min();
            let Some(next) = next else { break };
            assert!(
                next < Duration::from_secs(30 * 86400),
                "seed {}: mail is never done",
                self.scenario.seed
            );
            self.now = self.now.max(next);
            if next_event == Some(next)
                && let Some((_, _, event)) = self.events.pop_first()
            {
                self.handle(event);
            }
            self.scheduler.tick(self.now);
        }
        assert!(
            self.stored.is_empty(),
            "seed {}: {} messages starved",
            self.scenario.seed,
            self.stored.len()
        );
        assert_eq!(self.scheduler.messages(), 0);
        self.outcome
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial, event));
    }

    fn after(&mut self, milliseconds: u64, event: Event) {
        self.at(self.now + Duration::from_millis(milliseconds), event);
    }

    fn trouble(&self) -> bool {
        self.now < self.scenario.trouble_ends
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive(number) => {
                let count = 1 + self.random.below(self.scenario.recipients);
                let hops = (0..count).map(|_| self.random.below(self.scenario.destinations)).collect();
                let todo = (0..u32::try_from(count).unwrap_or(1)).collect();
                self.stored.insert(number, Stored { todo, created: self.now, hops });
                self.activate(number);
            }
            Event::Due(number) => self.activate(number),
            Event::Connected(id, ok) => self.connected(id, ok),
            Event::Done(id) => self.done(id),
            Event::Restart => self.restart(),
        }
    }

    fn activate(&mut self, number: u32) {
        let Some(stored) = self.stored.get(&number) else { return };
        let unread = stored.todo.iter().rev().copied().collect();
        let id = self.scheduler.admit(self.now);
        self.active.insert(id, InMemory { number, unread, deferred: false });
        let most = self.scheduler.read_allowance(id);
        self.read(id, most);
    }

    fn read(&mut self, id: MessageId, most: usize) {
        let Some(memory) = self.active.get_mut(&id) else { return };
        let Some(stored) = self.stored.get(&memory.number) else { return };
        let from = memory.unread.len().saturating_sub(most);
        let batch = memory.unread.split_off(from);
        let routed = batch.iter().rev().map(|&recipient| {
            let hop = format!("hop{}", stored.hops[recipient as usize]);
            Routed {
                recipient,
                address: format!("r{recipient}@{hop}"),
                transport: self.smtp,
                key: hop.clone(),
                nexthop: hop,
            }
        });
        let unread = u32::try_from(memory.unread.len()).unwrap_or(u32::MAX);
        let options = BatchOptions { unread, ..BatchOptions::default() };
        self.scheduler.assign(self.now, id, routed.collect(), options);
    }

    fn act(&mut self) {
        while let Some(action) = self.scheduler.next_action() {
            match action {
                Action::Connect(transport) => {
                    self.serial += 1;
                    let id = self.serial;
                    self.connections.insert(id, transport);
                    let troubled = self.trouble() && transport == self.smtp;
                    let ok = !(troubled && self.random.chance(self.scenario.connect_failure_percent));
                    let delay = self.random.below(50);
                    self.after(delay, Event::Connected(id, ok));
                }
                Action::Read(id, most) => self.read(id, most),
                Action::Drained(id) => self.drained(id),
                Action::Defer(id, ..) => {
                    if let Some(memory) = self.active.get_mut(&id) {
                        memory.deferred = true;
                    }
                }
                Action::Clogged(..) => {}
            }
        }
    }

    fn drained(&mut self, id: MessageId) {
        let Some(memory) = self.active.get(&id) else { return };
        if !memory.unread.is_empty() {
            let most = self.scheduler.read_allowance(id);
            return self.read(id, most);
        }
        let number = memory.number;
        self.active.remove(&id);
        self.scheduler.forget(id);
        let Some(stored) = self.stored.get(&number) else { return };
        if stored.todo.is_empty() {
            self.stored.remove(&number);
        } else {
            let delay = (self.now - stored.created).min(MOST_BACKOFF).max(LEAST_BACKOFF);
            self.at(self.now + delay, Event::Due(number));
        }
    }

    fn connected(&mut self, id: u64, ok: bool) {
        let Some(transport) = self.connections.remove(&id) else { return };
        if !ok {
            return self.scheduler.agent_unavailable(self.now, transport, "4.3.0 mail transport unavailable");
        }
        let Some(delivery) = self.scheduler.agent_ready(self.now, transport) else { return };
        let hop = delivery.nexthop.to_string();
        if transport == self.smtp {
            let flights = self.in_flight.entry(hop.clone()).or_default();
            *flights += 1;
            self.outcome.peak = self.outcome.peak.max(*flights);
            self.outcome.largest_request = self.outcome.largest_request.max(delivery.recipients.len());
            if let Some(last) = self.last_hand_off.insert(hop, self.now) {
                let gap = self.now - last;
                self.outcome.least_gap = Some(self.outcome.least_gap.map_or(gap, |least| least.min(gap)));
            }
        }
        self.flights.insert(id, (transport, delivery));
        let time = 1 + self.random.below(3000);
        self.after(time, Event::Done(id));
    }

    fn done(&mut self, id: u64) {
        let Some((transport, delivery)) = self.flights.remove(&id) else { return };
        if transport != self.smtp {
            return self.scheduler.finished(self.now, delivery.entry, Report::Reached);
        }
        if let Some(flights) = self.in_flight.get_mut(delivery.nexthop.as_ref()) {
            *flights -= 1;
        }
        let number: u64 = delivery.nexthop.trim_start_matches("hop").parse().unwrap_or(0);
        let down = number * 100 < self.scenario.down_percent * self.scenario.destinations;
        let report = if self.trouble() && down {
            Report::Unusable("4.4.1 delivery temporarily suspended: connect: Connection refused".into())
        } else if self.trouble() && self.random.chance(self.scenario.crash_percent) {
            Report::AgentLost
        } else {
            self.deliver(&delivery);
            Report::Reached
        };
        self.scheduler.finished(self.now, delivery.entry, report);
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let Some(memory) = self.active.get(&delivery.message) else { return };
        let Some(stored) = self.stored.get_mut(&memory.number) else { return };
        for &recipient in &delivery.recipients {
            stored.todo.remove(&recipient);
            *self.outcome.delivered.entry((memory.number, recipient)).or_default() += 1;
        }
        self.outcome.end = self.now;
    }

    /// The queue manager is gone, and its agents with it; what was active is active again.
    fn restart(&mut self) {
        (self.scheduler, self.smtp) = fresh_scheduler(&self.scenario);
        self.connections.clear();
        self.flights.clear();
        self.in_flight.clear();
        self.last_hand_off.clear();
        let numbers: BTreeSet<_> = self.active.drain().map(|(_, memory)| memory.number).collect();
        for number in numbers {
            self.activate(number);
        }
    }
}

fn fresh_scheduler(scenario: &Scenario) -> (Scheduler, TransportId) {
    let mut scheduler = Scheduler::new(scenario.total, TransportLimits::default());
    let smtp = scheduler.transport("smtp", || scenario.limits);
    (scheduler, smtp)
}
