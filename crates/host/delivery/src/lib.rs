//! The delivery agent skeleton: what smtp, lmtp, local, virtual, pipe, error and discard have in common.
//!
//! * [`Context`]: the settings and services that every agent needs;
//! * [`Job`]: one request of the queue manager with its open queue file; an agent calls [`Job::finish`] for each
//!   recipient (log line, delivery logs, done mark) and the skeleton answers the queue manager;
//! * [`AgentService`], [`serve`]: the dialogue with the queue manager;
//! * [`mailbox`], [`command`]: delivery to files and to commands, for local, virtual and pipe;
//! * [`pass`]: hands recipients to another transport.

mod agent;
pub mod command;
pub mod content;
mod context;
pub mod envelope;
mod job;
mod log_line;
pub mod mailbox;
pub mod pass;
pub mod post;
pub mod postmaster;
mod report;
mod stats;

pub use agent::{Agent, AgentService, SPEC, serve, serve_kept};
pub use context::Context;
pub use job::Job;
pub use log_line::{LogLine, Via};
pub use report::Disposition;
pub use stats::{Delays, format_delay};

/// The delivery request list of the reference, re-exported for agents.
pub use proto_ipc::delivery::{DeliveryRequest, MessageStats, RecipientInfo, Stamp};
