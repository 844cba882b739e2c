//! The open queue file: a record stream to cleanup (or, for `sendmail -bs`, to postdrop).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use engine_restrict::{Effects, Verdict};
use host_daemon::{Cx, Interest, Token};
use mail_record::{Kind, put, put_attribute};
use mio::unix::SourceFd;
use proto_ipc::cleanup::{self, Greeting, Head};
use proto_ipc::{Connection, Error};
use proto_smtp::server::{Answer, Protocol, Question, RcptCommand, Reply, Ret, Session};
use proto_smtp::transcript::ErrorClass;
use serde::de::DeserializeOwned;

use crate::backend::{Backend, Given, Pending, Stage};
use crate::notice::rejection;
use crate::outcome::{result, write_error};
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
    /// cleanup was silent for `ipc_timeout`.
    gave_up: bool,
    /// The name of the stream in the event loop, and whether the loop tells when there is room.
    watched: Option<(Token, bool)>,
    /// postdrop, which must be waited for.
    child: Option<Child>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = self.connection.stream().shutdown(std::net::Shutdown::Both);
            let _ = child.wait();
        }
    }
}

impl Queue {
    /// Connects to cleanup (or starts postdrop). `may_block`: waits for a place in the queue of a busy cleanup.
    ///
    /// # Errors
    /// Those of connect(2); `WouldBlock` when it would have to wait.
    pub fn connect(services: &Arc<Services>, may_block: bool) -> Result<Self, Error> {
        let (connection, child) = if services.standalone {
            postdrop(services)?
        } else {
            let stream = if may_block {
                let stream = UnixStream::connect(&services.cleanup_path)?;
                stream.set_nonblocking(true)?;
                stream
            } else {
                mio::net::UnixStream::connect(&services.cleanup_path)?.into()
            };
            (Connection::from_stream(stream, services.format), None)
        };
        Ok(Self {
            services: Arc::clone(services),
            connection,
            id: String::new(),
            buffer: Vec::new(),
            begun: false,
            failed: false,
            gave_up: false,
            watched: None,
            child,
        })
    }

    /// Hears the queue ID and writes the envelope down to the sender; `false` while cleanup is silent.
    ///
    /// # Errors
    /// cleanup does not answer as it should.
    fn greeted(&mut self, session: &Session) -> Result<bool, Error> {
        let Some(greeting) = self.hear::<Greeting>()? else { return Ok(false) };
        let protocol =
            if self.services.standalone { proto_ipc::postdrop::PROTOCOL } else { cleanup::PROTOCOL };
        if greeting.protocol != protocol {
            return Err(Error::Malformed(format!(
                "protocol {} instead of {protocol}",
                proto_ipc::clean(&greeting.protocol)
            )));
        }
        self.id = greeting.queue_id;
        self.buffer.reserve(1024);
        if self.services.standalone {
            self.local_envelope(session);
        } else {
            let utf8 = session.transaction().is_some_and(|t| t.mail.smtputf8);
            let flags = self.services.cleanup_flags | if utf8 { cleanup::flags::SMTPUTF8 } else { 0 };
            self.connection.send(&Head { flags })?;
            self.envelope(session);
        }
        Ok(true)
    }

