//! The open queue file: a record stream to cleanup (or, for `sendmail -bs`, to postdrop).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use engine_restrict::{Effects, Verdict};
use mail_record::{Kind, put, put_attribute};
use proto_ipc::cleanup::{self, Greeting, Head, status};
use proto_ipc::{Connection, Error};
use proto_smtp::server::{Answer, Protocol, RcptCommand, Reply, Ret, Session};

use crate::backend::{Backend, Given, Stage};
use crate::services::Services;

/// A queue file in the making. Dropping it before the end makes cleanup forget the message.
pub(crate) struct Queue {
    services: Arc<Services>,
    connection: Connection,
    id: String,
    /// Records not sent yet.
    buffer: Vec<u8>,
    begun: bool,
    failed: bool,
    /// postdrop, which must be waited for.
    child: Option<Child>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.connection.stream().shutdown(std::net::Shutdown::Both);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

impl Queue {
    /// Opens a queue file and writes its envelope down to the sender.
    ///
    /// # Errors
    /// cleanup does not answer as it should.
    pub fn open(services: &Arc<Services>, session: &Session) -> Result<Self, Error> {
        let (mut connection, child) =
            if services.standalone { postdrop(services)? } else { (connect(services)?, None) };
        let protocol = if services.standalone { proto_ipc::postdrop::PROTOCOL } else { cleanup::PROTOCOL };
        let greeting: Greeting = connection.receive()?;
        if greeting.protocol != protocol {
            return Err(Error::Malformed(format!(
                "protocol {} instead of {protocol}",
                proto_ipc::clean(&greeting.protocol)
            )));
        }
        let mut queue = Self {
            services: Arc::clone(services),
            connection,
            id: greeting.queue_id,
            buffer: Vec::with_capacity(1024),
            begun: false,
            failed: false,
            child,
        };
        if services.standalone {
            queue.local_envelope(session);
        } else {
            let utf8 = session.transaction().is_some_and(|t| t.mail.smtputf8);
            let flags = services.cleanup_flags | if utf8 { cleanup::flags::SMTPUTF8 } else { 0 };
            queue.connection.send(&Head { flags })?;
            queue.envelope(session);
        }
        Ok(queue)
    }

    /// Queue ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn attribute(&mut self, name: &str, value: &str) {
        put_attribute(&mut self.buffer, name, &proto_ipc::clean(value));
    }

    fn local_envelope(&mut self, session: &Session) {
        let Some(transaction) = session.transaction() else { return };
        self.attribute("rewrite_context", "local");
        self.dsn_and_sender(transaction);
    }

    fn dsn_and_sender(&mut self, transaction: &proto_smtp::server::Transaction) {
        if let Some(id) = &transaction.mail.envelope_id {
            self.attribute("envelope_id", id);
        }
        match transaction.mail.ret {
            Some(Ret::Full) => self.attribute("ret_flags", "1"),
            Some(Ret::Headers) => self.attribute("ret_flags", "2"),
            None => {}
        }
        put(&mut self.buffer, Kind::Sender, transaction.mail.sender.as_bytes());
        if let Some(encoding) = transaction.mail.encoding {
            self.attribute("encoding", encoding.as_str());
        }
    }

    fn envelope(&mut self, session: &Session) {
        let Some(transaction) = session.transaction() else { return };
        let now = os_sys::time::now();
        put(&mut self.buffer, Kind::Time, format!("{} {:06}", now.as_secs(), now.subsec_micros()).as_bytes());
        let services = Arc::clone(&self.services);
        if !services.content_filter.is_empty() {
            put(&mut self.buffer, Kind::FilterOrText, services.content_filter.as_bytes());
        }
        let forwarded = session.forwarded();
        let ident = forwarded.and_then(|f| f.ident.clone()).unwrap_or_else(|| self.id.clone());
        self.attribute("log_ident", &ident);
        let local = services.rewrites_locally(session.client()) && !forwarded.is_some_and(|f| f.remote);
        self.attribute("rewrite_context", if local { "local" } else { "remote" });
        if let Some(sender) = &transaction.mail.auth {
            self.attribute("sasl_sender", sender);
        }
        self.dsn_and_sender(transaction);
        self.origin(session);
        if let Some(verp) = &transaction.mail.verp {
            put(&mut self.buffer, Kind::Verp, verp.as_bytes());
        }
    }

