//! The queue manager `qmgr(8)`: incoming, active and deferred queues, delivery scheduling.
//!
//! [`manager`] is the event loop; `engine-scheduler` decides what is delivered when; [`pool`] reads queue files and
//! resolves recipients on helper threads; [`connection`] speaks with agents and [`finish`] ends an attempt.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod connection;
mod envelope;
mod finish;
mod link;
mod manager;
mod pool;
mod scans;
mod settings;
mod verp;

use std::process::ExitCode;
use std::sync::Arc;

use host_daemon::{ProcessLimit, Spec, Startup, run_event};
use host_resolve::AddressService;
use host_spool::Spool;
use host_tables::TableContext;

const SPEC: Spec = Spec {
    process_limit: ProcessLimit::One,
    ignores_max_use: true,
    ignores_max_idle: true,
    triggers: true,
    alone: true,
    ..Spec::new("qmgr")
};

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_event(&SPEC, |startup: &mut Startup| {
        let tables = TableContext::new(&startup.config)?;
        let settings = Arc::new(settings::Settings::new(&startup.config)?);
        let shared = Arc::new(pool::Shared {
            spool: Spool::open(&startup.config)?,
            addresses: AddressService::from_config(&startup.config, &tables)?,
            asks_nobody: host_resolve::asks_nobody(&startup.config)?,
            settings,
        });
        manager::Manager::new(shared, startup.config.clone(), startup.flow.clone())
    })
}
