//! What the scheduler keeps: messages, jobs, destinations, transports, entries.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::{EntryId, MessageId, RecipientIndex, Time, TransportId, TransportLimits, Window};

/// A destination, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationId(pub u64);

/// A job, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Place of a job in the order of its transport. A job of message n starts at n << 64; a preempting job takes the
/// middle of the room in front of the job that it preempts.
pub type Order = u128;

/// A message.
pub struct Message {
    pub queued: Time,
    pub jobs: BTreeMap<TransportId, JobId>,
    /// Recipients in memory.
    pub count: u32,
    /// Recipients that may be in memory.
    pub limit: i64,
    /// Recipients still in the file.
    pub unread: u32,
    /// A batch is being read.
    pub reading: bool,
    /// No batch was read yet.
    pub fresh: bool,
    pub last_read: Time,
    /// A refill timer is set.
    pub refill_armed: bool,
}

/// The recipients of one message for one transport.
pub struct Job {
    pub message: MessageId,
    pub transport: TransportId,
    pub queued: Time,
    pub order: Order,
    pub peers: HashMap<DestinationId, Peer>,
    /// Entries made, entries handed out, entries in delivery.
    pub read: u32,
    pub selected: u32,
    pub busy: u32,
    /// Recipients in memory, and slots of the transport's pool held.
    pub recipients: u32,
    pub slots: i64,
    /// Preemption accounts: slots earned, entries handed out since it took the front.
    pub available: i64,
    pub used: u32,
    pub rotation: u64,
    /// The job that this one preempted, and the number of entries that it was to need then.
    pub parent: Option<(JobId, u32)>,
    pub children: u32,
    /// Where it stands in `Transport::candidates`.
    pub indexed: Option<(u32, Time)>,
}

/// The entries of one job for one destination.
#[derive(Default)]
pub struct Peer {
    pub entries: VecDeque<EntryId>,
    /// When it had its turn in its job.
    pub stamp: u64,
}

/// Whether something may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Alive,
    /// Until then; the text is the next hop for `retry`.
    Dead {
        until: Time,
        reason: Arc<str>,
    },
}

/// Position among the destinations that could take an entry now: order of its first job, turn in that job.
pub type ReadyKey = (Order, u64, DestinationId);

/// A next hop of a transport.
pub struct Destination {
    pub transport: TransportId,
    pub key: String,
    pub nexthop: Arc<str>,
    pub window: Window,
    pub health: Health,
    /// Rate delay: no delivery before this time.
    pub asleep_until: Option<Time>,
    pub busy: u32,
    pub waiting: u32,
    pub jobs: BTreeSet<(Order, JobId)>,
    pub ready: Option<ReadyKey>,
    pub last_done: Option<Time>,
    pub cache_load: bool,
    pub cache_store: bool,
}

impl Destination {
    /// How many entries could be handed out now.
    pub fn room(&self) -> u32 {
        if self.health != Health::Alive || self.asleep_until.is_some() {
            return 0;
        }
        self.window.size().saturating_sub(self.busy).min(self.waiting)
    }
}

/// A delivery agent service.
pub struct Transport {
    pub name: String,
    pub limits: TransportLimits,
    pub health: Health,
    /// Connections asked for.
    pub pending: u32,
    pub busy: u32,
    pub destinations: HashMap<String, DestinationId>,
    pub ready: BTreeSet<ReadyKey>,
    pub order: BTreeMap<Order, JobId>,
    /// Jobs that could preempt: by entries needed, then age.
    pub candidates: BTreeMap<u32, BTreeSet<(Time, JobId)>>,
    /// Unused recipient slots, and the jobs that want some.
    pub pool: i64,
    pub unread: BTreeSet<(MessageId, JobId)>,
    /// Transport rate delay: a timer runs, or has run out.
    pub rate_timer: Option<Time>,
}

/// A delivery request.
pub struct Entry {
    pub job: JobId,
    pub destination: DestinationId,
    pub recipients: Vec<RecipientIndex>,
}

/// What a timer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    ReviveDestination(DestinationId),
    ReviveTransport(TransportId),
    EndSleep(DestinationId),
    TransportRate(TransportId),
    Refill(MessageId),
}
