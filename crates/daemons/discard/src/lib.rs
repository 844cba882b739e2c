//! The `discard(8)` agent: it pretends to deliver; the next hop may give status and text.

use std::process::ExitCode;
use std::sync::Arc;

use host_config::param;
use host_daemon::{Spec, Startup, run_pool};
use host_delivery::{Agent, AgentService, Context, Job, Via};
use host_tables::TableContext;
use mail_status::{Detail, Dsn, Outcome};

const SPEC: Spec = Spec { name: "discard", ..host_delivery::SPEC };

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_pool(&SPEC, |startup: &mut Startup| {
        let tables = TableContext::new(&startup.config)?;
        let context = Arc::new(Context::new(startup, &tables, param::DEFAULT_DELIVERY_STATUS_FILTER)?);
        Ok(AgentService { context, agent: Discard })
    })
}

#[derive(Clone, Copy, Debug)]
struct Discard;

/// The next hop is `text` or `2.S.N text`.
fn outcome(nexthop: &str) -> Outcome {
    let default = Dsn::new(2, 0, 0);
    let (dsn, text) = Dsn::split(nexthop).unwrap_or((default, nexthop));
    let dsn = if dsn.is_success() { dsn } else { default };
    Outcome::Sent(Detail::new(dsn, text))
}

impl Agent for Discard {
    fn deliver(&self, job: &mut Job) {
        let outcome = outcome(&job.request.nexthop);
        for recipient in job.recipients.clone() {
            job.finish(&recipient, &Via::none(), &outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hop_is_status_and_text() {
        for (nexthop, code, text) in
            [("silently", "2.0.0", "silently"), ("2.1.5 gone", "2.1.5", "gone"), ("5.1.1 x", "2.0.0", "x")]
        {
            let outcome = outcome(nexthop);
            assert!(matches!(outcome, Outcome::Sent(_)));
            assert_eq!(
                (outcome.detail().dsn.to_string().as_str(), outcome.detail().reason.as_str()),
                (code, text)
            );
        }
    }
}
