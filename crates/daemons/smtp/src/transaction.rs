//! One mail transaction on a session: MAIL, RCPT, DATA, content, results for each recipient.

use std::collections::VecDeque;
use std::time::Duration;

use host_delivery::{Job, RecipientInfo, Stamp};
use mail_address::to_external;
use mail_record::SendOptions;
use mail_status::{Detail, Dsn, Notify, Outcome};
use proto_smtp::client::{MailParameters, RecipientParameters, Reply, mail_command, rcpt_command};

use crate::content::{self, NotSent, Rules};
use crate::generic::Unknown;
use crate::session::{Doing, Session, from_reply};
use crate::settings::Settings;

/// Bytes of commands sent before their replies are read (RFC 2920 §3.1: mind the TCP windows).
const PIPELINE_LIMIT: usize = 4096;

/// What became of the recipients, in their order; and of the session.
#[derive(Debug)]
pub struct Results {
    /// Same order as the recipients given.
    pub outcomes: Vec<Outcome>,
    /// Each failure once, as they happened: one may concern several recipients, or nobody any more.
    pub failures: Vec<Outcome>,
    /// The conversation came to its end: the server as such works.
    pub completed: bool,
    /// A cached session had died before anything was sent on it: try another.
    pub stale: bool,
}

/// A command whose reply is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reuse,
    XforwardName,
    XforwardProtocol,
    Mail,
    Rcpt(usize),
    Data,
    /// RSET in place of DATA: probes.
    Cancel,
}

impl Step {
    const fn doing(self) -> Doing {
        match self {
            Self::Reuse | Self::Cancel => Doing::Rset,
            Self::XforwardName => Doing::XforwardName,
            Self::XforwardProtocol => Doing::XforwardProtocol,
            Self::Mail => Doing::Mail,
            Self::Rcpt(_) => Doing::Rcpt,
            Self::Data => Doing::Data,
        }
    }
}

/// The state of a transaction.
pub struct Transaction<'a> {
    settings: &'a Settings,
    session: &'a mut Session,
    recipients: &'a [RecipientInfo],
    /// Addresses of the sender and of the recipients as the server sees them, internal form.
    outside: (String, Vec<String>),
    /// Result so far; `None`: accepted, or not yet known.
    results: Vec<Option<Outcome>>,
    failures: Vec<Outcome>,
    /// Replies to accepted recipients, for probes.
    accepted: Vec<Option<Reply>>,
    outstanding: VecDeque<Step>,
    data_granted: bool,
    stale: bool,
    /// RSET was sent in place of DATA, as nobody was left.
    cancelled: bool,
    /// QUIT goes out with the final dot.
    last_on_session: bool,
}

/// Runs one transaction for these recipients.
pub fn run(
    settings: &Settings,
    session: &mut Session,
    job: &mut Job,
    recipients: &[RecipientInfo],
    last_on_session: bool,
) -> Results {
    let count = recipients.len();
    let mut transaction = Transaction {
        settings,
        session,
        recipients,
        outside: (String::new(), Vec::new()),
        results: vec![None; count],
        failures: Vec::new(),
        accepted: vec![None; count],
        outstanding: VecDeque::new(),
        data_granted: false,
        stale: false,
        cancelled: false,
        last_on_session,
    };
    let ended = match transaction.refused_beforehand(job).or_else(|| transaction.lookup(job)) {
        Some(outcome) => {
            transaction.fail_rest(&outcome);
            Ok(())
        }
        None => transaction.converse(job),
    };
    if let Err(detail) = &ended {
        let outcome = Outcome::Deferred(detail.clone());
        // A break is worth a line even when everybody has been refused; not so one after the transaction was taken back.
        if !transaction.is_somebody_left() && !transaction.cancelled {
            transaction.failures.push(outcome.clone());
        }
        transaction.fail_rest(&outcome);
    }
    let (stale, failures) = (transaction.stale, transaction.failures);
    let lost =
        || Outcome::Deferred(Detail::new(Dsn::new(4, 3, 0), "server unavailable or unable to receive mail"));
    let outcomes = transaction.results.into_iter().map(|result| result.unwrap_or_else(lost)).collect();
    Results { outcomes, failures, completed: ended.is_ok(), stale }
}

