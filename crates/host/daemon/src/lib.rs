//! The daemon skeleton: start-up, privileges, the four loops, the contract with master.
//!
//! A daemon declares one `const SPEC: Spec` and calls one of [`run_pool`], [`run_single`], [`run_trigger`],
//! [`run_event`]. `init` runs before the privilege drop and outside the chroot jail ("pre-init": open tables, keys,
//! services); `post_init` of the service's trait runs after it.

mod client;
mod event;
mod flow;
mod listener;
mod options;
mod pending;
mod pool;
mod single;
mod spec;
mod standalone;
mod startup;
mod status;
mod stress;
mod together;
mod trigger;
mod watchdog;

pub use client::{Client, PassAttributes, Session, Stream};
pub use event::{Cx, EventService, Interest, Readiness, Stop, TimerId, Token, Waker, run_event};
pub use flow::FlowPipe;
pub use pool::{PoolService, run_pool};
pub use single::{SingleService, run_single};
pub use spec::{Privilege, ProcessLimit, Spec};
pub use startup::{SESSION_QUOTA, Startup};
pub use status::{MESSAGE_SIZE, State};
pub use stress::StressBoard;
pub use trigger::{TriggerService, run_trigger};
pub use watchdog::{Watchdog, Watched};

/// Why a daemon cannot start; its text becomes the `fatal:` record.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
