//! The end of a delivery attempt: notices, expiry, delay warnings, deferral, removal.

use std::io;
use std::time::{Duration, SystemTime};

use engine_scheduler::{MessageId, RecipientIndex};
use host_daemon::Cx;
use host_delivery::{LogLine, MessageStats, RecipientInfo, Stamp, Via};
use host_spool::{DeliveryLog, Queue};
use mail_address::to_external;
use mail_record::{Kind, QueueId};
use mail_status::{Action, Detail, Dsn};
use os_sys::error_text;
use proto_ipc::bounce::{self, Append, MessageInfo, Status, VerpNotice, command};
use proto_ipc::delivery::flags;

use crate::manager::Manager;
use crate::pool::{Opened, info, set_aside, stats};

/// Which request to bounce, defer or trace is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Failures are returned to the sender.
    Bounce,
    /// Successes are reported.
    Trace,
    /// An expired message is returned.
    Expire,
    /// The sender is told about the delay.
    Warn,
    /// One recipient goes to the defer log, with this text.
    Append(RecipientInfo, Box<(MessageStats, Detail)>),
}

impl Manager {
    /// No recipient of the message is in memory any more.
    pub(crate) fn drained(&mut self, cx: &mut Cx, id: MessageId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.drained = true;
        if message.appends > 0 {
            return;
        }
        message.drained = false;
        let queue_id = message.id.clone();
        let Some(opened) = message.opened.clone() else { return };
        match self.shared.spool.log_length(DeliveryLog::Bounce, &queue_id) {
            Ok(Some(1..)) => {
                let verp = opened.envelope.verp.clone().filter(|_| !self.settings.no_verp_bounces);
                let service = self.settings.bounce_service.clone();
                let about = self.about(&queue_id, &opened, 0);
                self.flush(cx, id, Notice::Bounce, &service, about, verp);
            }
            Ok(Some(0)) => {
                if let Err(error) = self.shared.spool.remove_log(DeliveryLog::Bounce, &queue_id) {
                    os_log::warning!("{queue_id}: remove bounce log: {error}", error = error_text(&error));
                }
                self.bounced(cx, id);
            }
            Ok(None) => self.bounced(cx, id),
            Err(error) => {
                os_log::warning!("{queue_id}: bounce log: {error}", error = error_text(&error));
                self.bounced(cx, id);
            }
        }
    }

    /// A request to bounce, defer or trace has ended.
    pub(crate) fn noticed(&mut self, cx: &mut Cx, id: MessageId, notice: Notice, ok: bool) {
        if !ok && let Some(message) = self.messages.get_mut(&id) {
            message.deferred = true;
        }
        match notice {
            Notice::Bounce => self.bounced(cx, id),
            Notice::Trace => self.traced(cx, id, ok),
            Notice::Expire if ok => self.remove(id),
            Notice::Expire => self.defer(id),
            Notice::Warn => self.warned(id, ok),
            Notice::Append(recipient, story) => self.appended(cx, id, &recipient, &story, ok),
        }
    }

    /// Failures are dealt with: more recipients, or success reports.
    fn bounced(&mut self, cx: &mut Cx, id: MessageId) {
        let Some(message) = self.messages.get(&id) else { return };
        if message.unread > 0 {
            let most = self.scheduler.read_allowance(id);
            return self.read_more(id, most);
        }
        let Some(opened) = message.opened.clone() else { return };
        let queue_id = message.id.clone();
        let envelope = &opened.envelope;
        let report = envelope.trace_flags & (flags::USER_VERIFY | flags::RECORD);
        let warned =
            self.settings.confirm_delay_cleared && envelope.warning.is_some_and(|(_, time)| time < 0);
        let wanted = report != 0 || warned || envelope.wants_success_report();
        if !wanted || !matches!(self.shared.spool.log_length(DeliveryLog::Trace, &queue_id), Ok(Some(1..))) {
            return self.conclude(cx, id);
        }
        let report = report | if warned { flags::DELAY_SENT } else { 0 };
        let service = self.settings.trace_service.clone();
        let about = self.about(&queue_id, &opened, report);
        let request = bounce::Notice { nrequest: command::TRACE, message: about };
        self.send_notice(cx, id, Notice::Trace, &service, &request);
    }

