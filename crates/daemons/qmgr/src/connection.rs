//! Dialogues with delivery agents and with the bounce, defer and trace services.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine_scheduler::{Delivery, EntryId, MessageId, RecipientIndex, Report, TransportId};
use host_daemon::{Cx, TimerId, Token};
use host_delivery::DeliveryRequest;
use mail_status::Dsn;
use os_sys::error_text;
use proto_ipc::delivery::{self, DeliveryReply, flags};
use proto_ipc::{Error, StatusReply, bounce, encode_into};
use serde::Serialize;

use crate::finish::Notice;
use crate::link::Link;
use crate::manager::Manager;
use crate::pool::{Opened, info, stats};
use crate::verp::verp_sender;

/// How long to wait when the queue of a listener is full.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// How long an agent that has nothing to do is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(1);
const UNAVAILABLE: &str = "4.3.0 mail transport unavailable";

/// A connection and what it is for.
pub struct Connection {
    link: Link,
    purpose: Purpose,
    timeout: Option<TimerId>,
}

enum Purpose {
    /// Waits for an agent to become free.
    Agent(TransportId),
    /// An agent that has served a request and waits for another one.
    Idle(TransportId),
    /// As `Agent`, but what it will get is decided: a request that a kept agent left without a reply.
    Again(Handed, Vec<u8>),
    /// Waits for an agent's reply. With the request if the agent was kept: it may have left before it saw that.
    Delivery(Handed, Option<Vec<u8>>),
    /// Waits for bounce, defer or trace.
    Notice { message: MessageId, notice: Notice, service: String, announced: bool },
}

/// What an agent works on.
struct Handed {
    transport: TransportId,
    entry: EntryId,
    message: MessageId,
    recipients: Vec<RecipientIndex>,
}

/// What came of a connection's progress.
enum Progress {
    /// It goes on.
    Wait(Connection),
    /// It is over.
    Over(Link),
}

impl Manager {
    /// Opens a connection to an agent.
    pub(crate) fn connect_agent(&mut self, cx: &mut Cx, transport: TransportId) {
        if let Some(link) = self.idle_agent(cx, transport) {
            match self.assign_agent(cx, link, transport, true) {
                Progress::Wait(connection) => self.keep(connection),
                Progress::Over(link) => link.close(cx),
            }
            return;
        }
        let name = self.scheduler.transport_name(transport).to_owned();
        match Link::connect(cx, &name, self.settings.format) {
            Ok(link) => self.keep(Connection { link, purpose: Purpose::Agent(transport), timeout: None }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.retries.insert(cx.after(FULL_RETRY), transport);
            }
            Err(error) => self.unavailable(transport, &error_text(&error)),
        }
    }

    /// A kept agent that waits for work.
    fn idle_agent(&mut self, cx: &mut Cx, transport: TransportId) -> Option<Link> {
        let token = self.idle.get_mut(&transport)?.pop()?;
        let Connection { link, timeout, .. } = self.connections.remove(&token)?;
        self.stop_timeout(cx, timeout);
        Some(link)
    }

    fn stop_timeout(&mut self, cx: &mut Cx, timeout: Option<TimerId>) {
        if let Some(timer) = timeout {
            cx.cancel(timer);
            self.timeouts.remove(&timer);
        }
    }

    fn unavailable(&mut self, transport: TransportId, error: &dyn std::fmt::Display) {
        os_log::warning!(
            "connect to transport private/{}: {error}",
            self.scheduler.transport_name(transport)
        );
        self.scheduler.agent_unavailable(os_sys::time::now(), transport, UNAVAILABLE);
    }

    fn keep(&mut self, connection: Connection) {
        self.connections.insert(connection.link.token(), connection);
    }