    /// What the other end says next. postdrop is waited for; cleanup is not.
    fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        if self.gave_up {
            return Err(Error::Io(io::ErrorKind::TimedOut.into()));
        }
        if self.child.is_some() { self.connection.receive().map(Some) } else { self.connection.try_receive() }
    }

    /// The other end was silent for too long.
    pub fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// Has the event loop tell when cleanup has said something, or has room for more.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch(&mut self, cx: &mut Cx, for_room: bool) -> io::Result<Token> {
        let fd = self.connection.stream().as_raw_fd();
        let interest = if for_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let token = match self.watched {
            None => cx.register(&mut SourceFd(&fd), interest)?,
            // Once asked for, news of room are no nuisance: the stream is written to once more at the most.
            Some((token, has_room)) if has_room || !for_room => return Ok(token),
            Some((token, _)) => {
                cx.reregister(&mut SourceFd(&fd), token, interest)?;
                token
            }
        };
        self.watched = Some((token, for_room));
        Ok(token)
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
        // The stamp of a probe's sender has done its work.
        let recipient = if self.services.is_probe_sender(&command.recipient) {
            &self.services.probe_sender
        } else {
            &command.recipient
        };
        put(&mut self.buffer, Kind::Recipient, recipient.as_bytes());
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

    /// Sends what is there; `false` while something is left.
    fn send(&mut self) -> bool {
        if self.failed {
            self.buffer.clear();
            return true;
        }
        let buffer = std::mem::take(&mut self.buffer);
        let result = if self.gave_up {
            Err(Error::Io(io::ErrorKind::TimedOut.into()))
        } else if self.child.is_some() {
            self.connection.put_encoded(&buffer).and_then(|()| self.connection.flush()).map(|()| true)
        } else {
            self.connection.buffer(&buffer);
            self.connection.try_flush()
        };
        result.unwrap_or_else(|error| {
            self.fail(&error);
            true
        })
    }

    fn fail(&mut self, error: &Error) {
        os_log::warning!("{}: problem talking to the cleanup service: {error}", self.id);
        self.failed = true;
    }

    fn content(&mut self, block: &[u8]) {
        if self.buffer.is_empty() {
            self.buffer = block.to_vec();
        } else {
            self.buffer.extend_from_slice(block);
        }
    }

    /// The end of the stream.
    fn finish(&mut self, effects: &Effects) {
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
    }

    /// What became of the message: cleanup's reply, or `None` for a failure; nothing while cleanup is silent.
    fn verdict(&mut self) -> Option<Option<cleanup::Reply>> {
        if self.failed {
            return Some(None);
        }
        match self.hear() {
            Ok(Some(reply)) => Some(Some(reply)),
            Ok(None) => None,
            Err(error) => {
                self.fail(&error);
                Some(None)
            }
        }
    }
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
    /// Opens a queue file for the first recipient.
    pub fn open(&mut self, session: &Session, command: &RcptCommand, may_block: bool) -> Option<Answer> {
        self.pending = Some(Pending::Id);
        match Queue::connect(&self.services, may_block) {
            Ok(queue) => {
                self.queue = Some(Box::new(queue));
                // cleanup makes the file before it speaks: only postdrop is waited for at once.
                if self.services.standalone { self.opened(session, command) } else { None }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock && !may_block => None,
            Err(error) => Some(self.not_opened(&error)),
        }
    }

    /// Goes on with the first recipient when the queue file has a name.
    fn opened(&mut self, session: &Session, command: &RcptCommand) -> Option<Answer> {
        let queue = self.queue.as_mut()?;
        match queue.greeted(session) {
            Ok(false) => None,
            Err(error) => Some(self.not_opened(&error)),
            Ok(true) => {
                self.pending = None;
                os_log::info!("{}: client={}", queue.id(), queue.client_text(session));
                queue.recipient(command);
                Some(Answer::Opened(queue.id().to_owned()))
            }
        }
    }

    fn not_opened(&mut self, error: &Error) -> Answer {
        os_log::warning!("connect #1 to subsystem {}: {error}", self.services.cleanup_path.display());
        (self.pending, self.queue) = (None, None);
        Answer::Reply(write_error())
    }

    /// Looks again at what was not possible without a wait.
    pub fn go_on(&mut self, session: &Session, pending: Pending, may_block: bool) -> Option<Answer> {
        match (pending, session.question()) {
            (Pending::Id, Some(Question::Rcpt(command))) => {
                let command = command.clone();
                if self.queue.is_some() {
                    self.opened(session, &command)
                } else {
                    self.open(session, &command, may_block)
                }
            }
            (Pending::Room, _) => {
                let sent = self.queue.as_mut().is_none_or(|queue| queue.send());
                sent.then(|| {
                    self.pending = None;
                    Answer::Accept
                })
            }
            (Pending::Verdict, _) => self.committed(session),
            // The session has forgotten what it asked; there is nothing to wait for.
            (Pending::Id, _) => {
                self.pending = None;
                Some(Answer::Accept)
            }
        }
    }

    /// A block of content is full.
    pub fn content(&mut self, session: &mut Session) -> Option<Answer> {
        let block = session.take_block();
        let effects = self.state.as_ref().map(|s| s.effects.clone()).unwrap_or_default();
        if let Some(queue) = &mut self.queue {
            queue.begin(session, &effects);
            queue.content(&block);
            if !queue.send() {
                self.pending = Some(Pending::Room);
                return None;
            }
        }
        Some(Answer::Accept)
    }

    /// The last restrictions, then commit.
    pub fn end(&mut self, session: &mut Session) -> Option<Answer> {
        let block = session.take_block();
        if let Some(refused) = self.refuse_content(session) {
            return Some(refused);
        }
        let effects = self.state.as_mut().map(|s| std::mem::take(&mut s.effects)).unwrap_or_default();
        let Some(queue) = &mut self.queue else {
            return Some(self.refused(write_error()));
        };
        queue.begin(session, &effects);
        queue.content(&block);
        queue.finish(&effects);
        self.pending = Some(Pending::Verdict);
        // cleanup flushes to disk before it speaks: not yet.
        if self.services.standalone || queue.failed { self.committed(session) } else { None }
    }

    /// The reply at the end of a message, when cleanup has spoken.
    fn committed(&mut self, session: &Session) -> Option<Answer> {
        let queue = self.queue.as_mut()?;
        let reply = queue.verdict()?;
        let answer = Answer::Reply(result(reply.as_ref(), queue.id(), session));
        (self.pending, self.queue) = (None, None);
        Some(answer)
    }

    /// What is against a message that has been received.
    fn refuse_content(&mut self, session: &Session) -> Option<Answer> {
        if !self.services.policy.end_of_data.is_empty() && !self.local {
            match self.verdict(session, Stage::EndOfData, Given::default()) {
                Verdict::Accept => {}
                Verdict::Reject(text, cause) => return Some(self.refused(rejection(text, cause))),
                Verdict::Hangup => {
                    self.forget_message();
                    return Some(Answer::Hangup);
                }
            }
        }
        let (too_big, bare_lf) = session.content_faults();
        if bare_lf {
            return Some(self.refuse_bare_lf(session));
        }
        too_big.then(|| {
            let reply = Reply::new("552 5.3.4 Error: message file too big");
            self.refused(reply.because_of(ErrorClass::Bounce))
        })
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
        self.refused(Reply::new(text).because_of(ErrorClass::Protocol))
    }
}
