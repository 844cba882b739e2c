//! The queue manager scheduler: events and time in, actions out.
//!
//! A *message* has recipients; the recipients of one message for one transport are a *job*; what goes to an agent in one
//! request is an *entry*; entries of all jobs for one next hop share a *destination* with its concurrency window.
//! Jobs are served in time order, except that a small job may step in front of a large one (preemption).
//!
//! Nothing here reads a clock or does IO: each event carries `now` (time since any fixed point), and what is to be done
//! comes out of [`Scheduler::next_action`]. Waiting things stand in ordered sets by the time or order in which they are
//! due, so no operation looks at what is not due.

mod health;
mod limits;
mod memory;
mod preempt;
mod route;
mod scheduler;
mod state;
mod window;

pub use limits::{BadFeedback, Concurrency, Feedback, Limits, TransportLimits};
pub use route::{Resolution, Route, RoutePolicy, destination_key, route};
pub use scheduler::Scheduler;
pub use window::{Verdict, Window};

/// Time since a fixed point of the caller's choice.
pub type Time = std::time::Duration;

/// A transport, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub(crate) usize);

/// A message in the active queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub(crate) u64);

/// A delivery request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub(crate) u64);

/// A recipient of the message, by the caller's number for it.
pub type RecipientIndex = u32;

/// One recipient with its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The caller's number.
    pub recipient: RecipientIndex,
    /// Internal form, for the order inside a request.
    pub address: String,
    /// Transport.
    pub transport: TransportId,
    /// [`destination_key`].
    pub key: String,
    /// Next hop as the agent will see it.
    pub nexthop: String,
}

/// How the recipients of one batch are to be queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchOptions {
    /// VERP: one recipient a request.
    pub one_per_request: bool,
    /// `postqueue -i`: forget what is dead for these recipients.
    pub unthrottle: bool,
    /// Recipients that stay unread in the queue file (an upper bound); 0 = read to the end.
    pub unread: u32,
}

/// What the caller shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection to an agent of this transport; then report [`Scheduler::agent_ready`] or
    /// [`Scheduler::agent_unavailable`].
    Connect(TransportId),
    /// Read at most this many further recipients and call [`Scheduler::assign`].
    Read(MessageId, usize),
    /// No recipient of the message is in memory any more: read the next batch (after [`Scheduler::read_allowance`]), or end it.
    Drained(MessageId),
    /// These recipients cannot go to any agent, not even to `retry`: defer them for this `D.S.N reason`.
    Defer(MessageId, Vec<RecipientIndex>, String),
    /// One destination fills much of the active queue.
    Clogged(Clog),
}

/// A destination that fills much of the active queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clog {
    /// Its transport.
    pub transport: TransportId,
    /// Its name.
    pub nexthop: String,
    /// Entries that wait or are being delivered.
    pub entries: u32,
    /// `transport_destination_concurrency_limit`, if so many deliveries are under way; `None`: it is not what holds mail up.
    pub limit: Option<u32>,
}

/// A delivery request to be sent to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// To name it in [`Scheduler::finished`].
    pub entry: EntryId,
    /// Its message.
    pub message: MessageId,
    /// Next hop.
    pub nexthop: std::sync::Arc<str>,
    /// Its recipients, in order.
    pub recipients: Vec<RecipientIndex>,
    /// The agent may take a cached connection.
    pub cache_load: bool,
    /// The agent may leave its connection in the cache.
    pub cache_store: bool,
}

/// How a delivery request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The destination was reached, whatever became of the recipients.
    Reached,
    /// The destination is unusable; the text is the next hop for `retry`: `D.S.N reason`.
    Unusable(String),
    /// The agent went away without an answer. This says nothing of the destination, and the next message tries again.
    AgentLost,
}
