//! The `error(8)` agent, also called `retry`: it fails every recipient with the status and text of the next hop.

use std::process::ExitCode;
use std::sync::Arc;

use host_config::param;
use host_daemon::{Spec, Startup, run_pool};
use host_delivery::{Agent, AgentService, Context, Job, Via};
use host_tables::TableContext;
use mail_status::{Detail, Dsn, Outcome};

const SPEC: Spec = Spec { name: "error", ..host_delivery::SPEC };

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_pool(&SPEC, |startup: &mut Startup| {
        let agent = Refusal::of_service(&startup.service_name)?;
        let tables = TableContext::new(&startup.config)?;
        let context = Arc::new(Context::new(startup, &tables, param::DEFAULT_DELIVERY_STATUS_FILTER)?);
        Ok(AgentService { context, agent })
    })
}

/// What the service does; its name in master.cf decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// `error`: returned to the sender.
    Bounce,
    /// `retry`: tried again later.
    Defer,
}

impl Refusal {
    fn of_service(name: &str) -> Result<Self, String> {
        match name {
            "error" => Ok(Self::Bounce),
            "retry" => Ok(Self::Defer),
            other => Err(format!("The error mailer must be started as error or retry, not {other}")),
        }
    }

    /// The next hop is `text` or `D.S.N text`; a code of the wrong class does not count.
    fn outcome(self, nexthop: &str) -> Outcome {
        let default = match self {
            Self::Bounce => Dsn::new(5, 0, 0),
            Self::Defer => Dsn::new(4, 0, 0),
        };
        let (dsn, text) = Dsn::split(nexthop).unwrap_or((default, nexthop));
        let dsn = if dsn.class == default.class { dsn } else { default };
        let detail = Detail::new(dsn, text);
        match self {
            Self::Bounce => Outcome::Bounced(detail),
            Self::Defer => Outcome::Deferred(detail),
        }
    }
}

impl Agent for Refusal {
    fn deliver(&self, job: &mut Job) {
        let outcome = self.outcome(&job.request.nexthop);
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
        for (service, nexthop, code, text) in [
            (
                "error",
                "5.1.1 User unknown in virtual alias table",
                "5.1.1",
                "User unknown in virtual alias table",
            ),
            ("error", "Address is undeliverable", "5.0.0", "Address is undeliverable"),
            ("retry", "4.3.2 deferred transport", "4.3.2", "deferred transport"),
            ("retry", "later", "4.0.0", "later"),
        ] {
            let refusal = Refusal::of_service(service).unwrap();
            let outcome = refusal.outcome(nexthop);
            assert_eq!(
                (outcome.detail().dsn.to_string().as_str(), outcome.detail().reason.as_str()),
                (code, text)
            );
            assert_eq!(matches!(outcome, Outcome::Bounced(_)), refusal == Refusal::Bounce);
        }
        assert!(Refusal::of_service("smtp").is_err());
    }
}
