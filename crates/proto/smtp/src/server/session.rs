//! The session: states, line reading, limits, time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Client, Protocol};
use super::command::Verb;
use super::content::Body;
use super::lines::Line;
use super::output::Reply;
use super::settings::{BareNewline, Keywords, Settings};
use super::statistics::Statistics;
use super::transaction::{MailCommand, RcptCommand, Transaction};
use super::xclient::Forwarded;
use crate::transcript::{ErrorClass, Transcript};

/// Something that only the driver can tell or do. It may block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A client connected, or XCLIENT made it a new one: names, rate limits, restrictions.
    Connect,
    /// HELO or EHLO with this name (only with [`Settings::ask_helo`]).
    Helo(String),
    /// A MAIL command.
    Mail(Box<MailCommand>),
    /// A RCPT command.
    Rcpt(Box<RcptCommand>),
    /// VRFY of this address (internal form), if it is one; the argument as typed.
    Vrfy(Option<String>, String),
    /// ETRN of this domain.
    Etrn(String),
    /// DATA, or the first BDAT (only with [`Settings::ask_data`]).
    Data,
    /// A block of records is to go out: see [`Session::take_block`].
    Content,
    /// The message is complete: write the rest, commit it.
    End,
    /// The transaction is given up: forget the queue file.
    Abort,
    /// Somebody is to be told of errors so far: see [`Session::take_notices`].
    Notices,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Go on.
    Accept,
    /// Go on; a queue file with this ID has been opened (RCPT).
    Opened(String),
    /// Say this. Negative replies count as errors. To [`Question::End`]: the result of the message.
    Reply(Reply),
    /// Go on with this client (to [`Question::Connect`]).
    Connected(Box<Client>, Profile),
    /// Say this instead of the banner and refuse every command (to [`Question::Connect`]).
    Denied(Box<Client>, Profile, Reply),
    /// End the session without a word.
    Hangup,
}

/// What this client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `smtpd_discard_ehlo_keywords` or its map.
    pub discarded: Keywords,
    /// `smtpd_forbid_bare_newline` after exclusions.
    pub bare_newline: BareNewline,
    /// `smtpd_authorized_xclient_hosts`.
    pub xclient: bool,
    /// `smtpd_authorized_xforward_hosts`.
    pub xforward: bool,
    /// `smtpd_authorized_verp_clients`.
    pub verp: bool,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Without a severity word.
    Info(String),
    /// A warning.
    Warning(String),
}

/// What the driver is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Answer [`Session::question`].
    Ask,
    /// Send the output, then read; time is up at this instant.
    Read(Instant),
    /// Do nothing (send nothing either) before this instant.
    Pause(Instant),
    /// Send the output and close.
    Close,
}

/// Where the session is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Waiting for a command.
    Command,
    /// Waiting for an answer.
    Asked(Question, Verb),
    /// Reading DATA content.
    Data,
    /// Reading a chunk.
    Chunk,
    /// Over.
    Closed,
}

/// One SMTP session.
pub struct Session {
    pub(crate) settings: Arc<Settings>,
    pub(crate) client: Box<Client>,
    pub(crate) profile: Profile,
    pub(crate) protocol: Protocol,
    pub(crate) helo: Option<Box<str>>,
    pub(crate) transaction: Option<Box<Transaction>>,
    pub(crate) forwarded: Option<Box<Forwarded>>,
    pub(crate) body: Option<Box<Body>>,
    pub(crate) chunk: Option<super::bdat::Chunk>,
    pub(crate) statistics: Statistics,
    pub(crate) phase: Phase,
    pub(crate) place: &'static str,
    pub(crate) declared_size: u64,
    pub(crate) denied: bool,
    pub(crate) bdat_failed: bool,
    pub(crate) pipelined: bool,
    pub(crate) bare_lf: bool,
    /// The next refusal is no error of the client (postconf(5) smtpd_recipient_overshoot_limit).
    pub(crate) forgiven: bool,
    pub(crate) input: Vec<u8>,
    pub(crate) consumed: usize,
    end_of_input: bool,
    cut_off: bool,
    pub(crate) skipping: bool,
    output: Vec<u8>,
    notes: Vec<Note>,
    errors: u32,
    junk: u32,
    pause: Option<Instant>,
    active: Instant,
    pub(crate) transcript: Option<Box<Transcript>>,
}