impl Transaction<'_> {
    /// What can be told before anything is sent: too big, or UTF-8 that the server does not take.
    fn refused_beforehand(&self, job: &Job) -> Option<Outcome> {
        let server = &self.session.server;
        let size = u64::try_from(job.request.size).unwrap_or(0);
        if let Some(limit) = self.session.features.size.filter(|&limit| limit > 0 && size > limit) {
            let text = format!("message size {size} exceeds size limit {limit} of server {}", server.named());
            return Some(Outcome::Bounced(Detail::new(Dsn::new(5, 3, 4), text)));
        }
        let needed = SendOptions::UTF8_HEADER | SendOptions::UTF8_SENDER | SendOptions::UTF8_RECIPIENT;
        let utf8_recipient = self.recipients.iter().any(|r| !r.recipient.is_ascii());
        let requested = SendOptions(job.request.sendopts).has(SendOptions::UTF8_REQUESTED);
        if requested
            && !self.session.features.smtputf8
            && (job.request.sendopts & needed != 0 || utf8_recipient)
        {
            let text = format!(
                "message requires SMTPUTF8, but no server was found that supports SMTPUTF8. The last attempted server was {}",
                server.named()
            );
            return Some(Outcome::Bounced(Detail::new(Dsn::new(5, 6, 7), text)));
        }
        None
    }

    /// Looks up what the server is to see of the envelope (`smtp_generic_maps`).
    fn lookup(&mut self, job: &Job) -> Option<Outcome> {
        let outside = |internal: &str| match &self.settings.generic {
            Some(generic) => generic.address(internal),
            None => Ok(internal.to_owned()),
        };
        let found = outside(&job.request.sender).and_then(|sender| {
            let recipients: Result<_, Unknown> =
                self.recipients.iter().map(|recipient| outside(&recipient.recipient)).collect();
            Ok((sender, recipients?))
        });
        match found {
            Ok(found) => {
                self.outside = found;
                None
            }
            Err(unknown) => Some(Outcome::Deferred(unknown.detail())),
        }
    }

    fn converse(&mut self, job: &mut Job) -> Result<(), Detail> {
        self.session.queue_id.clone_from(&job.request.queue_id);
        job.stats.conn_setup_done = Stamp::from_duration(os_sys::time::now());
        job.stats.reuse_count = self.session.reuse_count;
        self.session.stream.set_timeout(self.settings.timeouts.mail);
        if self.session.reuse_count > 0 {
            self.step(Step::Reuse, "RSET")?;
        }
        self.envelope(job)?;
        self.drain()?;
        if job.is_probe() {
            self.probe_results();
            return Ok(());
        }
        let anybody = self.is_somebody_left();
        match (self.data_granted, anybody) {
            (true, true) => self.send_content(job),
            (true, false) => self.empty_content(),
            (false, _) => {
                self.abandon();
                Ok(())
            }
        }
    }

    /// No content was asked for: the transaction is taken back. All results are known, whatever the server says to it.
    fn abandon(&mut self) {
        if !self.session.dead && !self.cancelled {
            self.session.stream.command("RSET");
            if self.quits_early() {
                self.session.say_quit();
            }
            self.session.stream.set_timeout(self.settings.timeouts.rset);
            let _ = self.session.read(Doing::Rset);
        }
    }

    /// QUIT goes out with the last command of the transaction: only where a single reply follows.
    const fn quits_early(&self) -> bool {
        (self.last_on_session || self.session.derailed) && self.session.features.pipelining
    }

    fn envelope(&mut self, job: &Job) -> Result<(), Detail> {
        if self.settings.send_xforward {
            for (step, line) in xforward(self.session, job) {
                self.step(step, &line)?;
            }
        }
        self.step(Step::Mail, &self.mail_line(job))?;
        for index in 0..self.recipients.len() {
            // Without pipelining the refusal of MAIL is known by now.
            if self.results.get(index).is_some_and(Option::is_none) {
                let line = self.rcpt_line(index);
                self.step(Step::Rcpt(index), &line)?;
            }
        }
        if job.is_probe() {
            return self.step(Step::Cancel, "RSET");
        }
        let anybody = self.is_somebody_left();
        if anybody {
            return self.step(Step::Data, "DATA");
        }
        self.cancelled = true;
        self.step(Step::Cancel, "RSET")
    }

    /// Sends a command; reads replies when the server does not pipeline, or when there is much to send.
    fn step(&mut self, step: Step, line: &str) -> Result<(), Detail> {
        self.session.stream.command(line);
        self.outstanding.push_back(step);
        let read_now =
            !self.session.features.pipelining || self.session.stream.pending_output() > PIPELINE_LIMIT;
        if read_now { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> Result<(), Detail> {
        while let Some(step) = self.outstanding.pop_front() {
            self.session.stream.set_timeout(self.limit(step));
            match self.session.read(step.doing()) {
                Ok(reply) => self.take(step, &reply)?,
                Err(detail) => {
                    self.stale |= step == Step::Reuse;
                    return Err(detail);
                }
            }
        }
        Ok(())
    }

    /// How long the reply to this command may take.
    const fn limit(&self, step: Step) -> Duration {
        let limits = &self.settings.timeouts;
        match step {
            Step::Reuse | Step::Cancel => limits.rset,
            Step::XforwardName | Step::XforwardProtocol => limits.xforward,
            Step::Mail => limits.mail,
            Step::Rcpt(_) => limits.rcpt,
            Step::Data => limits.data_init,
        }
    }

    fn take(&mut self, step: Step, reply: &Reply) -> Result<(), Detail> {
        match step {
            Step::Reuse if !reply.is_positive() => {
                self.stale = true;
                self.session.dead = true;
                return Err(self.session.refusal(reply, "RSET command"));
            }
            Step::XforwardName | Step::XforwardProtocol if !reply.is_positive() => {
                os_log::warning!(
                    "host {} said: {} (in reply to XFORWARD command)",
                    self.session.server.named(),
                    reply.text
                );
            }
            Step::Reuse | Step::XforwardName | Step::XforwardProtocol | Step::Cancel => {}
            Step::Mail if reply.is_positive() => {}
            Step::Mail => {
                let outcome = Outcome::from_detail(self.session.refusal(reply, "MAIL FROM command"));
                self.fail_rest(&outcome);
            }
            Step::Rcpt(index) if reply.is_positive() => {
                if let Some(slot) = self.accepted.get_mut(index) {
                    *slot = Some(reply.clone());
                }
            }
            Step::Rcpt(index) => {
                let outcome = Outcome::from_detail(self.session.refusal(reply, "RCPT TO command"));
                self.failures.push(outcome.clone());
                self.set(index, outcome);
            }
            Step::Data if reply.class() == 3 => self.data_granted = true,
            Step::Data => {
                let outcome = Outcome::from_detail(self.session.refusal(reply, "DATA command"));
                self.fail_rest(&outcome);
            }
        }
        Ok(())
    }

    fn set(&mut self, index: usize, outcome: Outcome) {
        if let Some(slot) = self.results.get_mut(index)
            && slot.is_none()
        {
            *slot = Some(outcome);
        }
    }

    fn is_somebody_left(&self) -> bool {
        self.results.iter().any(Option::is_none)
    }

    /// For each recipient that has no result yet.
    fn fail_rest(&mut self, outcome: &Outcome) {
        if self.is_somebody_left() {
            self.failures.push(outcome.clone());
        }
        (0..self.results.len()).for_each(|index| self.set(index, outcome.clone()));
    }

    fn send_content(&mut self, job: &mut Job) -> Result<(), Detail> {
        self.session.stream.set_timeout(self.settings.timeouts.data_transfer);
        let rules = Rules {
            line_length_limit: self.settings.line_length_limit,
            downgrade: self.downgrades(job).then_some(self.settings.mime_limits),
            generic: self.settings.generic.as_ref(),
        };
        match content::send(job, rules, &mut self.session.stream) {
            Ok(()) => {}
            Err(NotSent::Broken(broken)) => return Err(self.session.broke(broken, Doing::Body)),
            Err(NotSent::Mime) => {
                // Half a message went out: only a broken connection keeps the server from taking it for a whole one.
                self.session.dead = true;
                let detail = Detail::new(Dsn::new(5, 6, 0), "MIME nesting exceeds safety limit");
                self.fail_rest(&Outcome::Bounced(detail));
                return Ok(());
            }
            Err(NotSent::Address(unknown)) => {
                self.session.dead = true;
                self.fail_rest(&Outcome::Deferred(unknown.detail()));
                return Ok(());
            }
            Err(NotSent::Read(error)) => {
                self.session.dead = true;
                if error.is_corrupt() {
                    job.mark_corrupt(&error.to_string());
                }
                return Err(Detail::new(Dsn::new(4, 3, 0), "unreadable mail queue entry"));
            }
        }
        self.finish_content(job)
    }

    fn finish_content(&mut self, job: &mut Job) -> Result<(), Detail> {
        self.session.stream.command(".");
        if self.quits_early() {
            self.session.say_quit();
        }
        self.session.stream.set_timeout(self.settings.timeouts.data_done);
        let accepted: Vec<usize> = self
            .results
            .iter()
            .enumerate()
            .filter(|(_, result)| result.is_none())
            .map(|(index, _)| index)
            .collect();
        let mut last = None;
        for index in accepted {
            // SMTP: one reply for all; LMTP: one for each (RFC 2033 §4.2).
            let (reply, is_new) = match last.take() {
                Some(reply) if !self.settings.lmtp => (reply, false),
                Some(_) | None => (self.session.read(Doing::Dot)?, true),
            };
            job.stats.deliver_done = Stamp::from_duration(os_sys::time::now());
            let outcome = self.dot_outcome(&reply);
            if is_new && !matches!(outcome, Outcome::Sent(_)) {
                self.failures.push(outcome.clone());
            }
            self.set(index, outcome);
            last = Some(reply);
        }
        Ok(())
    }

    fn dot_outcome(&mut self, reply: &Reply) -> Outcome {
        if reply.is_positive() {
            let detail = from_reply(&self.session.server, reply, reply.success_status(), reply.text.clone());
            return Outcome::Sent(detail);
        }
        Outcome::from_detail(self.session.refusal(reply, "end of DATA command"))
    }

    /// Everybody was refused, but DATA had gone out and was granted: an empty message to nobody.
    fn empty_content(&mut self) -> Result<(), Detail> {
        self.session.stream.command(".");
        if self.quits_early() {
            self.session.say_quit();
        }
        self.session.stream.set_timeout(self.settings.timeouts.data_done);
        self.session.read(Doing::Dot).map(|_| ())
    }

    /// Accepted recipients of a probe: the reply to RCPT is the result.
    fn probe_results(&mut self) {
        for index in 0..self.accepted.len() {
            if let Some(Some(reply)) = self.accepted.get(index) {
                let detail =
                    from_reply(&self.session.server, reply, reply.success_status(), reply.text.clone());
                self.set(index, Outcome::Sent(detail));
            }
        }
    }

    fn downgrades(&self, job: &Job) -> bool {
        !self.settings.keep_encoding && !self.session.features.eight_bit && job.request.encoding != "7bit"
    }

    fn mail_line(&self, job: &Job) -> String {
        let request = &job.request;
        let body = match request.encoding.as_str() {
            "8bit" => Some("8BITMIME"),
            "7bit" => Some("7BIT"),
            _ => None,
        };
        let size = if self.downgrades(job) { 0 } else { u64::try_from(request.size).unwrap_or(0) };
        let parameters = MailParameters {
            size,
            body,
            envelope_id: &request.envelope_id,
            ret: request.ret_flags,
            smtputf8: SendOptions(request.sendopts).has(SendOptions::UTF8_REQUESTED),
            dummy_auth: self.settings.dummy_mail_auth,
        };
        mail_command(&self.envelope_form(&self.outside.0), &parameters, &self.session.features)
    }

    fn rcpt_line(&self, index: usize) -> String {
        let (Some(recipient), Some(address)) = (self.recipients.get(index), self.outside.1.get(index)) else {
            return String::new();
        };
        let original = if recipient.dsn_orig_rcpt.is_empty() {
            let address = if recipient.original_recipient.is_empty() {
                &recipient.recipient
            } else {
                &recipient.original_recipient
            };
            format!("rfc822;{}", to_external(address))
        } else {
            recipient.dsn_orig_rcpt.clone()
        };
        let parameters = RecipientParameters { original: &original, notify: Notify(recipient.notify_flags) };
        rcpt_command(&self.envelope_form(address), parameters, &self.session.features)
    }

    /// `smtp_quote_rfc821_envelope`.
    fn envelope_form(&self, internal: &str) -> String {
        if self.settings.quote_envelope { to_external(internal) } else { internal.to_owned() }
    }
}

/// XFORWARD commands: name, address and port in one, protocol, helo name, identifier and source in the next.
fn xforward(session: &Session, job: &Job) -> Vec<(Step, String)> {
    let (offered, request) = (session.features.xforward, &job.request);
    let source = if request.rewrite_context == "local" { "LOCAL" } else { "REMOTE" };
    let first = [
        (offered.name, "NAME", request.log_client_name.as_str()),
        (offered.addr, "ADDR", &request.log_client_address),
        (offered.port, "PORT", &request.log_client_port),
    ];
    let second = [
        (offered.proto, "PROTO", request.log_protocol_name.as_str()),
        (offered.helo, "HELO", &request.log_helo_name),
        (offered.ident, "IDENT", &request.log_ident),
        (offered.source, "SOURCE", source),
    ];
    let line = |attributes: &[(bool, &str, &str)]| -> Option<String> {
        let words: Vec<String> = attributes
            .iter()
            .filter(|(offered, _, value)| *offered && !value.is_empty())
            .map(|(_, name, value)| format!(" {name}={}", mail_text::xtext::encode(value.as_bytes())))
            .collect();
        (!words.is_empty()).then(|| format!("XFORWARD{}", words.concat()))
    };
    let steps = [(Step::XforwardName, line(&first)), (Step::XforwardProtocol, line(&second))];
    steps.into_iter().filter_map(|(step, line)| Some((step, line?))).collect()
}
