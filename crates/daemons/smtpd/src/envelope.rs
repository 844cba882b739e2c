//! CONNECT, MAIL, RCPT, VRFY, ETRN.

use std::net::IpAddr;

use engine_restrict::Verdict;
use proto_smtp::server::{Answer, Client, MailCommand, RcptCommand, Reply, Session};
use proto_smtp::transcript::ErrorClass;

use crate::anvil::Event;
use crate::backend::{Backend, Given, Stage};
use crate::connect;
use crate::notice::rejection;

fn say(text: impl Into<String>) -> Answer {
    Answer::Reply(Reply::new(text))
}

/// The same for an error that the postmaster may want to hear of.
fn say_why(text: impl Into<String>, class: ErrorClass) -> Answer {
    Answer::Reply(Reply::new(text).because_of(class))
}

impl Backend {
    pub fn connect(&mut self, session: &Session) -> Answer {
        let services = std::sync::Arc::clone(&self.services);
        let mut client = session.client().clone();
        connect::look_up_names(&services.names, &mut client, services.peername_lookup);
        let namaddr = client.text(services.settings.port_logging);
        if !std::mem::replace(&mut self.greeted, true) {
            os_log::info!("connect from {namaddr}");
        }
        let profile = connect::profile(&services, &client);
        self.state = None;
        if let Some(text) = self.limit_connections(&client, &namaddr, profile.xclient) {
            return say(text);
        }
        if !self.local && !services.policy.delay_reject && !services.policy.client.is_empty() {
            let verdict =
                self.verdict(session, Stage::Client, Given { client: Some(&client), ..Given::default() });
            match verdict {
                Verdict::Accept => {}
                Verdict::Reject(text, cause) => {
                    return Answer::Denied(Box::new(client), profile, rejection(text, cause));
                }
                Verdict::Hangup => return Answer::Hangup,
            }
        }
        Answer::Connected(Box::new(client), profile)
    }

    /// Tells anvil; the reply when the client has too many connections.
    fn limit_connections(&mut self, client: &Client, namaddr: &str, trusted: bool) -> Option<String> {
        let services = &self.services;
        let limits = &services.limits;
        if self.local || trusted || !limits.any() || connect::listed(&services.limit_exceptions, client) {
            return None;
        }
        let ident = self.ident.get_or_insert_with(|| services.ident(&client.address).into_boxed_str());
        if limits.connections == 0 && limits.connection_rate == 0 || self.counted {
            return None;
        }
        let (count, rate) = services.anvil.connect(ident)?;
        self.counted = true;
        let exceeded = if limits.connections > 0 && count > limits.connections {
            ("concurrency", count)
        } else if limits.connection_rate > 0 && rate > limits.connection_rate {
            ("rate", rate)
        } else {
            return None;
        };
        os_log::warning!(
            "Connection {} limit exceeded: {} from {namaddr} for service {}",
            exceeded.0,
            exceeded.1,
            services.service_name
        );
        Some(format!(
            "421 4.7.0 {} Error: too many connections from {}",
            services.settings.myhostname, client.address
        ))
    }

    /// Counts an event; the reply when there were too many.
    fn limit(&self, session: &Session, event: Event, limit: i64, what: &str, reply: &str) -> Option<Answer> {
        let ident = self.ident.as_deref().filter(|_| limit > 0)?;
        let rate = self.services.anvil.count(event, ident)?;
        if rate <= limit {
            return None;
        }
        os_log::warning!(
            "{what} rate limit exceeded: {rate} from {} for service {}",
            session.namaddr(),
            self.services.service_name
        );
        let text = format!("450 4.7.1 Error: {reply} from {}", session.client().address);
        Some(say_why(text, ErrorClass::Policy))
    }

    pub fn mail(&mut self, session: &Session, command: &MailCommand) -> Answer {
        let limit = self.services.limits.messages;
        if let Some(answer) =
            self.limit(session, Event::Message, limit, "Message delivery request", "too much mail")
        {
            return answer;
        }
        if let Some(fault) = &command.fault {
            return Answer::Reply(fault.clone());
        }
        if let Some(answer) =
            self.check_address(session, &command.sender, "MAIL", "501 5.1.7 Bad sender address syntax")
        {
            return answer;
        }
        if let Some(state) = &mut self.state {
            state.effects = engine_restrict::Effects::default();
        }
        let given = Given { sender: Some(&command.sender), ..Given::default() };
        if !self.services.policy.delay_reject {
            match self.decide(session, Stage::Sender, given) {
                Answer::Accept => {}
                refused => return refused,
            }
        }
        if self.services.strict_smtputf8 && !command.smtputf8 && !command.sender.is_ascii() {
            return say("553 5.6.7 Must declare SMTPUTF8 to send unicode address");
        }
        if !self.services.has_space() {
            return say_why("452 4.3.1 Insufficient system storage", ErrorClass::Resource);
        }
        Answer::Accept
    }