    /// Who sent it: as forwarded by a proxy (`log_…`), and as seen here.
    fn origin(&mut self, session: &Session) {
        let client = session.client();
        let protocol = session.protocol().as_str();
        match session.forwarded() {
            Some(told) => {
                let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
                let (name, address) = (or(&told.name), or(&told.address));
                self.attribute("log_client_name", &name);
                self.attribute("log_client_address", &address);
                self.attribute("log_client_port", &or(&told.port));
                self.attribute("log_message_origin", &format!("{name}[{address}]"));
                if let Some(helo) = &told.helo {
                    self.attribute("log_helo_name", helo);
                }
                self.attribute("log_protocol_name", &or(&told.protocol));
            }
            None => {
                self.attribute("log_client_name", &client.name);
                self.attribute("log_client_address", &client.address);
                self.attribute("log_client_port", &client.port);
                self.attribute("log_message_origin", &session.namaddr());
                if let Some(helo) = session.helo() {
                    self.attribute("log_helo_name", helo);
                }
                self.attribute("log_protocol_name", protocol);
            }
        }
        self.attribute("client_name", &client.name);
        self.attribute("reverse_client_name", &client.reverse_name);
        self.attribute("client_address", &client.address);
        self.attribute("client_port", &client.port);
        self.attribute("server_address", &client.server_address);
        self.attribute("server_port", &client.server_port);
        if let Some(helo) = session.helo() {
            self.attribute("helo_name", helo);
        }
        self.attribute("protocol_name", protocol);
        let family = if client.address.contains(':') { nix::libc::AF_INET6 } else { nix::libc::AF_INET };
        self.attribute("client_address_type", &family.to_string());
    }

    /// `client[address]` and what else the log shows of an accepted message.
    pub fn client_text(&self, session: &Session) -> String {
        let mut text = session.namaddr();
        if let Some(sender) = session.transaction().and_then(|t| t.mail.auth.as_ref()) {
            text.push_str(&format!(", sasl_sender={sender}"));
        }
        if let Some(told) = session.forwarded() {
            if let Some(ident) = &told.ident {
                text.push_str(&format!(", orig_queue_id={ident}"));
            }
            let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
            text.push_str(&format!(", orig_client={}[{}]", or(&told.name), or(&told.address)));
        }
        text
    }

    /// Adds a recipient.
    pub fn recipient(&mut self, command: &RcptCommand) {
        if command.notify != 0 {
            self.attribute("notify_flags", &command.notify.to_string());
        }
        let original = command.original.clone().unwrap_or_else(|| {
            let kind = if command.recipient.is_ascii() { "rfc822" } else { "utf-8" };
            format!("{kind};{}", mail_address::to_external(&command.recipient))
        });
        self.attribute("dsn_orig_rcpt", &original);
        put(&mut self.buffer, Kind::Recipient, command.recipient.as_bytes());
    }

