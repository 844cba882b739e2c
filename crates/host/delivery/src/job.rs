//! One request of the queue manager.

use std::sync::Arc;

use host_spool::QueueFile;
use mail_status::{Action, Detail, Outcome};
use proto_ipc::bounce::{MessageInfo, Status};
use proto_ipc::delivery::{DeliveryReply, DeliveryRequest, MessageStats, RecipientInfo, Stamp, flags};

use crate::report::{Disposition, Event};
use crate::{Context, Via};

/// One delivery request: a message, some recipients with the same next hop.
#[derive(Debug)]
pub struct Job {
    /// Settings and services.
    pub context: Arc<Context>,
    /// The request as received.
    pub request: DeliveryRequest,
    /// Recipients, as received.
    pub recipients: Vec<RecipientInfo>,
    /// Time stamps; the agent sets `conn_setup_done` and `reuse_count`, [`Job::report`] sets `deliver_done`.
    pub stats: MessageStats,
    /// The open, locked queue file.
    pub message: QueueFile,
    remaining: bool,
    hop: Option<Detail>,
}

impl Job {
    pub(crate) fn new(
        context: Arc<Context>,
        request: DeliveryRequest,
        recipients: Vec<RecipientInfo>,
        stats: MessageStats,
        message: QueueFile,
    ) -> Self {
        Self { context, request, recipients, stats, message, remaining: false, hop: None }
    }

    /// Offset of the content in the queue file.
    #[must_use]
    pub fn data_offset(&self) -> u64 {
        u64::try_from(self.request.offset).unwrap_or(0)
    }

    /// A probe of the verify service or `sendmail -bv`: nothing may be delivered.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.request.flags & (flags::MTA_VERIFY | flags::USER_VERIFY) != 0
    }

    /// A probe of the verify service: it goes no further than the first answer.
    #[must_use]
    pub fn is_verify_probe(&self) -> bool {
        self.request.flags & flags::MTA_VERIFY != 0
    }

    /// Logs what became of a recipient and tells the services; marks nothing. For recipients that local expanded from
    /// a recipient of the request.
    pub fn report(&mut self, recipient: &RecipientInfo, via: &Via, outcome: &Outcome) -> Disposition {
        self.report_as(recipient, via, outcome, Action::Delivered)
    }

    /// As [`Job::report`]; a success is reported as this action.
    pub fn report_as(
        &mut self,
        recipient: &RecipientInfo,
        via: &Via,
        outcome: &Outcome,
        success: Action,
    ) -> Disposition {
        let stats = self.stats_now();
        let event = Event {
            context: &self.context,
            queue_id: &self.request.queue_id,
            flags: self.request.flags,
            stats: &stats,
            recipient,
            via,
            success,
            addressee: None,
        };
        event.report(outcome)
    }

    /// As [`Job::report`]; a failure is told to `addressee` (internal form) in a notice of its own, at once.
    /// `own_envelope`: ENVID and RET of the message are not about this recipient.
    pub fn report_to(
        &mut self,
        recipient: &RecipientInfo,
        via: &Via,
        outcome: &Outcome,
        addressee: &str,
        own_envelope: bool,
    ) -> Disposition {
        let request = &self.request;
        let message = MessageInfo {
            flags: 0,
            queue_name: request.queue_name.clone(),
            queue_id: request.queue_id.clone(),
            encoding: request.encoding.clone(),
            sendopts: request.sendopts,
            sender: addressee.to_owned(),
            envelope_id: if own_envelope { String::new() } else { request.envelope_id.clone() },
            ret_flags: if own_envelope { 0 } else { request.ret_flags },
        };
        let stats = self.stats_now();
        let event = Event {
            context: &self.context,
            queue_id: &request.queue_id,
            flags: request.flags,
            stats: &stats,
            recipient,
            via,
            success: Action::Delivered,
            addressee: Some(&message),
        };
        event.report(outcome)
    }

    /// The time stamps with the end of the delivery.
    fn stats_now(&self) -> MessageStats {
        let mut stats = self.stats;
        if stats.deliver_done.is_unset() {
            stats.deliver_done = Stamp::from_duration(os_sys::time::now());
        }
        stats
    }

    /// Records an alias expansion for the delivery report that the sender asked for (RFC 3461 §5.2.7.3); logs nothing.
    /// `false`: the trace service could not be reached.
    pub fn trace(&mut self, recipient: &RecipientInfo, via: &Via, detail: &Detail, action: Action) -> bool {
        let stats = self.stats;
        let event = Event {
            context: &self.context,
            queue_id: &self.request.queue_id,
            flags: self.request.flags,
            stats: &stats,
            recipient,
            via,
            success: action,
            addressee: None,
        };
        event.trace(detail, action)
    }

    /// Logs what became of a recipient of the request, tells the services, and marks it done unless it remains.
    pub fn finish(&mut self, recipient: &RecipientInfo, via: &Via, outcome: &Outcome) -> Disposition {
        self.finish_as(recipient, via, outcome, Action::Delivered)
    }

    /// As [`Job::finish`]; a success is reported as this action ([`Action::Relayed`] when the mail was only handed on).
    pub fn finish_as(
        &mut self,
        recipient: &RecipientInfo,
        via: &Via,
        outcome: &Outcome,
        success: Action,
    ) -> Disposition {
        let disposition = self.report_as(recipient, via, outcome, success);
        self.complete(recipient, disposition, matches!(outcome, Outcome::Bounced(_)));
        disposition
    }

    /// Marks a recipient done, or notes that it remains. `always`: even when the queue manager did not ask for marks.
    pub fn complete(&mut self, recipient: &RecipientInfo, disposition: Disposition, always: bool) {
        match disposition {
            Disposition::Remains => self.remaining = true,
            Disposition::Finished => {
                if !(always || self.request.flags & flags::SUCCESS != 0) {
                    return;
                }
                // −1: there is no record to mark (mail that another agent passed on, address probes).
                let Ok(offset) = u64::try_from(recipient.offset) else { return };
                if let Err(error) = self.message.mark_done(offset) {
                    os_log::warning!("{}: mark recipient done: {error}", self.request.queue_id);
                }
            }
        }
    }

    /// Some recipient stays in the queue.
    pub fn note_remaining(&mut self) {
        self.remaining = true;
    }

    /// Tells the queue manager that the destination as a whole is unusable.
    pub fn hop_failure(&mut self, detail: Detail) {
        self.hop = Some(detail);
        self.remaining = true;
    }

    /// The queue file cannot be understood: it is set aside by the queue manager, its recipients are deferred.
    pub fn mark_corrupt(&mut self, why: &str) {
        os_log::warning!("{}: {why}", self.request.queue_id);
        if let Err(error) = self.message.set_mode(0o400) {
            os_log::warning!("{}: change mode of corrupt queue file: {error}", self.request.queue_id);
        }
        self.remaining = true;
    }

    pub(crate) fn reply(&self) -> DeliveryReply {
        let status = if self.remaining { -1 } else { 0 };
        let Some(hop) = &self.hop else { return DeliveryReply { status, ..DeliveryReply::default() } };
        let hop = Status { action: String::new(), ..Status::new(hop, Action::Delayed) };
        DeliveryReply {
            hop_status: hop.status,
            diag_type: hop.diag_type,
            diag_text: hop.diag_text,
            mta_type: hop.mta_type,
            mta_mname: hop.mta_mname,
            action: hop.action,
            reason: hop.reason,
            status,
        }
    }
}