    /// Refuses what the resolver calls malformed.
    fn check_address(&self, session: &Session, address: &str, command: &str, text: &str) -> Option<Answer> {
        if address.is_empty() {
            return None;
        }
        let resolved = self.services.resolve(address);
        if !resolved.bad {
            return None;
        }
        let shown = mail_address::to_external(address);
        os_log::warning!("Illegal address syntax from {} in {command} command: <{shown}>", session.namaddr());
        Some(say_why(text, ErrorClass::Protocol))
    }

    /// The reason against a recipient, if there is one.
    fn refuse_recipient(&mut self, session: &Session, command: &RcptCommand) -> Option<Answer> {
        let limit = self.services.limits.recipients;
        if let Some(answer) =
            self.limit(session, Event::Recipient, limit, "Recipient address", "too many recipients")
        {
            return Some(answer);
        }
        if let Some(fault) = &command.fault {
            return Some(Answer::Reply(fault.clone()));
        }
        if let Some(answer) =
            self.check_address(session, &command.recipient, "RCPT", "501 5.1.3 Bad recipient address syntax")
        {
            return Some(answer);
        }
        let utf8 = session.transaction().is_some_and(|t| t.mail.smtputf8);
        if self.services.strict_smtputf8 && !utf8 && !command.recipient.is_ascii() {
            return Some(say("553 5.6.7 Must declare SMTPUTF8 to send unicode address"));
        }
        let given = Given { recipient: Some(&command.recipient), ..Given::default() };
        match self.decide(session, Stage::Recipient, given) {
            Answer::Accept => None,
            refused => Some(refused),
        }
    }

    pub fn rcpt(&mut self, session: &Session, command: &RcptCommand, may_block: bool) -> Option<Answer> {
        if let Some(refused) = self.refuse_recipient(session, command) {
            return Some(refused);
        }
        match &mut self.queue {
            Some(queue) => {
                queue.recipient(command);
                Some(Answer::Accept)
            }
            None => self.open(session, command, may_block),
        }
    }

    pub fn vrfy(&mut self, session: &Session, address: Option<&str>) -> Answer {
        let limit = self.services.limits.recipients;
        if let Some(answer) =
            self.limit(session, Event::Recipient, limit, "Recipient address", "too many recipients")
        {
            return answer;
        }
        let Some(address) = address else {
            return say_why("501 5.1.3 Bad recipient address syntax", ErrorClass::Protocol);
        };
        if let Some(answer) =
            self.check_address(session, address, "VRFY", "501 5.1.3 Bad recipient address syntax")
        {
            return answer;
        }
        self.decide(session, Stage::Recipient, Given { recipient: Some(address), ..Given::default() })
    }

    pub fn etrn(&mut self, session: &Session, domain: &str) -> Answer {
        let given = Given { etrn: Some(domain), ..Given::default() };
        match self.decide(session, Stage::Etrn, given) {
            Answer::Accept => {}
            refused => return refused,
        }
        match self.services.flush_site(domain) {
            proto_ipc::flush::OK => say("250 Queuing started"),
            proto_ipc::flush::DENY => {
                os_log::warning!("reject: ETRN {domain}... from {}", session.namaddr());
                say(format!("459 <{domain}>: service unavailable"))
            }
            _ => say("458 Unable to queue messages"),
        }
    }
}

/// The key under which anvil counts a client: its address, or its network.
pub(crate) fn network(address: &str, ipv4_bits: u32, ipv6_bits: u32) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ipv4_bits < 32 => {
            let mask = u32::MAX.checked_shl(32 - ipv4_bits).unwrap_or(0);
            format!("{}/{ipv4_bits}", std::net::Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        Ok(IpAddr::V6(ip)) if ipv6_bits < 128 => {
            let mask = u128::MAX.checked_shl(128 - ipv6_bits).unwrap_or(0);
            format!("{}/{ipv6_bits}", std::net::Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
        Ok(_) | Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn clients_are_counted_by_network() {
        for (address, v4, v6, key) in [
            ("192.0.2.77", 32, 84, "192.0.2.77"),
            ("192.0.2.77", 24, 84, "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", 32, 84, "2001:db8:1:2:3::/84"),
            ("::1", 32, 128, "::1"),
            ("1.2.3.4", 0, 0, "0.0.0.0/0"),
        ] {
            assert_eq!(super::network(address, v4, v6), key);
        }
    }
}