    /// Start of the content: what access tables prepend, and our Received header.
    fn begin(&mut self, session: &Session, effects: &Effects) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let flags = if effects.hold { cleanup::flags::HOLD } else { 0 }
            | if effects.discard { cleanup::flags::DISCARD } else { 0 };
        if flags != 0 && !self.services.standalone {
            put(&mut self.buffer, Kind::Flags, flags.to_string().as_bytes());
        }
        put(&mut self.buffer, Kind::Message, b"");
        for line in &effects.prepend {
            put(&mut self.buffer, Kind::Line, line.as_bytes());
        }
        for line in self.received(session) {
            put(&mut self.buffer, Kind::Line, line.as_bytes());
        }
    }

    /// The Received header (RFC 5321 §4.4), line by line.
    fn received(&self, session: &Session) -> Vec<String> {
        let settings = &self.services.settings;
        let date = self.services.date();
        let mut lines = Vec::with_capacity(3);
        if self.services.hide_client {
            lines.push(format!(
                "Received: by {} ({}) id {}",
                settings.myhostname, self.services.mail_name, self.id
            ));
        } else {
            let client = session.client();
            let helo = session.helo().unwrap_or(&client.name);
            lines.push(format!("Received: from {helo} ({} [{}])", client.name, client.literal()));
            let utf8 = session.transaction().is_some_and(|t| t.mail.smtputf8);
            let protocol = match session.protocol() {
                Protocol::Esmtp if utf8 => "UTF8SMTP",
                Protocol::Esmtp => "ESMTP",
                Protocol::Smtp => "SMTP",
            };
            lines.push(format!(
                "\tby {} ({}) with {protocol} id {}",
                settings.myhostname, self.services.mail_name, self.id
            ));
        }
        match session.transaction().and_then(|t| t.only_recipient.as_deref()) {
            Some(recipient) => {
                lines.push(format!("\tfor <{}>; {date}", mail_address::to_external(recipient)))
            }
            None => {
                if let Some(last) = lines.last_mut() {
                    last.push(';');
                }
                lines.push(format!("\t{date}"));
            }
        }
        lines
    }

    fn send(&mut self) {
        if !self.failed {
            let result = self.connection.put_encoded(&self.buffer).and_then(|()| self.connection.flush());
            if let Err(error) = result {
                os_log::warning!("{}: problem talking to the cleanup service: {error}", self.id);
                self.failed = true;
            }
        }
        self.buffer.clear();
    }

    fn content(&mut self, block: &[u8]) {
        if self.buffer.is_empty() {
            self.buffer = block.to_vec();
        } else {
            self.buffer.extend_from_slice(block);
        }
    }

    /// The end of the stream, and what became of the message.
    fn finish(&mut self, effects: &Effects) -> Option<cleanup::Reply> {
        put(&mut self.buffer, Kind::Extracted, b"");
        if !self.services.standalone {
            if let Some(filter) = &effects.filter {
                put(&mut self.buffer, Kind::FilterOrText, filter.as_bytes());
            }
            if let Some(address) = &effects.redirect {
                put(&mut self.buffer, Kind::Redirect, address.as_bytes());
            }
            for address in &effects.bcc {
                put(&mut self.buffer, Kind::Recipient, address.as_bytes());
                self.attribute("notify_flags", "1");
            }
        }
        put(&mut self.buffer, Kind::End, b"");
        self.send();
        if self.failed {
            return None;
        }
        match self.connection.receive() {
            Ok(reply) => Some(reply),
            Err(error) => {
                os_log::warning!("{}: problem talking to the cleanup service: {error}", self.id);
                None
            }
        }
    }
}

fn connect(services: &Services) -> Result<Connection, Error> {
    Connection::connect(&services.cleanup_path, services.format, services.ipc_timeout)
}

/// Starts postdrop on one end of a socket pair.
fn postdrop(services: &Services) -> Result<(Connection, Option<Child>), Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let input = OwnedFd::from(theirs.try_clone()?);
    let child = Command::new(services.command_directory.join("postdrop"))
        .arg("-r")
        .env("MAIL_CONFIG", &services.config_directory)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let mut connection = Connection::from_stream(ours, services.format);
    connection.set_timeout(services.ipc_timeout)?;
    Ok((connection, Some(child)))
}

impl Backend {
    /// A block of content is full.
    pub fn content(&mut self, session: &mut Session) -> Answer {
        let block = session.take_block();
        let effects = self.state.as_ref().map(|s| s.effects.clone()).unwrap_or_default();
        if let Some(queue) = &mut self.queue {
            queue.begin(session, &effects);
            queue.content(&block);
            queue.send();
        }
        Answer::Accept
    }

