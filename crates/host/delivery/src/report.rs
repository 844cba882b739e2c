//! What becomes of a recipient is told to the log and to the bounce, defer, trace, verify and flush services.

use std::path::Path;

use mail_address::split;
use mail_lookup::MapsLookup;
use mail_status::{Action, Detail, Dsn, Notify, Outcome};
use proto_ipc::bounce::{Append, MessageInfo, OneNotice, Status, command};
use proto_ipc::delivery::{MessageStats, RecipientInfo, flags};
use proto_ipc::{Connection, Error, StatusReply, bounce, flush, verify};
use serde::Serialize;

use crate::log_line::LogLine;
use crate::{Context, Via};

/// Whether a recipient is done with or stays in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered or returned; may be marked done.
    Finished,
    /// Stays for a later attempt.
    Remains,
}

/// One event about one recipient of a message.
pub struct Event<'a> {
    pub context: &'a Context,
    pub queue_id: &'a str,
    /// Delivery request flags.
    pub flags: i32,
    pub stats: &'a MessageStats,
    pub recipient: &'a RecipientInfo,
    pub via: &'a Via,
    /// How a report calls a success: delivered, or relayed to a system without DSN support.
    pub success: Action,
    /// A failure is not logged for the sender, but told to the sender in here, at once.
    pub addressee: Option<&'a MessageInfo>,
}