    /// A connection is readable, writable, or closed by its peer.
    pub(crate) fn progress(&mut self, cx: &mut Cx, token: Token, closed: bool) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        connection.link.progress(cx, closed);
        let Connection { link, purpose, timeout } = connection;
        let progress = match purpose {
            Purpose::Agent(transport) => self.agent(cx, link, transport),
            Purpose::Idle(transport) => {
                // It leaves; it has nothing else to say.
                self.not_idle(transport, link.token());
                Progress::Over(link)
            }
            Purpose::Again(handed, request) => self.again(cx, link, timeout, handed, request),
            Purpose::Delivery(handed, request) => self.delivery(cx, link, timeout, handed, request),
            Purpose::Notice { message, notice, service, announced } => {
                self.notice(cx, link, timeout, message, notice, service, announced)
            }
        };
        match progress {
            Progress::Wait(connection) => self.keep(connection),
            Progress::Over(link) => {
                self.stop_timeout(cx, timeout);
                link.close(cx);
            }
        }
    }

    /// The reply took too long.
    pub(crate) fn timed_out(&mut self, cx: &mut Cx, token: Token) {
        let Some(Connection { link, purpose, .. }) = self.connections.remove(&token) else { return };
        link.close(cx);
        match purpose {
            Purpose::Agent(_) => {}
            Purpose::Idle(transport) => self.not_idle(transport, token),
            Purpose::Again(handed, _) | Purpose::Delivery(handed, _) => {
                self.agent_lost(&handed, "timeout receiving delivery status");
            }
            Purpose::Notice { message, notice, service, .. } => {
                os_log::warning!("private/{service} socket: timeout");
                self.noticed(cx, message, notice, false);
            }
        }
    }

    fn agent(&mut self, cx: &mut Cx, mut link: Link, transport: TransportId) -> Progress {
        match link.announced(delivery::PROTOCOL) {
            Ok(true) => self.assign_agent(cx, link, transport, false),
            Ok(false) if !link.ended() => {
                Progress::Wait(Connection { link, purpose: Purpose::Agent(transport), timeout: None })
            }
            Ok(false) => {
                os_log::warning!(
                    "write to process ({}): Broken pipe",
                    self.scheduler.transport_name(transport)
                );
                self.scheduler.agent_unavailable(os_sys::time::now(), transport, UNAVAILABLE);
                Progress::Over(link)
            }
            Err(error) => {
                let name = self.scheduler.transport_name(transport);
                let error = match error {
                    proto_ipc::Error::Malformed(text) => text,
                    other => other.to_string(),
                };
                os_log::warning!("{error} from private/{name} socket (expected: {})", delivery::PROTOCOL);
                os_log::warning!("private/{name} socket: malformed response");
                self.scheduler.agent_unavailable(os_sys::time::now(), transport, UNAVAILABLE);
                Progress::Over(link)
            }
        }
    }

    /// An agent is free: gives it a request, or lets it go. `kept`: it has served one before.
    fn assign_agent(&mut self, cx: &mut Cx, link: Link, transport: TransportId, kept: bool) -> Progress {
        let now = os_sys::time::now();
        let Some(delivery) = self.scheduler.agent_ready(now, transport) else { return Progress::Over(link) };
        let request = self.encode_request(&delivery);
        let Delivery { entry, message, recipients, .. } = delivery;
        let handed = Handed { transport, entry, message, recipients };
        match request {
            Ok(request) => self.hand_over(cx, link, handed, request, kept),
            Err(error) => {
                self.agent_lost(&handed, &error.to_string());
                Progress::Over(link)
            }
        }
    }

    fn hand_over(
        &mut self,
        cx: &mut Cx,
        mut link: Link,
        handed: Handed,
        request: Vec<u8>,
        kept: bool,
    ) -> Progress {
        let sent = link.send(cx, &request);
        if kept && sent.is_err() {
            self.connect_again(cx, handed, request);
            return Progress::Over(link);
        }
        if let Err(error) = sent {
            self.agent_lost(&handed, &error.to_string());
            return Progress::Over(link);
        }
        let timer = cx.after(self.settings.reply_timeout);
        self.timeouts.insert(timer, link.token());
        let purpose = Purpose::Delivery(handed, kept.then_some(request));
        Progress::Wait(Connection { link, purpose, timeout: Some(timer) })
    }

    /// A kept agent left (its process may end at any time) before it saw the request: another one gets that.
    fn connect_again(&mut self, cx: &mut Cx, handed: Handed, request: Vec<u8>) {
        let name = self.scheduler.transport_name(handed.transport).to_owned();
        match Link::connect(cx, &name, self.settings.format) {
            Ok(link) => {
                let timer = cx.after(self.settings.reply_timeout);
                self.timeouts.insert(timer, link.token());
                self.keep(Connection {
                    link,
                    purpose: Purpose::Again(handed, request),
                    timeout: Some(timer),
                });
            }
            Err(error) => self.agent_lost(&handed, &error_text(&error).to_string()),
        }
    }

    fn again(
        &mut self,
        cx: &mut Cx,
        mut link: Link,
        timeout: Option<TimerId>,
        handed: Handed,
        request: Vec<u8>,
    ) -> Progress {
        match link.announced(delivery::PROTOCOL) {
            Ok(true) => {
                self.stop_timeout(cx, timeout);
                self.hand_over(cx, link, handed, request, false)
            }
            Ok(false) if !link.ended() => {
                Progress::Wait(Connection { link, purpose: Purpose::Again(handed, request), timeout })
            }
            Ok(false) => {
                self.agent_lost(&handed, "premature disconnect");
                Progress::Over(link)
            }
            Err(error) => {
                self.agent_lost(&handed, &error.to_string());
                Progress::Over(link)
            }
        }
    }

    /// An agent has served its request. One of ours announces itself again together with its reply, and is kept; the
    /// reference's goes on (and holds the queue file) only when we close.
    fn served(&mut self, cx: &mut Cx, mut link: Link, transport: TransportId) -> Progress {
        link.expect_announcement();
        if !matches!(link.announced(delivery::PROTOCOL), Ok(true)) {
            return Progress::Over(link);
        }
        let timer = cx.after(IDLE_LIMIT);
        self.timeouts.insert(timer, link.token());
        self.idle.entry(transport).or_default().push(link.token());
        Progress::Wait(Connection { link, purpose: Purpose::Idle(transport), timeout: Some(timer) })
    }

    fn not_idle(&mut self, transport: TransportId, token: Token) {
        if let Some(waiting) = self.idle.get_mut(&transport) {
            waiting.retain(|one| *one != token);
        }
    }

    fn encode_request(&self, delivery: &Delivery) -> Result<Vec<u8>, Error> {
        let message = self.messages.get(&delivery.message);
        let Some((message, opened)) = message.and_then(|m| Some((m, m.opened.as_ref()?))) else {
            return Err(Error::Malformed("no such message".into()));
        };
        let recipients: Vec<_> =
            delivery.recipients.iter().filter_map(|i| message.recipients.get(i)).collect();
        let mut request = request_of(message.id.as_str(), opened, &self.settings);
        request.flags |= if delivery.cache_load { flags::CACHE_LOAD } else { 0 };
        request.flags |= if delivery.cache_store { flags::CACHE_STORE } else { 0 };
        request.nexthop = delivery.nexthop.to_string();
        request.recipient_count = i32::try_from(recipients.len()).unwrap_or(i32::MAX);
        if let (Some(delimiters), Some(first)) = (&opened.envelope.verp, recipients.first()) {
            let original = if first.original.is_empty() { &first.address } else { &first.original };
            request.sender = verp_sender(&request.sender, delimiters, original);
        }
        let mut out = Vec::with_capacity(1024);
        encode_into(&mut out, &request, self.settings.format)?;
        for recipient in recipients {
            encode_into(&mut out, &info(recipient), self.settings.format)?;
        }
        Ok(out)
    }

    fn delivery(
        &mut self,
        cx: &mut Cx,
        mut link: Link,
        timeout: Option<TimerId>,
        handed: Handed,
        request: Option<Vec<u8>>,
    ) -> Progress {
        match (link.take::<DeliveryReply>(), request) {
            (Ok(Some(reply)), _) => {
                self.delivered(handed.entry, handed.message, &handed.recipients, &reply);
                self.stop_timeout(cx, timeout);
                return self.served(cx, link, handed.transport);
            }
            (Ok(None), request) if !link.ended() => {
                return Progress::Wait(Connection {
                    link,
                    purpose: Purpose::Delivery(handed, request),
                    timeout,
                });
            }
            (Ok(None), Some(request)) => self.connect_again(cx, handed, request),
            (Ok(None), None) | (Err(_), _) => self.agent_lost(&handed, "malformed response"),
        }
        Progress::Over(link)
    }

    fn delivered(
        &mut self,
        entry: EntryId,
        id: MessageId,
        recipients: &[RecipientIndex],
        reply: &DeliveryReply,
    ) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.deferred |= reply.status != 0;
            for index in recipients {
                message.recipients.remove(index);
            }
        }
        self.scheduler.finished(os_sys::time::now(), entry, report_of(reply));
    }

    fn agent_lost(&mut self, handed: &Handed, why: &str) {
        os_log::warning!("private/{} socket: {why}", self.scheduler.transport_name(handed.transport));
        if let Some(message) = self.messages.get_mut(&handed.message) {
            message.deferred = true;
            message.unlogged = true;
            for index in &handed.recipients {
                message.recipients.remove(index);
            }
        }
        self.scheduler.finished(os_sys::time::now(), handed.entry, Report::AgentLost);
    }

    /// Sends a request to the bounce, defer or trace service.
    pub(crate) fn send_notice<T: Serialize>(
        &mut self,
        cx: &mut Cx,
        message: MessageId,
        notice: Notice,
        service: &str,
        request: &T,
    ) {
        let sent =
            proto_ipc::encode(request, self.settings.format).map_err(io::Error::other).and_then(|bytes| {
                let mut link = Link::connect(cx, service, self.settings.format)?;
                link.send(cx, &bytes)?;
                Ok(link)
            });
        match sent {
            Ok(link) => {
                let timer = cx.after(self.settings.reply_timeout);
                self.timeouts.insert(timer, link.token());
                let purpose =
                    Purpose::Notice { message, notice, service: service.to_owned(), announced: false };
                self.keep(Connection { link, purpose, timeout: Some(timer) });
            }
            Err(error) => {
                os_log::warning!("connect to service private/{service}: {error}", error = error_text(&error));
                self.noticed(cx, message, notice, false);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a connection")]
    fn notice(
        &mut self,
        cx: &mut Cx,
        mut link: Link,
        timeout: Option<TimerId>,
        message: MessageId,
        notice: Notice,
        service: String,
        announced: bool,
    ) -> Progress {
        let reply = match link.announced(bounce::PROTOCOL) {
            Ok(true) => link.take::<StatusReply>(),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        let ok = match reply {
            Ok(Some(reply)) => reply.status == 0,
            Ok(None) if !link.ended() => {
                let purpose = Purpose::Notice { message, notice, service, announced };
                return Progress::Wait(Connection { link, purpose, timeout });
            }
            Ok(None) => {
                os_log::warning!("private/{service} socket: premature disconnect");
                false
            }
            Err(error) => {
                os_log::warning!("private/{service} socket: {error}");
                false
            }
        };
        self.noticed(cx, message, notice, ok);
        Progress::Over(link)
    }
}

/// A filled status block means that the destination is unusable.
fn report_of(reply: &DeliveryReply) -> Report {
    if reply.status == 0 || (reply.hop_status.is_empty() && reply.reason.is_empty()) {
        return Report::Reached;
    }
    let dsn = reply.hop_status.parse().unwrap_or(Dsn::new(4, 0, 0));
    let reason = if reply.reason.is_empty() { "unknown error" } else { &reply.reason };
    Report::Unusable(format!("{dsn} delivery temporarily suspended: {reason}"))
}

/// The part of a request that is the same for all recipients.
fn request_of(id: &str, opened: &Arc<Opened>, settings: &crate::settings::Settings) -> DeliveryRequest {
    let envelope = &opened.envelope;
    let warned = settings.confirm_delay_cleared && envelope.warning.is_some_and(|(_, time)| time < 0);
    let delay = if warned { flags::DELAY_SENT } else { 0 };
    let [sasl_method, sasl_username, sasl_sender] = envelope.sasl.clone();
    DeliveryRequest {
        flags: flags::SUCCESS | flags::BOUNCE | envelope.trace_flags | delay,
        queue_name: "active".to_owned(),
        queue_id: id.to_owned(),
        offset: envelope.size.data_offset,
        size: envelope.content_length(),
        nexthop: String::new(),
        encoding: envelope.encoding.clone(),
        sendopts: u32::try_from(envelope.size.send_options).unwrap_or(0),
        sender: envelope.sender.clone(),
        envelope_id: envelope.envelope_id.clone(),
        ret_flags: envelope.ret_flags,
        time: stats(opened).to_data(),
        log_client_name: envelope.client.name.clone(),
        log_client_address: envelope.client.address.clone(),
        log_client_port: envelope.client.port.clone(),
        log_protocol_name: envelope.client.protocol.clone(),
        log_helo_name: envelope.client.helo.clone(),
        sasl_method,
        sasl_username,
        sasl_sender,
        log_ident: envelope.log_ident.clone(),
        rewrite_context: envelope.rewrite_context.clone(),
        recipient_count: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_filled_status_block_with_failure_makes_a_destination_unusable() {
        let reply = |status, hop: &str, reason: &str| DeliveryReply {
            status,
            hop_status: hop.into(),
            reason: reason.into(),
            ..DeliveryReply::default()
        };
        for (reply, expected) in [
            (reply(0, "", ""), Report::Reached),
            (reply(-1, "", ""), Report::Reached),
            (reply(0, "4.4.1", "x"), Report::Reached),
            (reply(-1, "4.4.1", "x"), Report::Unusable("4.4.1 delivery temporarily suspended: x".into())),
            (reply(-1, "no", "x"), Report::Unusable("4.0.0 delivery temporarily suspended: x".into())),
            (
                reply(-1, "4.4.2", ""),
                Report::Unusable("4.4.2 delivery temporarily suspended: unknown error".into()),
            ),
        ] {
            assert_eq!(report_of(&reply), expected, "{reply:?}");
        }
    }
}