    /// `sendmail -v` reports only the first attempt: its flag record is struck out.
    fn traced(&mut self, cx: &mut Cx, id: MessageId, ok: bool) {
        let message = self.messages.get(&id);
        if let Some((message, opened)) = message.and_then(|m| Some((m, m.opened.as_ref()?)))
            && let Some(offset) = opened.envelope.trace_offset
            && ok
            && message.deferred
            && opened.envelope.trace_flags == flags::RECORD
        {
            let struck = self
                .shared
                .spool
                .open_file(Queue::Active, &message.id)
                .and_then(|mut file| file.rewrite_kind(offset, &[Kind::Attribute], Kind::Killed));
            if let Err(error) = struck {
                os_log::warning!(
                    "{}: update of trace flags: {error}",
                    message.id,
                    error = error_text(&error)
                );
            }
        }
        self.conclude(cx, id);
    }

    /// Done, expired, or for later.
    fn conclude(&mut self, cx: &mut Cx, id: MessageId) {
        let Some(message) = self.messages.get(&id) else { return };
        let Some(opened) = message.opened.clone() else { return };
        if !message.deferred {
            return self.remove(id);
        }
        let (queue_id, unlogged) = (message.id.clone(), message.unlogged);
        if (opened.expire || self.is_expired(&opened)) && !unlogged {
            let word = if opened.expire { "force-expired" } else { "expired" };
            os_log::info!(
                "{queue_id}: from=<{}>, status={word}, returned to sender",
                to_external(&opened.envelope.sender)
            );
            let verp = opened.envelope.verp.clone().filter(|_| !self.settings.no_verp_bounces);
            let service = self.settings.defer_service.clone();
            let about = self.about(&queue_id, &opened, bounce::flags::DELETE_RECIPIENTS);
            return self.flush(cx, id, Notice::Expire, &service, about, verp);
        }
        let now = os_sys::time::now().as_secs().cast_signed();
        if opened.envelope.warning.is_some_and(|(_, time)| time > 0 && now >= time - 1) {
            let service = self.settings.defer_service.clone();
            let message = self.about(&queue_id, &opened, 0);
            let request = bounce::Notice { nrequest: command::WARN, message };
            return self.send_notice(cx, id, Notice::Warn, &service, &request);
        }
        self.defer(id);
    }

    fn is_expired(&self, opened: &Opened) -> bool {
        let envelope = &opened.envelope;
        let lifetime =
            if envelope.sender.is_empty() { self.settings.bounce_lifetime } else { self.settings.lifetime };
        let created = Duration::from_secs(u64::try_from(envelope.create_time).unwrap_or(0));
        os_sys::time::now() >= created + lifetime
    }

    fn warned(&mut self, id: MessageId, ok: bool) {
        let message = self.messages.get(&id);
        if ok
            && let Some((message, opened)) = message.and_then(|m| Some((m, m.opened.as_ref()?)))
            && let Some((offset, _)) = opened.envelope.warning
        {
            let marked = self.shared.spool.open_file(Queue::Active, &message.id).and_then(|mut file| {
                file.rewrite_record(offset, Kind::WarnTime, format!("{:15}", -1).as_bytes())
            });
            if let Err(error) = marked {
                os_log::warning!(
                    "{}: update of warning time: {error}",
                    message.id,
                    error = error_text(&error)
                );
            }
        }
        self.defer(id);
    }

