//! The SMTP and LMTP delivery agent: `smtp(8)`, `lmtp(8)`.
//!
//! A request names recipients with one next hop. [`deliver`] walks over the next hops and their servers ([`nexthop`]),
//! opens or reuses a [`session`], and runs one [`transaction`] on it until each recipient has its result.

mod cache;
mod content;
mod deliver;
mod generic;
mod nexthop;
mod session;
mod settings;
mod stream;
mod transaction;

use std::process::ExitCode;
use std::sync::Arc;

use host_config::param;
use host_daemon::{Spec, Startup, run_pool};
use host_delivery::{AgentService, Context};
use host_tables::TableContext;

const SPEC: Spec = Spec { name: "smtp", ..host_delivery::SPEC };

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_pool(&SPEC, |startup: &mut Startup| {
        let tables = TableContext::new(&startup.config)?;
        let settings = settings::Settings::new(startup, &tables)?;
        let filter = if settings.lmtp {
            param::LMTP_DELIVERY_STATUS_FILTER
        } else {
            param::SMTP_DELIVERY_STATUS_FILTER
        };
        let context = Arc::new(Context::new(startup, &tables, filter)?);
        Ok(AgentService { context, agent: deliver::Client::new(settings) })
    })
}
