//! The scheduler: entry points and the life of entries, destinations and transports.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::state::{Destination, DestinationId, Entry, Health, Job, JobId, Message, Transport, Wake};
use crate::{
    Action, BatchOptions, Clog, Delivery, EntryId, Limits, MessageId, RecipientIndex, Report, Routed, Time,
    TransportId, TransportLimits, Window,
};

/// The queue manager's scheduler.
pub struct Scheduler {
    pub(crate) limits: Limits,
    pub(crate) transports: Vec<Transport>,
    names: HashMap<String, TransportId>,
    pub(crate) messages: HashMap<MessageId, Message>,
    pub(crate) jobs: HashMap<JobId, Job>,
    pub(crate) destinations: HashMap<DestinationId, Destination>,
    pub(crate) entries: HashMap<EntryId, Entry>,
    pub(crate) actions: VecDeque<Action>,
    timers: BTreeSet<(Time, u64, Wake)>,
    /// Recipients of all messages in memory.
    pub(crate) recipients: u64,
    next_id: u64,
    next_clog_warning: Time,
    pub(crate) retry: TransportId,
}

/// The transport for what cannot be delivered now.
const RETRY: &str = "retry";

impl Scheduler {
    /// An empty one. `retry` are the limits of the `retry` transport, which takes what is suspended.
    #[must_use]
    pub fn new(limits: Limits, retry: TransportLimits) -> Self {
        let mut new = Self {
            limits,
            transports: Vec::new(),
            names: HashMap::new(),
            messages: HashMap::new(),
            jobs: HashMap::new(),
            destinations: HashMap::new(),
            entries: HashMap::new(),
            actions: VecDeque::new(),
            timers: BTreeSet::new(),
            recipients: 0,
            next_id: 1,
            next_clog_warning: Time::ZERO,
            retry: TransportId(0),
        };
        new.retry = new.transport(RETRY, || retry);
        new
    }

    /// The transport of this name, with these limits if it is new.
    pub fn transport(&mut self, name: &str, limits: impl FnOnce() -> TransportLimits) -> TransportId {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let id = TransportId(self.transports.len());
        let limits = limits().effective();
        self.transports.push(Transport {
            name: name.to_owned(),
            limits,
            health: Health::Alive,
            pending: 0,
            busy: 0,
            destinations: HashMap::new(),
            ready: BTreeSet::new(),
            order: BTreeMap::new(),
            candidates: BTreeMap::new(),
            pool: i64::from(limits.recipient_limit),
            unread: BTreeSet::new(),
            rate_timer: None,
        });
        self.names.insert(name.to_owned(), id);
        id
    }

    /// Service name of a transport.
    #[must_use]
    pub fn transport_name(&self, id: TransportId) -> &str {
        &self.transports[id.0].name
    }

    /// Limits of a transport.
    #[must_use]
    pub fn transport_limits(&self, id: TransportId) -> &TransportLimits {
        &self.transports[id.0].limits
    }

    /// Takes a message into the active queue; its first batch may have [`Self::read_allowance`] recipients.
    pub fn admit(&mut self, now: Time) -> MessageId {
        let id = MessageId(self.fresh_id());
        self.messages.insert(
            id,
            Message {
                queued: now,
                jobs: BTreeMap::new(),
                count: 0,
                limit: i64::from(self.limits.message_minimum),
                unread: 0,
                reading: true,
                fresh: true,
                last_read: now,
                refill_armed: false,
            },
        );
        id
    }

