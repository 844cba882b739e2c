//! The commands and what their answers lead to.

use std::time::Instant;

use super::command::{Verb, after_keyword, looks_like_a_header, tokens};
use super::content::{Body, Fed};
use super::output::{Reply, escape};
use super::parameters::{self, Bad, Offer};
use super::session::{Answer, Phase, Profile, Progress, Question, Session};
use super::settings::{BareNewline, Keywords};
use super::transaction::{MailCommand, Transaction};
use super::xclient::safe_name;
use super::{Client, Protocol};
use crate::transcript::ErrorClass;

const HELP: &str = "214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD";

impl Session {
    /// One line from the client, without its LF.
    pub(crate) fn line(&mut self, line: &[u8], crlf: bool, now: Instant) {
        let refused = !crlf && self.profile.bare_newline == BareNewline::Reject;
        if !crlf && self.profile.bare_newline != BareNewline::Allow {
            self.bare_lf = true;
        }
        let line = match self.profile.bare_newline {
            BareNewline::Allow => trim_all_cr(line),
            BareNewline::Normalize | BareNewline::Note | BareNewline::Reject => {
                line.strip_suffix(b"\r").unwrap_or(line)
            }
        };
        // Text ends at a NUL, as it does in the reference.
        let line = line.split(|&b| b == 0).next().unwrap_or_default();
        self.transcript.iter_mut().for_each(|transcript| transcript.received(line));
        if refused {
            return self.refuse_bare_lf(now);
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) => text.to_owned(),
            Err(_) if self.settings.smtputf8 => {
                return self.fail_uncounted("500 5.5.2 Error: bad UTF-8 syntax", now);
            }
            Err(_) => String::from_utf8_lossy(line).into_owned(),
        };
        self.text_line(&text, now);
    }

    fn refuse_bare_lf(&mut self, now: Instant) {
        let text = format!(
            "{} 5.5.2 {} Error: bare <LF> received",
            self.settings.bare_newline_code, self.settings.myhostname
        );
        self.note_reject("bare <LF> received");
        self.say(&Reply::new(text).because_of(ErrorClass::Protocol), now);
        self.close();
    }

    fn note_reject(&mut self, text: &str) {
        let sender = self.transaction.as_ref().map(|t| t.mail.sender.clone());
        let tail = self.decision_tail(sender.as_deref(), None);
        self.note(format!(
            "{}: reject: {} from {}: {text}{tail}",
            self.queue_id_text(),
            self.place,
            self.namaddr()
        ));
    }

    fn text_line(&mut self, text: &str, now: Instant) {
        let filtered = self.settings.command_filter.as_ref().and_then(|filter| filter(text.trim_start()));
        let text = match &filtered {
            Some(changed) => {
                self.note(format!(
                    "{}: replacing command \"{}\" with \"{changed}\"",
                    self.namaddr(),
                    text.trim_start()
                ));
                changed.as_str()
            }
            None => text,
        };
        let trimmed = text.trim();
        let (word, arguments) =
            trimmed.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((trimmed, ""));
        if word.is_empty() {
            return self.fail_uncounted("500 5.5.2 Error: bad syntax", now);
        }
        if (self.settings.noop_commands)(word) {
            self.say(&Reply::new("250 2.0.0 Ok"), now);
            return self.count_junk();
        }
        self.command(Verb::parse(word), word, arguments.trim(), text, now);
    }

    fn command(&mut self, verb: Verb, word: &str, arguments: &str, line: &str, now: Instant) {
        self.place = verb.as_str();
        if verb == Verb::Unknown && (looks_like_a_header(word) || (self.settings.forbidden_commands)(word)) {
            let shown: Vec<u8> = line.bytes().take(100).collect();
            self.warn(format!("non-SMTP command from {}: {}", self.namaddr(), escape(&shown)));
            self.say(&Reply::new("221 2.7.0 Error: I can break rules, too. Goodbye."), now);
            self.done(verb, false);
            return self.close();
        }
        if self.denied && verb != Verb::Quit {
            let text = format!("503 5.7.0 Error: access denied for {}", self.namaddr());
            return self.fail_policy(verb, &text, now);
        }
        if verb == Verb::Unknown {
            return self.fail(verb, "500 5.5.2 Error: command not recognized", now);
        }
        let must_wait = self.protocol != Protocol::Esmtp || verb.ends_a_pipeline();
        if must_wait && self.pipelining_violation(verb.as_str(), now) {
            return self.statistics.count(verb, false);
        }
        self.run(verb, arguments, now);
    }

    fn run(&mut self, verb: Verb, arguments: &str, now: Instant) {
        match verb {
            Verb::Helo | Verb::Ehlo => self.hello(verb, arguments, now),
            Verb::Mail => self.mail(arguments, now),
            Verb::Rcpt => self.rcpt(arguments, now),
            Verb::Data => self.data_command(arguments, now),
            Verb::Bdat => self.bdat(arguments, now),
            Verb::Rset if arguments.is_empty() => {
                let opened = self.reset();
                self.turn_page();
                self.succeed(verb, "250 2.0.0 Ok", now);
                self.abort_if(opened);
            }
            Verb::Rset => self.fail(verb, "501 5.5.4 Syntax: RSET", now),
            Verb::Noop => self.succeed(verb, "250 2.0.0 Ok", now),
            Verb::Help => self.succeed(verb, HELP, now),
            Verb::Quit => {
                self.succeed(verb, "221 2.0.0 Bye", now);
                self.close();
            }
            Verb::Vrfy => self.vrfy(arguments, now),
            Verb::Etrn => self.etrn(arguments, now),
            Verb::Xclient => self.xclient(arguments, now),
            Verb::Xforward => self.xforward(arguments, now),
            Verb::Starttls if arguments.is_empty() => {
                self.fail(verb, "502 5.5.1 Error: command not implemented", now)
            }
            Verb::Starttls => self.fail(verb, "501 5.5.4 Syntax: STARTTLS", now),
            Verb::Auth => self.auth(now),
            Verb::Unknown => {}
        }
    }

    /// Refuses what is not as the protocol wants it.
    pub(crate) fn fail(&mut self, verb: Verb, text: &str, now: Instant) {
        self.refuse(verb, &Reply::new(text).because_of(ErrorClass::Protocol), now);
    }

    /// Refuses what the configuration does not want.
    pub(crate) fn fail_policy(&mut self, verb: Verb, text: &str, now: Instant) {
        self.refuse(verb, &Reply::new(text).because_of(ErrorClass::Policy), now);
    }

    /// Refuses what is no command at all: an error, but not in the statistics.
    fn fail_uncounted(&mut self, text: &str, now: Instant) {
        self.add_error();
        self.say(&Reply::new(text).because_of(ErrorClass::Protocol), now);
    }

    pub(crate) fn refuse(&mut self, verb: Verb, reply: &Reply, now: Instant) {
        self.done(verb, false);
        self.say(reply, now);
    }

    pub(crate) fn succeed(&mut self, verb: Verb, text: &str, now: Instant) {
        self.done(verb, true);
        self.say(&Reply::new(text), now);
    }

    fn abort_if(&mut self, opened: bool) {
        if opened && !matches!(self.phase, Phase::Closed) {
            self.ask(Question::Abort, Verb::Unknown);
        }
    }

    fn auth(&mut self, now: Instant) {
        if self.settings.helo_required && self.helo.is_none() {
            return self.fail_policy(Verb::Auth, "503 5.5.1 Error: send HELO/EHLO first", now);
        }
        self.fail(Verb::Auth, "503 5.5.1 Error: authentication not enabled", now);
    }

    fn hello(&mut self, verb: Verb, arguments: &str, now: Instant) {
        if arguments.is_empty() {
            return self.fail(verb, &format!("501 Syntax: {} hostname", verb.as_str()), now);
        }
        let name = safe_name(&tokens(arguments).concat());
        if self.settings.ask_helo {
            return self.ask(Question::Helo(name), verb);
        }
        self.greet(verb, name, now);
    }

    fn greet(&mut self, verb: Verb, name: String, now: Instant) {
        let opened = self.reset();
        self.turn_page();
        self.helo = Some(name.into_boxed_str());
        let text = if verb == Verb::Ehlo {
            self.protocol = Protocol::Esmtp;
            self.ehlo_reply()
        } else {
            format!("250 {}", self.settings.myhostname)
        };
        self.succeed(verb, &text, now);
        self.abort_if(opened);
    }

    fn ehlo_reply(&mut self) -> String {
        let discarded = self.profile.discarded;
        if let Some(text) = discarded.announcement() {
            self.note(text);
        }
        let size = match self.settings.message_size_limit {
            0 => "SIZE".to_owned(),
            limit => format!("SIZE {limit}"),
        };
        let offers = [
            (true, Keywords::PIPELINING, "PIPELINING"),
            (true, Keywords::SIZE, size.as_str()),
            (!self.settings.disable_vrfy, Keywords::VRFY, "VRFY"),
            (true, Keywords::ETRN, "ETRN"),
            (self.profile.verp, Keywords::VERP, "XVERP"),
            (
                self.profile.xclient,
                Keywords::XCLIENT,
                "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT",
            ),
            (self.profile.xforward, Keywords::XFORWARD, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"),
            (true, Keywords::ENHANCED_STATUS_CODES, "ENHANCEDSTATUSCODES"),
            (true, Keywords::EIGHT_BIT_MIME, "8BITMIME"),
            (true, Keywords::DSN, "DSN"),
            (self.settings.smtputf8, Keywords::SMTPUTF8, "SMTPUTF8"),
            (true, Keywords::CHUNKING, "CHUNKING"),
        ];
        let lines = offers
            .iter()
            .filter(|(on, keyword, _)| *on && !discarded.has(*keyword))
            .map(|(_, _, text)| *text);
        let mut text = format!("250 {}", self.settings.myhostname);
        for line in lines {
            text.push_str("\n250 ");
            text.push_str(line);
        }
        text
    }

    fn mail(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Mail;
        if self.settings.helo_required && self.helo.is_none() {
            return self.fail_policy(verb, "503 5.5.1 Error: send HELO/EHLO first", now);
        }
        if self.transaction.is_some() {
            return self.fail(verb, "503 5.5.1 Error: nested MAIL command", now);
        }
        if self.bdat_failed {
            return self.fail(verb, "503 5.5.1 Error: MAIL after BDAT", now);
        }
        let Some(text) = after_keyword(arguments, "FROM") else {
            return self.fail(verb, "501 5.5.4 Syntax: MAIL FROM:<address>", now);
        };
        let (mut command, size, bad) = parameters::mail(text, &self.offer());
        command.fault = command.fault.map(|fault| fault.or_because_of(ErrorClass::Protocol));
        self.warn_bad_address(bad, "MAIL");
        if let Some(size) = size {
            self.declared_size = size;
        }
        self.check_declared_size(&mut command);
        self.ask(Question::Mail(Box::new(command)), verb);
    }

    fn check_declared_size(&mut self, command: &mut MailCommand) {
        let limit = self.settings.message_size_limit;
        if command.fault.is_none() && limit > 0 && self.declared_size > limit {
            let text = "552 5.3.4 Message size exceeds fixed limit";
            let tail = self.decision_tail(Some(&command.sender), None);
            self.note(format!(
                "{}: reject: MAIL from {}: {text}{tail}",
                self.queue_id_text(),
                self.namaddr()
            ));
            command.fault = Some(Reply::new(text).because_of(ErrorClass::Policy));
        } else if command.fault.is_none() && command.verp.is_some() && command.sender.is_empty() {
            command.fault = Some(Reply::new("503 5.5.4 Error: XVERP requires non-null sender"));
        }
    }

    fn offer(&self) -> Offer<'_> {
        Offer { settings: &self.settings, discarded: self.profile.discarded, verp: self.profile.verp }
    }

    fn warn_bad_address(&mut self, bad: Bad, command: &str) {
        if let Bad::Address(text) = bad
            && (!text.starts_with('<') || text.contains('>'))
        {
            self.warn(format!("Illegal address syntax from {} in {command} command: {text}", self.namaddr()));
        }
    }

    fn rcpt(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Rcpt;
        if self.bdat_failed
            || self.transaction.as_ref().is_some_and(|t| t.bdat != super::transaction::Bdat::None)
        {
            return self.fail(verb, "503 5.5.1 Error: RCPT after BDAT", now);
        }
        let Some(transaction) = &self.transaction else {
            return self.fail(verb, "503 5.5.1 Error: need MAIL command", now);
        };
        let smtputf8 = transaction.mail.smtputf8;
        let Some(text) = after_keyword(arguments, "TO") else {
            return self.fail(verb, "501 5.5.4 Syntax: RCPT TO:<address>", now);
        };
        let (mut command, bad) = parameters::rcpt(text, smtputf8, &self.offer());
        command.fault = command.fault.map(|fault| fault.or_because_of(ErrorClass::Protocol));
        self.warn_bad_address(bad, "RCPT");
        if command.fault.is_none() && self.too_many_recipients() {
            command.fault = Some(Reply::new("452 4.5.3 Error: too many recipients"));
        }
        self.ask(Question::Rcpt(Box::new(command)), verb);
    }

    fn too_many_recipients(&mut self) -> bool {
        let (limit, overshoot) = (self.settings.recipient_limit, self.settings.recipient_overshoot_limit);
        let Some(transaction) = &mut self.transaction else { return false };
        if transaction.recipients < limit {
            return false;
        }
        transaction.overshoot = transaction.overshoot.saturating_add(1);
        if transaction.overshoot <= overshoot {
            self.forgiven = true;
        }
        true
    }

    /// Why DATA or BDAT cannot begin.
    pub(crate) fn no_recipients(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(Reply::new("503 5.5.1 Error: need RCPT command").because_of(ErrorClass::Protocol)),
            // The refusals of the recipients were the errors.
            Some(transaction) if transaction.recipients == 0 => {
                Some(Reply::new("554 5.5.1 Error: no valid recipients"))
            }
            Some(_) => None,
        }
    }

    fn data_command(&mut self, arguments: &str, now: Instant) {
        let verb = Verb::Data;
        if self.bdat_failed
            || self.transaction.as_ref().is_some_and(|t| t.bdat != super::transaction::Bdat::None)
        {
            return self.fail(verb, "503 5.5.1 Error: DATA after BDAT", now);
        }
        if let Some(reply) = self.no_recipients() {
            return self.refuse(verb, &reply, now);
        }
        if !arguments.is_empty() {
            return self.fail(verb, "501 5.5.4 Syntax: DATA", now);
        }
        if self.settings.ask_data {
            return self.ask(Question::Data, verb);
        }
        self.begin_data(now);
    }

    fn begin_data(&mut self, now: Instant) {
        self.say(&Reply::new("354 End data with <CR><LF>.<CR><LF>"), now);
        if !matches!(self.phase, Phase::Closed) {
            self.body = Some(self.new_body(true));
            self.phase = Phase::Data;
        }
    }

    pub(crate) fn new_body(&self, dots: bool) -> Box<Body> {
        let settings = &self.settings;
        Box::new(Body::new(
            dots,
            self.profile.bare_newline,
            settings.line_length_limit,
            settings.message_size_limit,
        ))
    }

    pub(crate) fn data(&mut self) -> Progress {
        self.phase = Phase::Data;
        let Some(mut body) = self.body.take() else { return Progress::Starved };
        let was_big = body.too_big;
        let fed = body.feed(self.unread());
        if body.too_big && !was_big {
            self.warn(format!("{}: queue file size limit exceeded", self.queue_id_text()));
        }
        self.body = Some(body);
        match fed {
            Fed::More => {
                self.consume(usize::MAX);
                return Progress::Starved;
            }
            Fed::BlockFull(used) => {
                self.consume(used);
                self.ask(Question::Content, Verb::Data);
            }
            Fed::Ended(used) => {
                self.consume(used);
                self.end(Verb::Data);
            }
        }
        Progress::Again
    }

    /// All content is here.
    pub(crate) fn end(&mut self, verb: Verb) {
        self.bare_lf |= self.body.as_ref().is_some_and(|body| body.bare_lf);
        self.place = "END-OF-MESSAGE";
        self.ask(Question::End, verb);
    }

    fn resume_content(&mut self) {
        self.phase = if self.by_bdat() { Phase::Chunk } else { Phase::Data };
    }

    /// The driver's answer to the question.
    pub fn answer(&mut self, answer: Answer, now: Instant) {
        let Phase::Asked(question, verb) = std::mem::replace(&mut self.phase, Phase::Command) else { return };
        match answer {
            Answer::Hangup => {
                self.statistics.count(verb, false);
                self.close();
            }
            Answer::Connected(client, profile) => self.connected(client, profile, now),
            Answer::Denied(client, profile, reply) => {
                self.client = client;
                self.profile = profile;
                self.denied = true;
                self.say(&reply, now);
            }
            Answer::Reply(reply) => self.replied(&question, verb, &reply, now),
            Answer::Opened(queue_id) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.queue_id = Some(queue_id);
                }
                self.accepted(question, verb, now);
            }
            Answer::Accept => self.accepted(question, verb, now),
        }
    }

    fn connected(&mut self, client: Box<Client>, profile: Profile, now: Instant) {
        let first = self.place == "CONNECT";
        self.client = client;
        // XCLIENT makes a new client, but the proxy on the connection stays who it is.
        self.profile = if first { profile } else { Profile { xforward: self.profile.xforward, ..profile } };
        self.denied = false;
        if first && self.pipelining_violation("CONNECT", now) {
            return;
        }
        let banner = format!("220 {}", self.settings.banner);
        self.say(&Reply::new(banner), now);
    }

    fn accepted(&mut self, question: Question, verb: Verb, now: Instant) {
        match question {
            Question::Connect | Question::Abort | Question::Notices => {}
            Question::Helo(name) => self.greet(verb, name, now),
            Question::Mail(command) => self.mail_accepted(*command, now),
            Question::Rcpt(command) if command.fault.is_some() => {
                if let Some(fault) = &command.fault {
                    self.refuse(verb, fault, now);
                }
            }
            Question::Rcpt(command) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients += 1;
                    transaction.only_recipient =
                        (transaction.recipients == 1).then(|| command.recipient.clone());
                }
                self.succeed(verb, "250 2.1.5 Ok", now);
            }
            Question::Vrfy(_, typed) => self.succeed(verb, &format!("252 2.0.0 {typed}"), now),
            Question::Etrn(_) => self.succeed(verb, "250 Queuing started", now),
            Question::Data if verb == Verb::Data => self.begin_data(now),
            Question::Data => self.begin_chunks(),
            Question::Content => self.resume_content(),
            Question::End => self.finished(&Reply::new("250 2.0.0 Ok"), verb, now),
        }
    }

    fn mail_accepted(&mut self, command: MailCommand, now: Instant) {
        if let Some(fault) = &command.fault {
            return self.refuse(Verb::Mail, &fault.clone(), now);
        }
        self.transaction = Some(Box::new(Transaction::new(command, self.declared_size)));
        self.succeed(Verb::Mail, "250 2.1.0 Ok", now);
    }

    fn replied(&mut self, question: &Question, verb: Verb, reply: &Reply, now: Instant) {
        match question {
            Question::End => self.finished(reply, verb, now),
            Question::Content => {
                // The queue file cannot be written any more; the rest of the content is read all the same.
                self.resume_content();
            }
            Question::Data if verb == Verb::Bdat => self.refuse_chunk(reply),
            Question::Connect => {
                self.say(reply, now);
                self.close();
            }
            Question::Helo(_)
            | Question::Mail(_)
            | Question::Rcpt(_)
            | Question::Vrfy(..)
            | Question::Etrn(_)
            | Question::Data
            | Question::Notices
            | Question::Abort => {
                if reply.is_negative() {
                    self.refuse(verb, reply, now);
                } else {
                    self.succeed(verb, reply.as_str(), now);
                }
            }
        }
    }

    /// The message is queued or refused.
    fn finished(&mut self, reply: &Reply, verb: Verb, now: Instant) {
        let ok = !reply.is_negative();
        self.reset();
        self.forwarded = None;
        self.done(verb, ok);
        if ok {
            self.forget_errors();
        }
        self.say(reply, now);
        self.turn_page();
    }
}

fn trim_all_cr(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |at| at + 1);
    line.get(..end).unwrap_or(line)
}