impl Event<'_> {
    /// Tells everyone who must know.
    pub fn report(&self, outcome: &Outcome) -> Disposition {
        let outcome = self.filtered(outcome);
        if self.flags & flags::MTA_VERIFY != 0 {
            return self.probe(&outcome);
        }
        if self.flags & flags::USER_VERIFY != 0 {
            return self.verification(&outcome);
        }
        match outcome {
            Outcome::Sent(detail) => self.sent(&detail),
            Outcome::Deferred(detail) => self.deferred(&detail),
            Outcome::Bounced(detail) if self.context.soft_bounce => self.soft_bounced(&detail),
            Outcome::Bounced(detail) => self.bounced(&detail),
        }
    }

    fn sent(&self, detail: &Detail) -> Disposition {
        let notify = Notify(self.recipient.notify_flags);
        let wanted = self.flags & flags::RECORD != 0
            || self.flags & flags::DELAY_SENT != 0 && notify.wants_delay()
            || notify.has(Notify::SUCCESS);
        if wanted && !self.append(&self.context.trace_service, &self.via_text(detail), self.success) {
            return self.service_failure("trace");
        }
        self.log(detail, "sent");
        Disposition::Finished
    }

    /// A record for the delivery report, nothing else.
    pub fn trace(&self, detail: &Detail, action: Action) -> bool {
        self.append(&self.context.trace_service, &self.via_text(detail), action)
    }

    fn deferred(&self, detail: &Detail) -> Disposition {
        if self.flags & flags::RECORD != 0
            && !self.append(&self.context.trace_service, &self.via_text(detail), Action::Delayed)
        {
            os_log::warning!("{}: trace service failure", self.queue_id);
        }
        if self.append(&self.context.defer_service, detail, Action::Delayed) {
            self.log(detail, "deferred");
        } else {
            os_log::info!("{}: status=deferred (bounce failed)", self.queue_id);
        }
        self.flush_add();
        Disposition::Remains
    }

    /// `postconf(5) soft_bounce`: a permanent failure is only delayed.
    fn soft_bounced(&self, detail: &Detail) -> Disposition {
        let soft = Detail { dsn: detail.dsn.with_class(4), ..detail.clone() };
        if self.append(&self.context.defer_service, &soft, Action::Delayed) {
            self.log(&soft, "SOFTBOUNCE");
        } else {
            os_log::info!("{}: status=deferred (bounce failed)", self.queue_id);
        }
        self.flush_add();
        Disposition::Remains
    }

    fn bounced(&self, detail: &Detail) -> Disposition {
        if self.flags & flags::RECORD != 0
            && !self.append(&self.context.trace_service, &self.via_text(detail), Action::Failed)
        {
            return self.service_failure("bounce or trace");
        }
        let told = match self.addressee {
            None => self.append(&self.context.bounce_service, detail, Action::Failed),
            Some(message) => self.tell(message, detail),
        };
        if !told {
            return self.service_failure("bounce or trace");
        }
        self.log(detail, "bounced");
        Disposition::Finished
    }

    fn service_failure(&self, which: &str) -> Disposition {
        self.deferred(&Detail::new(Dsn::new(4, 3, 0), format!("{which} service failure")))
    }

    /// Probe of the verify service: its cache is told, nothing else.
    fn probe(&self, outcome: &Outcome) -> Disposition {
        let detail = outcome.detail();
        let (status, word) = match outcome {
            Outcome::Sent(_) => (verify::OK, "deliverable"),
            Outcome::Deferred(_) => (verify::DEFER, "undeliverable"),
            Outcome::Bounced(_) => (verify::BOUNCE, "undeliverable"),
        };
        if status != verify::OK && !self.context.negative_cache {
            self.log(detail, "undeliverable-but-not-cached");
            return Disposition::Finished;
        }
        let mut addresses = vec![self.recipient.recipient.as_str()];
        let original = self.recipient.original_recipient.as_str();
        if !original.is_empty() && original != self.recipient.recipient {
            addresses.insert(0, original);
        }
        let told =
            addresses.into_iter().try_for_each(|address| self.verify_update(address, status, &detail.reason));
        if let Err(error) = told {
            os_log::warning!("{}: verify service: {error}", self.queue_id);
        }
        self.log(detail, word);
        Disposition::Finished
    }

    /// `sendmail -bv`: only a report.
    fn verification(&self, outcome: &Outcome) -> Disposition {
        let detail = outcome.detail();
        let (action, word) = match outcome {
            Outcome::Sent(_) => (Action::Deliverable, "deliverable"),
            Outcome::Deferred(_) | Outcome::Bounced(_) => (Action::Undeliverable, "undeliverable"),
        };
        if !self.append(&self.context.trace_service, &self.via_text(detail), action) {
            return self.service_failure("trace");
        }
        self.log(detail, word);
        Disposition::Finished
    }

    /// Reason of a trace record: prefixed by the way it went.
    fn via_text(&self, detail: &Detail) -> Detail {
        let mut detail = detail.clone();
        if !self.via.relay.is_empty() {
            detail.reason = format!("delivery via {}: {}", self.via.relay, detail.reason);
        }
        detail
    }

    fn log(&self, detail: &Detail, word: &str) {
        LogLine {
            queue_id: self.queue_id,
            recipient: self.recipient,
            via: self.via,
            stats: self.stats,
            resolution: self.context.delay_resolution,
            dsn: detail.dsn,
            word,
            reason: &detail.reason,
        }
        .emit();
    }

    /// `true`: safely logged by the bounce, defer or trace service.
    fn append(&self, service: &Path, detail: &Detail, action: Action) -> bool {
        let request = Append {
            nrequest: command::APPEND,
            flags: bounce::flags::CLEAN & self.flags | self.flags & flags::TRACE_MASK,
            queue_id: self.queue_id.into(),
            recipient: self.recipient.clone(),
            status: Status::new(detail, action),
        };
        self.is_done(service, &request)
    }

    /// `true`: the notice about this one recipient is queued.
    fn tell(&self, message: &MessageInfo, detail: &Detail) -> bool {
        let request = OneNotice {
            nrequest: command::ONE,
            message: message.clone(),
            recipient: self.recipient.clone(),
            status: Status::new(detail, Action::Failed),
        };
        self.is_done(&self.context.bounce_service, &request)
    }

    fn is_done(&self, service: &Path, request: &impl Serialize) -> bool {
        match self.ask(service, request) {
            Ok(status) => status == 0,
            Err(error) => {
                os_log::warning!("{}: connection with service {}: {error}", self.queue_id, service.display());
                false
            }
        }
    }

    fn ask(&self, service: &Path, request: &impl Serialize) -> Result<i32, Error> {
        let mut connection = Connection::connect(service, self.context.format, self.context.ipc_timeout)?;
        connection.send(request)?;
        connection.expect_announcement(bounce::PROTOCOL)?;
        Ok(connection.receive::<StatusReply>()?.status)
    }

    fn verify_update(&self, address: &str, status: i32, reason: &str) -> Result<(), Error> {
        let mut connection =
            Connection::connect(&self.context.verify_service, self.context.format, self.context.ipc_timeout)?;
        connection.send(&verify::Update {
            request: "update".into(),
            address: address.into(),
            recipient_status: status,
            reason: proto_ipc::clean(reason),
        })?;
        connection.expect_announcement(verify::PROTOCOL)?;
        let reply: StatusReply = connection.receive()?;
        if reply.status == 0 { Ok(()) } else { Err(Error::Malformed(format!("status {}", reply.status))) }
    }

    /// Remembers the message for a fast flush of its destination (ETRN).
    fn flush_add(&self) {
        let context = self.context;
        if context.fast_flush_domains.is_empty() && !context.flush_all {
            return;
        }
        let Some(domain) = split(&self.recipient.recipient).1 else { return };
        let listed = context.fast_flush_domains.matches_host(domain, None).unwrap_or_else(|error| {
            os_log::warning!("{}: fast_flush_domains: {error}", self.queue_id);
            false
        });
        if !listed {
            return;
        }
        let add = || -> Result<(), Error> {
            let mut connection =
                Connection::connect(&context.flush_service, context.format, context.ipc_timeout)?;
            connection.send(&flush::Add {
                request: "add".into(),
                site: domain.into(),
                queue_id: self.queue_id.into(),
            })?;
            connection.expect_announcement(flush::PROTOCOL)?;
            connection.receive::<StatusReply>().map(|_| ())
        };
        if let Err(error) = add() {
            os_log::warning!("{}: unable to update fast flush logfile for {domain}: {error}", self.queue_id);
        }
    }

    /// `X_delivery_status_filter`: may reword a status, and turn a bounce into a deferral or back.
    fn filtered(&self, outcome: &Outcome) -> Outcome {
        let context = self.context;
        if context.status_filter.is_empty() {
            return outcome.clone();
        }
        let detail = outcome.detail();
        let text = format!("{} {}", detail.dsn, detail.reason);
        let found = match context.status_filter.find(&text, false) {
            Ok(Some(found)) => found,
            Ok(None) => return outcome.clone(),
            Err(error) => {
                os_log::warning!("{}: {error}", context.status_filter_name);
                return outcome.clone();
            }
        };
        match Dsn::split(&found) {
            Some((dsn, reason)) if dsn.is_success() == detail.dsn.is_success() => {
                Outcome::from_detail(Detail { dsn, reason: reason.into(), ..detail.clone() })
            }
            _ => {
                os_log::warning!("{}: bad status code: {found}", context.status_filter_name);
                outcome.clone()
            }
        }
    }
}