    /// Queues the recipients of one batch.
    pub fn assign(&mut self, now: Time, id: MessageId, mut batch: Vec<Routed>, options: BatchOptions) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.reading = false;
        message.fresh = false;
        message.unread = options.unread;
        message.last_read = now;
        sort(&mut batch);
        let mut last = None;
        for routed in batch {
            self.place(now, id, routed, options, &mut last);
        }
        self.account_batch(now, id);
        self.pump_all(now, id);
        self.check_drained(id);
    }

    /// Forgets a message whose recipients are all done.
    pub fn forget(&mut self, id: MessageId) {
        if let Some(message) = self.messages.remove(&id) {
            for job in message.jobs.into_values() {
                self.drop_job(job);
            }
        }
    }

    /// An agent of this transport is free; what shall it do? `None`: nothing any more, close the connection.
    pub fn agent_ready(&mut self, now: Time, id: TransportId) -> Option<Delivery> {
        let transport = &mut self.transports[id.0];
        transport.pending = transport.pending.saturating_sub(1);
        let entry = if transport.health == Health::Alive { self.select(now, id) } else { None };
        let delivery = entry.and_then(|entry| self.hand_out(now, entry));
        self.pump(now, id);
        delivery
    }

    /// No agent of this transport can be reached; `reason` is the next hop for `retry`: `D.S.N reason`.
    pub fn agent_unavailable(&mut self, now: Time, id: TransportId, reason: &str) {
        let transport = &mut self.transports[id.0];
        transport.pending = transport.pending.saturating_sub(1);
        self.kill_transport(now, id, reason);
    }

    /// A request has ended.
    pub fn finished(&mut self, now: Time, id: EntryId, report: Report) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let Some(message) = self.jobs.get(&entry.job).map(|job| job.message) else { return };
        let Some(transport) = self.feedback(now, &entry, &report) else { return };
        self.release(now, &entry);
        self.pump(now, transport);
        self.check_drained(message);
    }

    /// `postqueue -f`: forgets all dead destinations and transports.
    pub fn unthrottle_all(&mut self, now: Time) {
        for index in 0..self.transports.len() {
            self.revive_transport(now, TransportId(index));
        }
        let dead: Vec<_> =
            self.destinations.iter().filter(|(_, d)| d.health != Health::Alive).map(|(&id, _)| id).collect();
        for id in dead {
            self.revive_destination(id);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time) {
        while let Some(&(due, _, wake)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            self.wake(now, wake);
        }
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.timers.first().map(|&(due, _, _)| due)
    }

    /// The next thing to do, until `None`.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Messages in memory.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Whether `nexthop` of a transport, or the transport, is dead.
    #[must_use]
    pub fn is_dead(&self, id: TransportId, key: &str) -> bool {
        let transport = &self.transports[id.0];
        let destination = transport.destinations.get(key).and_then(|id| self.destinations.get(id));
        transport.health != Health::Alive || destination.is_some_and(|d| d.health != Health::Alive)
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn set_timer(&mut self, due: Time, wake: Wake) {
        let id = self.fresh_id();
        self.timers.insert((due, id, wake));
    }

    fn wake(&mut self, now: Time, wake: Wake) {
        match wake {
            Wake::ReviveDestination(id) => {
                let due = |d: &Destination| matches!(d.health, Health::Dead { until, .. } if until <= now);
                if self.destinations.get(&id).is_some_and(due) {
                    self.revive_destination(id);
                }
            }
            Wake::ReviveTransport(id) => {
                if matches!(self.transports[id.0].health, Health::Dead { until, .. } if until <= now) {
                    self.revive_transport(now, id);
                }
            }
            Wake::EndSleep(id) => self.end_sleep(now, id),
            Wake::TransportRate(id) => self.pump(now, id),
            Wake::Refill(id) => self.refill_due(now, id),
        }
    }

    fn place(
        &mut self,
        now: Time,
        message: MessageId,
        mut routed: Routed,
        options: BatchOptions,
        last: &mut Option<(EntryId, DestinationId)>,
    ) {
        if options.unthrottle {
            self.revive_transport(now, routed.transport);
            let known = self.transports[routed.transport.0].destinations.get(&routed.key);
            if let Some(&id) = known {
                self.revive_destination(id);
            }
        }
        let retry = self.retry;
        if let Some(reason) = self.why_dead(routed.transport, &routed.key) {
            if routed.transport == retry || self.why_dead(retry, &reason.to_lowercase()).is_some() {
                self.actions.push_back(Action::Defer(message, vec![routed.recipient], reason.to_string()));
                return;
            }
            routed = Routed {
                transport: retry,
                key: reason.to_lowercase(),
                nexthop: reason.to_string(),
                ..routed
            };
        }
        let destination = self.destination(routed.transport, &routed.key, &routed.nexthop);
        let most = if options.one_per_request { 1 } else { self.request_limit(routed.transport) };
        self.count_recipients(message, routed.transport, 1);
        if let Some((id, to)) = *last
            && to == destination
            && let Some(entry) = self.entries.get_mut(&id)
            && entry.recipients.len() < most
        {
            entry.recipients.push(routed.recipient);
            return;
        }
        let id = self.enqueue(now, message, destination, vec![routed.recipient]);
        *last = Some((id, destination));
    }

    fn request_limit(&self, id: TransportId) -> usize {
        match self.transports[id.0].limits.destination_recipient_limit {
            0 => usize::MAX,
            n => n as usize,
        }
    }

    pub(crate) fn why_dead(&self, id: TransportId, key: &str) -> Option<Arc<str>> {
        let transport = &self.transports[id.0];
        let destination = transport.destinations.get(key).and_then(|id| self.destinations.get(id));
        [Some(&transport.health), destination.map(|d| &d.health)].into_iter().flatten().find_map(|health| {
            match health {
                Health::Alive => None,
                Health::Dead { reason, .. } => Some(Arc::clone(reason)),
            }
        })
    }

    pub(crate) fn destination(&mut self, transport: TransportId, key: &str, nexthop: &str) -> DestinationId {
        if let Some(&id) = self.transports[transport.0].destinations.get(key) {
            return id;
        }
        let id = DestinationId(self.fresh_id());
        let owner = &mut self.transports[transport.0];
        owner.destinations.insert(key.to_owned(), id);
        let window = Window::new(&owner.limits.concurrency);
        self.destinations.insert(
            id,
            Destination {
                transport,
                key: key.to_owned(),
                nexthop: nexthop.into(),
                window,
                health: Health::Alive,
                asleep_until: None,
                busy: 0,
                waiting: 0,
                jobs: BTreeSet::new(),
                ready: None,
                last_done: None,
                cache_load: false,
                cache_store: false,
            },
        );
        id
    }

    /// Puts a new entry at the end of its job's entries for the destination.
    pub(crate) fn enqueue(
        &mut self,
        now: Time,
        message: MessageId,
        to: DestinationId,
        recipients: Vec<RecipientIndex>,
    ) -> EntryId {
        let id = EntryId(self.fresh_id());
        let Some(destination) = self.destinations.get(&to) else { return id };
        let job_id = self.job(message, destination.transport);
        self.entries.insert(id, Entry { job: job_id, destination: to, recipients });
        if let (Some(job), Some(destination)) = (self.jobs.get_mut(&job_id), self.destinations.get_mut(&to)) {
            job.read += 1;
            let peer = job.peers.entry(to).or_default();
            if peer.entries.is_empty() {
                destination.jobs.insert((job.order, job_id));
            }
            peer.entries.push_back(id);
            destination.waiting += 1;
        }
        self.warn_clog(now, to);
        self.refresh(to);
        self.reindex(job_id);
        id
    }

    fn warn_clog(&mut self, now: Time, id: DestinationId) {
        let Some(destination) = self.destinations.get(&id) else { return };
        let used = destination.waiting + destination.busy;
        if self.limits.clog_interval.is_zero()
            || used <= self.limits.active_messages / 5
            || now < self.next_clog_warning
        {
            return;
        }
        self.next_clog_warning = now + self.limits.clog_interval;
        let limit = self.transports[destination.transport.0].limits.concurrency.limit;
        self.actions.push_back(Action::Clogged(Clog {
            transport: destination.transport,
            nexthop: destination.nexthop.to_string(),
            entries: used,
            limit: (limit > 0 && destination.busy >= limit).then_some(limit),
        }));
    }

    /// Puts the destination where it belongs among those that could take an entry.
    pub(crate) fn refresh(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        let first = destination.jobs.first().filter(|_| destination.room() > 0);
        let key = first.map(|&(order, job)| {
            let peer = self.jobs.get(&job).and_then(|job| job.peers.get(&id));
            (order, peer.map_or(0, |peer| peer.stamp), id)
        });
        if destination.ready == key {
            return;
        }
        let ready = &mut self.transports[destination.transport.0].ready;
        if let Some(old) = destination.ready {
            ready.remove(&old);
        }
        ready.extend(key);
        destination.ready = key;
    }

    /// Takes the next entry of a job for a destination.
    pub(crate) fn take_entry(&mut self, job_id: JobId, from: DestinationId) -> Option<EntryId> {
        let job = self.jobs.get_mut(&job_id)?;
        let peer = job.peers.get_mut(&from)?;
        let entry = peer.entries.pop_front()?;
        job.selected += 1;
        job.rotation += 1;
        peer.stamp = job.rotation;
        let destination = self.destinations.get_mut(&from)?;
        destination.waiting = destination.waiting.saturating_sub(1);
        if peer.entries.is_empty() {
            job.peers.remove(&from);
            destination.jobs.remove(&(job.order, job_id));
        }
        Some(entry)
    }

    fn hand_out(&mut self, now: Time, id: EntryId) -> Option<Delivery> {
        let entry = self.entries.get(&id)?;
        let destination = self.destinations.get_mut(&entry.destination)?;
        let job = self.jobs.get_mut(&entry.job)?;
        let back_to_back =
            destination.last_done.is_some_and(|last| now.saturating_sub(last) <= Time::from_secs(1));
        if back_to_back {
            destination.cache_load = true;
            destination.cache_store = true;
        } else if destination.busy == 0 {
            destination.cache_store = false;
        }
        destination.busy += 1;
        job.busy += 1;
        let transport = &mut self.transports[destination.transport.0];
        transport.busy += 1;
        transport.rate_timer = None;
        let delivery = Delivery {
            entry: id,
            message: job.message,
            nexthop: Arc::clone(&destination.nexthop),
            recipients: entry.recipients.clone(),
            cache_load: destination.cache_load,
            cache_store: destination.cache_store,
        };
        let (to, job) = (entry.destination, entry.job);
        self.refresh(to);
        self.after_selection(job);
        Some(delivery)
    }

    /// Ends the part of an entry in its job and message.
    fn release(&mut self, now: Time, entry: &Entry) {
        if let Some(job) = self.jobs.get_mut(&entry.job) {
            job.busy = job.busy.saturating_sub(1);
        }
        self.uncount_recipients(now, entry.job, entry.recipients.len());
        self.retire(entry.job);
    }

    pub(crate) fn check_drained(&mut self, id: MessageId) {
        let drained = self.messages.get_mut(&id).filter(|m| m.count == 0 && !m.reading);
        if let Some(message) = drained {
            message.reading = true;
            self.actions.push_back(Action::Drained(id));
        }
    }

    fn pump_all(&mut self, now: Time, id: MessageId) {
        let transports: Vec<_> =
            self.messages.get(&id).map(|m| m.jobs.keys().copied().collect()).unwrap_or_default();
        for transport in transports {
            self.pump(now, transport);
        }
    }

    /// Asks for as many connections as there are entries to hand out, within the limit of pending ones.
    pub(crate) fn pump(&mut self, now: Time, id: TransportId) {
        let transport = &self.transports[id.0];
        if transport.health != Health::Alive || !self.rate_allows(now, id) {
            return;
        }
        let transport = &self.transports[id.0];
        let slow = !transport.limits.transport_rate_delay.is_zero();
        let most = if slow { 1u32.saturating_sub(transport.busy) } else { self.limits.pending_connections };
        let mut wanted = 0u32;
        for (_, _, destination) in transport.ready.iter().take(most as usize) {
            wanted += self.destinations.get(destination).map_or(0, Destination::room);
        }
        let wanted = wanted.min(most);
        let transport = &mut self.transports[id.0];
        while transport.pending < wanted {
            transport.pending += 1;
            self.actions.push_back(Action::Connect(id));
        }
    }

    /// Transport rate delay: a wait before each hand-off.
    fn rate_allows(&mut self, now: Time, id: TransportId) -> bool {
        let transport = &mut self.transports[id.0];
        let delay = transport.limits.transport_rate_delay;
        if delay.is_zero() {
            return true;
        }
        if transport.ready.is_empty() || transport.busy > 0 {
            return false;
        }
        if let Some(due) = transport.rate_timer {
            return due <= now;
        }
        transport.rate_timer = Some(now + delay);
        self.set_timer(now + delay, Wake::TransportRate(id));
        false
    }
}

/// The order in a request, which is the order on the wire: transport, destination, domain, address.
fn sort(batch: &mut [Routed]) {
    let domain = |address: &str| address.rsplit_once('@').map_or(String::new(), |(_, d)| d.to_lowercase());
    batch.sort_by_cached_key(|r| (r.transport, r.key.clone(), domain(&r.address), r.address.clone()));
}