/// What a step inside a state says.
pub(crate) enum Progress {
    /// Look again.
    Again,
    /// More input is needed.
    Starved,
}

impl Session {
    /// A session with a client that has just connected.
    #[must_use]
    pub fn new(settings: Arc<Settings>, client: Client, now: Instant) -> Self {
        Self {
            transcript: Transcript::for_classes(settings.notice_classes),
            settings,
            client: Box::new(client),
            profile: Profile {
                discarded: Keywords::default(),
                bare_newline: BareNewline::Normalize,
                xclient: false,
                xforward: false,
                verp: false,
            },
            protocol: Protocol::Smtp,
            helo: None,
            transaction: None,
            forwarded: None,
            body: None,
            chunk: None,
            statistics: Statistics::default(),
            phase: Phase::Asked(Question::Connect, Verb::Unknown),
            place: "CONNECT",
            declared_size: 0,
            denied: false,
            bdat_failed: false,
            pipelined: false,
            bare_lf: false,
            forgiven: false,
            input: Vec::new(),
            consumed: 0,
            end_of_input: false,
            cut_off: false,
            skipping: false,
            output: Vec::new(),
            notes: Vec::new(),
            errors: 0,
            junk: 0,
            pause: None,
            active: now,
        }
    }

    /// Bytes from the client. Give at most what one read of 64 KiB brings, and only after [`Step::Read`] or at the start.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
        }
        self.input.extend_from_slice(bytes);
        if !self.settings.per_request_deadline {
            self.active = now;
        } else if !matches!(self.phase, Phase::Command) {
            // Each request has one deadline; content earns more time by arriving (postconf(5) smtpd_min_data_rate).
            let earned = bytes.len() as u64 / self.settings.min_data_rate.max(1);
            self.active = (self.active + Duration::from_secs(earned)).min(now);
        }
    }

    /// The client will send no more.
    pub fn ended(&mut self) {
        self.end_of_input = true;
    }

    /// Time is up: the instant of [`Step::Read`] has passed.
    pub fn timed_out(&mut self, now: Instant) {
        self.note(format!(
            "{}: timeout after {} from {}",
            self.queue_id_text(),
            self.place_text(),
            self.namaddr()
        ));
        let text = format!("421 4.4.2 {} Error: timeout exceeded", self.settings.myhostname);
        self.say(&Reply::new(text), now);
        self.pause = None;
        self.abort("timeout");
    }

    /// What is to be done next. Take [`Session::notes`] after each call.
    pub fn step(&mut self, now: Instant) -> Step {
        loop {
            if let Some(until) = self.pause {
                if now < until {
                    return Step::Pause(until);
                }
                self.pause = None;
            }
            let progress = match std::mem::replace(&mut self.phase, Phase::Closed) {
                Phase::Closed => return Step::Close,
                asked @ Phase::Asked(..) => {
                    self.phase = asked;
                    return Step::Ask;
                }
                Phase::Command => {
                    self.phase = Phase::Command;
                    self.next_command(now)
                }
                Phase::Data => self.data(),
                Phase::Chunk => self.chunk(now),
            };
            match progress {
                Progress::Again => {}
                Progress::Starved if self.end_of_input => self.lost(),
                Progress::Starved => {
                    self.give_back();
                    return Step::Read(self.active + self.settings.timeout);
                }
            }
        }
    }

    /// The question that [`Step::Ask`] is about.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        match &self.phase {
            Phase::Asked(question, _) => Some(question),
            Phase::Command | Phase::Data | Phase::Chunk | Phase::Closed => None,
        }
    }

    /// Bytes to send; take what has been sent off its front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Lines for the log, in order.
    pub fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Records of content that wait to be written.
    pub fn take_block(&mut self) -> Vec<u8> {
        self.body.as_mut().map(|body| body.take_block()).unwrap_or_default()
    }

    /// Content that has arrived: bytes of all lines, each with two for its end.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.bytes)
    }

    /// Whether the content is larger than `message_size_limit`, and whether a bare LF in it is to be refused.
    #[must_use]
    pub fn content_faults(&self) -> (bool, bool) {
        let refuses = self.profile.bare_newline == BareNewline::Reject;
        self.body.as_ref().map_or((false, false), |body| (body.too_big, body.bare_lf && refuses))
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the client may do.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// `name[address]` as in the log.
    #[must_use]
    pub fn namaddr(&self) -> String {
        self.client.text(self.settings.port_logging)
    }

    /// SMTP or ESMTP.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The name that HELO or EHLO gave.
    #[must_use]
    pub fn helo(&self) -> Option<&str> {
        self.helo.as_deref()
    }

    /// The mail transaction.
    #[must_use]
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_deref()
    }

    /// What XFORWARD told.
    #[must_use]
    pub fn forwarded(&self) -> Option<&Forwarded> {
        self.forwarded.as_deref()
    }

    /// The content came by BDAT.
    #[must_use]
    pub fn by_bdat(&self) -> bool {
        self.transaction.as_ref().is_some_and(|t| t.bdat == super::transaction::Bdat::Running)
    }

    /// The client sent commands together where it must wait.
    #[must_use]
    pub const fn pipelined(&self) -> bool {
        self.pipelined
    }

    /// Queue ID, or `NOQUEUE`.
    #[must_use]
    pub fn queue_id_text(&self) -> &str {
        self.transaction.as_ref().and_then(|t| t.queue_id.as_deref()).unwrap_or("NOQUEUE")
    }

    /// The command that is being answered, as the log names it (`RCPT`, `CONNECT`, `END-OF-MESSAGE` …).
    #[must_use]
    pub const fn place(&self) -> &'static str {
        self.place
    }

    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(Note::Info(text));
    }

    pub(crate) fn warn(&mut self, text: String) {
        self.notes.push(Note::Warning(text));
    }

    pub(crate) fn unread(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.consumed = self.consumed.saturating_add(count).min(self.input.len());
    }

    /// Buffers of an idle session are given back.
    fn give_back(&mut self) {
        if self.consumed == self.input.len() {
            self.input = Vec::new();
            self.consumed = 0;
        } else if self.consumed > 0 {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    pub(crate) fn ask(&mut self, question: Question, verb: Verb) {
        self.phase = Phase::Asked(question, verb);
    }

    /// Queues a reply, with what the configuration adds to it; sleeps before it when there were many errors.
    pub(crate) fn say(&mut self, reply: &Reply, now: Instant) {
        let reply = self.processed(reply.clone());
        let before = self.output.len();
        reply.write(&mut self.output);
        if let Some(transcript) = &mut self.transcript {
            transcript.sent(self.output.get(before..).unwrap_or_default());
            if let Some(class) = reply.class() {
                transcript.error(class);
            }
        }
        self.active = now;
        if self.errors >= self.settings.soft_error_limit && !self.settings.error_sleep.is_zero() {
            self.pause = Some(now + self.settings.error_sleep);
        }
        if reply.disconnects() {
            self.close();
        }
    }

    fn processed(&mut self, mut reply: Reply) -> Reply {
        if !reply.is_negative() {
            return reply;
        }
        if let Some(filter) = &self.settings.reply_filter
            && let Some(text) = filter(reply.as_str())
        {
            let id = self.queue_id_text().to_owned();
            self.note(format!("{id}: reply filter in: {}", reply.as_str()));
            self.note(format!("{id}: reply filter out: {text}"));
            reply = reply.with_text(text);
        }
        let footer = self.settings.footer_maps.as_ref().and_then(|maps| maps(reply.as_str()));
        let footer = footer.unwrap_or_else(|| self.settings.reject_footer.clone());
        if !footer.is_empty() {
            reply = reply.with_footer(&self.expand_footer(&footer));
        }
        if self.settings.soft_bounce { reply.softened() } else { reply }
    }

    /// Counts a command as done.
    pub(crate) fn done(&mut self, verb: Verb, ok: bool) {
        self.statistics.count(verb, ok);
        if !ok && !std::mem::take(&mut self.forgiven) {
            self.errors = self.errors.saturating_add(1);
        }
        if verb.is_junk() {
            self.count_junk();
        }
        if matches!(self.phase, Phase::Asked(..)) {
            self.phase = Phase::Command;
        }
    }

    pub(crate) fn count_junk(&mut self) {
        if self.junk > self.settings.junk_command_limit {
            self.errors = self.errors.saturating_add(1);
        }
        self.junk = self.junk.saturating_add(1);
    }

    /// The client will not be listened to any more.
    pub(crate) fn shut_input(&mut self) {
        self.end_of_input = true;
        self.cut_off = true;
        self.input.clear();
        self.consumed = 0;
    }

    /// The session reads no more, though the client may still send.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// A message was accepted: a clean slate.
    pub(crate) fn forget_errors(&mut self) {
        self.errors = 0;
        self.junk = 0;
        self.transcript.iter_mut().for_each(|transcript| transcript.forgive());
    }

    /// Gives the transaction up; a queue file that was opened is forgotten by the driver.
    pub(crate) fn reset(&mut self) -> bool {
        let opened = self.transaction.as_ref().is_some_and(|t| t.queue_id.is_some());
        self.transaction = None;
        self.body = None;
        self.declared_size = 0;
        self.chunk = None;
        self.bdat_failed = false;
        opened
    }

    fn lost(&mut self) {
        if self.place != "END-OF-MESSAGE" {
            self.note(format!(
                "{}: lost connection after {} from {}",
                self.queue_id_text(),
                self.place_text(),
                self.namaddr()
            ));
        }
        if self.in_content() {
            let verb = if self.place == "BDAT" { Verb::Bdat } else { Verb::Data };
            self.statistics.count(verb, false);
        }
        self.abort("lost connection");
    }

    const fn in_content(&self) -> bool {
        matches!(self.phase, Phase::Data | Phase::Chunk)
    }

    pub(crate) fn add_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    /// The place, in content with the bytes that have come.
    fn place_text(&self) -> String {
        match self.body.as_ref().filter(|_| self.in_content()) {
            Some(body) => format!(
                "{} ({} bytes)",
                self.place,
                body.bytes + (body.unfinished() + self.unread().len()) as u64
            ),
            None => self.place.to_owned(),
        }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The session ends after what has been said is sent.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
    }

    /// The last line of the log; call it when the connection has been closed.
    #[must_use]
    pub fn farewell(&self) -> String {
        let notes = if self.bare_lf && self.profile.bare_newline == BareNewline::Note {
            " notes=bare_lf"
        } else {
            ""
        };
        format!("disconnect from {}{}{notes}", self.namaddr(), self.statistics.line())
    }

    /// Reads a line and runs it.
    fn next_command(&mut self, now: Instant) -> Progress {
        if self.errors >= self.settings.hard_error_limit {
            self.note(format!(
                "{}: too many errors after {} from {}",
                self.queue_id_text(),
                self.place_text(),
                self.namaddr()
            ));
            let text = format!("421 4.7.0 {} Error: too many errors", self.settings.myhostname);
            self.say(&Reply::new(text).because_of(ErrorClass::Protocol), now);
            self.abort("too many errors");
            return Progress::Again;
        }
        if self.transcript.as_ref().is_some_and(|transcript| transcript.has_part()) {
            self.ask(Question::Notices, Verb::Unknown);
            return Progress::Again;
        }
        match self.read_line() {
            Line::None => Progress::Starved,
            Line::TooLong => {
                self.too_long(now);
                Progress::Again
            }
            Line::Whole(line, crlf) => {
                self.line(&line, crlf, now);
                Progress::Again
            }
        }
    }

    /// `; from=<…> to=<…> proto=… helo=<…>`: the end of a log line about a decision.
    #[must_use]
    pub fn decision_tail(&self, sender: Option<&str>, recipient: Option<&str>) -> String {
        self.decision_tail_of(sender, recipient, None)
    }

    /// The same with the HELO name that is being decided about.
    #[must_use]
    pub fn decision_tail_of(
        &self,
        sender: Option<&str>,
        recipient: Option<&str>,
        helo: Option<&str>,
    ) -> String {
        let mut out = String::from(";");
        if let Some(sender) = sender {
            out.push_str(&format!(" from=<{}>", mail_address::to_external(sender)));
        }
        if let Some(recipient) = recipient {
            out.push_str(&format!(" to=<{}>", mail_address::to_external(recipient)));
        }
        out.push_str(&format!(" proto={}", self.protocol.as_str()));
        if let Some(helo) = helo.or(self.helo.as_deref()) {
            out.push_str(&format!(" helo=<{helo}>"));
        }
        out
    }
}