    /// Moves the message to the deferred queue; the older it is, the later it is tried again.
    fn defer(&mut self, id: MessageId) {
        let Some(message) = self.messages.get(&id) else { return };
        let queue_id = message.id.clone();
        let created = message.opened.as_ref().map_or(0, |o| o.envelope.create_time);
        let spool = &self.shared.spool;
        match spool.metadata(Queue::Active, &queue_id) {
            Ok(metadata) if !host_spool::is_ready(&metadata) => set_aside(spool, &queue_id),
            Ok(_) => {
                let now = os_sys::time::now();
                let age = now.saturating_sub(Duration::from_secs(u64::try_from(created).unwrap_or(0)));
                let delay = backoff(age, self.settings.minimal_backoff, self.settings.maximal_backoff);
                let due = SystemTime::UNIX_EPOCH + Duration::from_secs((now + delay).as_secs());
                let moved = spool
                    .set_times(Queue::Active, &queue_id, due)
                    .and_then(|()| spool.rename(&queue_id, Queue::Active, Queue::Deferred));
                if let Err(error) = moved {
                    os_log::warning!("{queue_id}: move to deferred: {error}", error = error_text(&error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => os_log::warning!("{queue_id}: {error}", error = error_text(&error)),
        }
        self.forget(id);
    }

    /// All is done.
    fn remove(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get(&id) {
            match self.shared.spool.remove(Queue::Active, &message.id) {
                Ok(()) => os_log::info!("{}: removed", message.id),
                Err(error) => {
                    os_log::warning!("remove {} from active: {error}", message.id, error = error_text(&error))
                }
            }
        }
        self.forget(id);
    }

    /// Recipients that not even `retry` can take: the queue manager tells the defer service itself.
    pub(crate) fn defer_directly(
        &mut self,
        cx: &mut Cx,
        id: MessageId,
        recipients: &[RecipientIndex],
        reason: &str,
    ) {
        let (dsn, text) = Dsn::split(reason).unwrap_or((Dsn::new(4, 3, 0), reason));
        let detail = Detail::new(dsn, text);
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(opened) = message.opened.clone() else { return };
        message.deferred = true;
        let queue_id = message.id.as_str().to_owned();
        let gone: Vec<_> = recipients.iter().filter_map(|i| message.recipients.remove(i)).collect();
        message.appends += u32::try_from(gone.len()).unwrap_or(u32::MAX);
        let service = self.settings.defer_service.clone();
        for recipient in gone {
            let request = Append {
                nrequest: command::APPEND,
                flags: opened.envelope.trace_flags & flags::TRACE_MASK,
                queue_id: queue_id.clone(),
                recipient: info(&recipient),
                status: Status::new(&detail, Action::Delayed),
            };
            let now = Stamp::from_duration(os_sys::time::now());
            let stamps = MessageStats { agent_handoff: now, ..stats(&opened) };
            let notice = Notice::Append(info(&recipient), Box::new((stamps, detail.clone())));
            self.send_notice(cx, id, notice, &service, &request);
        }
    }

    fn appended(
        &mut self,
        cx: &mut Cx,
        id: MessageId,
        recipient: &RecipientInfo,
        story: &(MessageStats, Detail),
        ok: bool,
    ) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.appends = message.appends.saturating_sub(1);
        message.unlogged |= !ok;
        let (ready, queue_id) = (message.drained && message.appends == 0, message.id.clone());
        if ok {
            let deliver_done = Stamp::from_duration(os_sys::time::now());
            LogLine {
                queue_id: queue_id.as_str(),
                recipient,
                via: &Via::none(),
                stats: &MessageStats { deliver_done, ..story.0 },
                resolution: self.settings.delay_digits,
                dsn: story.1.dsn,
                word: "deferred",
                reason: &story.1.reason,
            }
            .emit();
        } else {
            os_log::info!("{queue_id}: status=deferred (bounce failed)");
        }
        if ready {
            self.drained(cx, id);
        }
    }

    fn flush(
        &mut self,
        cx: &mut Cx,
        id: MessageId,
        notice: Notice,
        service: &str,
        message: MessageInfo,
        verp: Option<String>,
    ) {
        match verp {
            Some(verp_delimiters) => {
                let request = VerpNotice { nrequest: command::VERP, message, verp_delimiters };
                self.send_notice(cx, id, notice, service, &request);
            }
            None => {
                let request = bounce::Notice { nrequest: command::FLUSH, message };
                self.send_notice(cx, id, notice, service, &request);
            }
        }
    }

    fn about(&self, id: &QueueId, opened: &Opened, flags: i32) -> MessageInfo {
        let envelope = &opened.envelope;
        MessageInfo {
            flags,
            queue_name: Queue::Active.name().to_owned(),
            queue_id: id.as_str().to_owned(),
            encoding: envelope.encoding.clone(),
            sendopts: u32::try_from(envelope.size.send_options).unwrap_or(0),
            sender: envelope.sender.clone(),
            envelope_id: envelope.envelope_id.clone(),
            ret_flags: envelope.ret_flags,
        }
    }
}

/// The time to the next attempt: the age of the message, within the limits; the lower one counts more.
fn backoff(age: Duration, minimal: Duration, maximal: Duration) -> Duration {
    age.min(maximal).max(minimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_attempt_is_as_far_away_as_the_message_is_old() {
        let s = Duration::from_secs;
        for (age, minimal, maximal, expected) in
            [(1, 300, 4000, 300), (500, 300, 4000, 500), (9000, 300, 4000, 4000), (9000, 5000, 4000, 5000)]
        {
            assert_eq!(backoff(s(age), s(minimal), s(maximal)), s(expected));
        }
    }
}