    /// The message is complete: the last restrictions, then commit.
    pub fn end(&mut self, session: &mut Session) -> Answer {
        let block = session.take_block();
        if !self.services.policy.end_of_data.is_empty() && !self.local {
            match self.verdict(session, Stage::EndOfData, Given::default()) {
                Verdict::Accept => {}
                Verdict::Reject(text) => return self.refused(Reply::new(text)),
                Verdict::Hangup => {
                    self.forget_message();
                    return Answer::Hangup;
                }
            }
        }
        let (too_big, bare_lf) = session.content_faults();
        if bare_lf {
            return self.refuse_bare_lf(session);
        }
        if too_big {
            return self.refused(Reply::new("552 5.3.4 Error: message file too big"));
        }
        let effects = self.state.as_mut().map(|s| std::mem::take(&mut s.effects)).unwrap_or_default();
        let Some(mut queue) = self.queue.take() else {
            return self.refused(Reply::new("451 4.3.0 Error: queue file write error"));
        };
        queue.begin(session, &effects);
        queue.content(&block);
        let reply = queue.finish(&effects);
        Answer::Reply(result(reply.as_ref(), queue.id(), session))
    }

    fn refused(&mut self, reply: Reply) -> Answer {
        self.forget_message();
        Answer::Reply(reply)
    }

    fn refuse_bare_lf(&mut self, session: &Session) -> Answer {
        let settings = &self.services.settings;
        let text =
            format!("{} 5.5.2 {} Error: bare <LF> received", settings.bare_newline_code, settings.myhostname);
        let transaction = session.transaction();
        let sender = transaction.map(|t| t.mail.sender.as_str());
        let tail = session.decision_tail(sender, transaction.and_then(|t| t.only_recipient.as_deref()));
        os_log::info!(
            "{}: reject: {} from {}: {text}{tail}",
            session.queue_id_text(),
            session.place(),
            session.namaddr()
        );
        self.refused(Reply::new(text))
    }
}

/// The reply at the end of a message.
fn result(reply: Option<&cleanup::Reply>, id: &str, session: &Session) -> Reply {
    let Some(reply) = reply else { return Reply::new("451 4.3.0 Error: queue file write error") };
    let reason = reply.reason.as_str();
    let or = |default: &str| if reason.is_empty() { default.to_owned() } else { reason.to_owned() };
    if reply.status == 0 {
        if session.by_bdat() {
            return Reply::new(format!("250 2.0.0 Ok: {} bytes queued as {id}", session.content_bytes()));
        }
        return Reply::new(format!("250 2.0.0 Ok: queued as {id}"));
    }
    if is_whole_reply(reason) {
        return Reply::new(reason);
    }
    let bits = [
        (status::DEFER, format!("451 {}", with_status(&or("Error: service unavailable"), "4.7.1"))),
        (status::PROXY, "451 4.3.0 Error: queue file write error".to_owned()),
        (status::BAD, format!("451 4.3.0 Error: internal error {}", reply.status)),
        (status::RECIPIENTS, format!("451 4.3.0 Error: internal error {}", reply.status)),
        (status::HOPS, "554 5.4.0 Error: too many hops".to_owned()),
        (status::SIZE, "552 5.3.4 Error: message file too big".to_owned()),
        (status::CONTENT, format!("550 {}", with_status(&or("Error: message content rejected"), "5.7.1"))),
    ];
    bits.into_iter()
        .find(|(bit, _)| reply.status & bit != 0)
        .map_or_else(|| Reply::new("451 4.3.0 Error: queue file write error"), |(_, text)| Reply::new(text))
}

fn is_whole_reply(text: &str) -> bool {
    let mut bytes = text.bytes();
    matches!((bytes.next(), bytes.next(), bytes.next(), bytes.next()), (Some(b'4' | b'5'), Some(b), Some(c), Some(b' ' | b'-')) if b.is_ascii_digit() && c.is_ascii_digit())
}

fn with_status(text: &str, default: &str) -> String {
    if mail_status::Dsn::split(text).is_some() { text.to_owned() } else { format!("{default} {text}") }
}
