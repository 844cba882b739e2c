//! Making notices and giving them to cleanup.

use engine_report::{Attach, Audience, Kind, Macros, Recipient, Report};
use host_delivery::post::{MailSystem, Post, PostEnvelope, header_date};
use host_spool::{LogEntry, Queue, ReadError, Spool};
use mail_address::{split, to_external, to_internal};
use mail_record::{QueueId, SendOptions};
use proto_ipc::bounce::MessageInfo;
use proto_ipc::delivery::flags;

use crate::original::Original;
use crate::settings::Settings;

/// What the queue manager asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// Non-delivery.
    Failure,
    /// Delay warning.
    Delay,
    /// Success (`NOTIFY=SUCCESS`).
    Success,
    /// `sendmail -bv`, `-v`.
    Verify,
}

impl NoticeKind {
    /// As messages about its template call it.
    const fn template_name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Delay => "delay",
            Self::Success => "success",
            Self::Verify => "verify",
        }
    }

    /// Of a TRACE request.
    pub const fn trace(request_flags: i32) -> Self {
        if request_flags & (flags::USER_VERIFY | flags::RECORD) != 0 { Self::Verify } else { Self::Success }
    }

    const fn report(self) -> Kind {
        match self {
            Self::Failure => Kind::Failure,
            Self::Delay => Kind::Delay,
            Self::Success => Kind::Success,
            Self::Verify => Kind::Verify,
        }
    }

    /// As in the log: `sender … notification`.
    const fn words(self) -> &'static str {
        match self {
            Self::Failure => "non-delivery notification",
            Self::Delay => "delay notification",
            Self::Success | Self::Verify => "delivery status notification",
        }
    }
}

/// One notice to be made.
pub struct Notice<'a> {
    pub settings: &'a Settings,
    pub spool: &'a Spool,
    pub id: &'a QueueId,
    pub queue: Queue,
    pub message: &'a MessageInfo,
    pub kind: NoticeKind,
    pub verp: Option<&'a str>,
}

/// What became of a request that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All notices that are due are queued.
    Done,
    /// Nobody is to be told; the log stays.
    Nobody,
}

/// Why a notice is not queued.
#[derive(Debug)]
enum NotSent {
    Read(ReadError),
    Dialogue(proto_ipc::Error),
}

impl From<ReadError> for NotSent {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<proto_ipc::Error> for NotSent {
    fn from(error: proto_ipc::Error) -> Self {
        Self::Dialogue(error)
    }
}

impl std::fmt::Display for NotSent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Dialogue(error) => error.fmt(f),
        }
    }
}

impl Notice<'_> {
    /// Sends what is due to the sender and to the postmaster. `Err`: something is not queued, already logged.
    pub fn send(&self, entries: &[LogEntry]) -> Result<Sent, ()> {
        let recipients: Vec<Recipient> = entries.iter().map(recipient).collect();
        let sender = self.message.sender.as_str();
        let double_bounce = self.settings.double_bounce();
        if sender.eq_ignore_ascii_case(&double_bounce) {
            if matches!(self.kind, NoticeKind::Success | NoticeKind::Verify) {
                os_log::info!(
                    "{}: not sending trace/success notification for double-bounce message",
                    self.id
                );
                return Ok(Sent::Nobody);
            }
            os_log::warning!("{}: undeliverable postmaster notification discarded", self.id);
            return Ok(Sent::Done);
        }
        if sender.is_empty() {
            return self.to_postmaster_instead(&recipients).map(|()| Sent::Done);
        }
        let wanted: Vec<&Recipient> = recipients.iter().filter(|r| r.is_wanted(self.kind.report())).collect();
        let unknown = recipients.is_empty() && self.kind == NoticeKind::Failure;
        if unknown || !wanted.is_empty() {
            self.to_sender(&wanted)?;
        }
        let (class, address) = match self.kind {
            NoticeKind::Failure => (self.settings.notify_bounce, &self.settings.bounce_recipient),
            NoticeKind::Delay => (self.settings.notify_delay, &self.settings.delay_recipient),
            NoticeKind::Success | NoticeKind::Verify => return Ok(Sent::Done),
        };
        if class {
            let all: Vec<&Recipient> = recipients.iter().collect();
            self.post(Audience::Postmaster, address, &all)?;
        }
        Ok(Sent::Done)
    }

    /// One notice, or with VERP one for each recipient.
    fn to_sender(&self, wanted: &[&Recipient]) -> Result<(), ()> {
        let Some(delimiters) = self.verp else {
            return self.post(Audience::Sender, &self.message.sender, wanted);
        };
        wanted.iter().try_for_each(|recipient| {
            let original =
                if recipient.original.is_empty() { &recipient.address } else { &recipient.original };
            let address = verp(&self.message.sender, delimiters, &to_internal(original));
            self.post(Audience::Sender, &address, &[recipient])
        })
    }

    /// There is no sender who could be told.
    fn to_postmaster_instead(&self, recipients: &[Recipient]) -> Result<(), ()> {
        let settings = self.settings;
        let all: Vec<&Recipient> = recipients.iter().collect();
        match self.kind {
            NoticeKind::Failure if settings.notify_bounce || settings.notify_double_bounce => {
                self.post(Audience::DoubleBounce, &settings.double_bounce_recipient, &all)
            }
            NoticeKind::Delay if settings.notify_delay => {
                self.post(Audience::Postmaster, &settings.delay_recipient, &all)
            }
            NoticeKind::Failure | NoticeKind::Delay => Ok(()),
            NoticeKind::Success | NoticeKind::Verify if settings.notify_double_bounce => {
                self.post(Audience::Sender, &settings.double_bounce_recipient, &all)
            }
            NoticeKind::Success | NoticeKind::Verify => {
                os_log::info!(
                    "{}: not sending trace/success notification for single-bounce message",
                    self.id
                );
                Ok(())
            }
        }
    }

    fn post(&self, audience: Audience, to: &str, recipients: &[&Recipient]) -> Result<(), ()> {
        self.try_post(audience, to, recipients).map_err(|error| {
            let whom = match audience {
                Audience::Sender => "sender",
                Audience::Postmaster | Audience::DoubleBounce => "postmaster",
            };
            os_log::warning!("{}: {whom} notification failed to {}: {error}", self.id, to_external(to));
        })
    }

    fn try_post(&self, audience: Audience, to: &str, recipients: &[&Recipient]) -> Result<(), NotSent> {
        let settings = self.settings;
        let mut original = Original::open(self.spool, self.queue, self.id);
        let attach = self.attach(audience, original.as_ref());
        let now = os_sys::time::now().as_secs().cast_signed();
        let date = header_date(now);
        let arrival = original.as_ref().map(|o| o.arrival).filter(|&arrival| arrival > 0);
        let arrival_date = arrival.map(header_date);
        let lifetime = settings.queue_lifetime.as_secs().cast_signed();
        let until = (self.kind == NoticeKind::Delay).then(|| header_date(arrival.unwrap_or(0) + lifetime));
        let message_id = original.as_ref().and_then(|o| o.message_id.clone()).filter(|_| settings.threaded);
        let sender = original.as_ref().map(|o| to_external(&o.sender));
        let macros = Macros { lookup: &|name| settings.macro_value(self.kind.template_name(), name) };
        let report = Report {
            kind: self.kind.report(),
            audience,
            template: match self.kind {
                NoticeKind::Failure => &settings.templates.failure,
                NoticeKind::Delay => &settings.templates.delay,
                NoticeKind::Success => &settings.templates.success,
                NoticeKind::Verify => &settings.templates.verify,
            },
            myhostname: &settings.myhostname,
            mail_name: &settings.mail_name,
            myorigin: &settings.myorigin,
            to: &to_external(to),
            date: &date,
            now,
            queue_id: self.id.as_str(),
            sender: sender.as_deref(),
            envelope_id: &self.message.envelope_id,
            arrival: arrival_date.as_deref(),
            retry_until: until.as_deref(),
            smtputf8: SendOptions(self.message.sendopts).has(SendOptions::UTF8_REQUESTED),
            in_reply_to: message_id.as_deref(),
            attach,
            is_there: original.is_some(),
            recipients,
            macros: &macros,
        };
        self.write(&report, to, original.as_mut())
    }

    fn write(&self, report: &Report<'_>, to: &str, original: Option<&mut Original>) -> Result<(), NotSent> {
        let settings = self.settings;
        let double_bounce = settings.double_bounce();
        let whom = match report.audience {
            Audience::Sender => "sender",
            Audience::Postmaster | Audience::DoubleBounce => "postmaster",
        };
        // A notice that stands in for one to a null sender must not come back either.
        let to_sender = report.audience == Audience::Sender && !self.message.sender.is_empty();
        let sender = if to_sender { "" } else { double_bounce.as_str() };
        let envelope = PostEnvelope { sender, recipient: to, trace_flags: 0, flags: self.utf8_flag() };
        let mail = MailSystem { myhostname: &settings.myhostname, mail_name: &settings.mail_name };
        let mut post = Post::begin(&settings.cleanup, settings.format, settings.ipc_timeout, envelope, mail)?;
        os_log::info!("{}: {whom} {}: {}", self.id, self.kind.words(), post.queue_id());
        for line in report.head() {
            post.line(line.as_bytes())?;
        }
        if let Some(original) = original {
            let mut copy = |bytes: &[u8], terminated: bool| {
                let sent = if terminated { post.line(bytes) } else { post.fragment(bytes) };
                sent.map_err(NotSent::from)
            };
            original.copy(report.attach == Attach::Headers, &mut copy)?;
        }
        for line in report.tail() {
            post.line(line.as_bytes())?;
        }
        Ok(post.finish()?)
    }

    fn utf8_flag(&self) -> i32 {
        let requested = SendOptions(self.message.sendopts).has(SendOptions::UTF8_REQUESTED);
        if requested { proto_ipc::cleanup::flags::SMTPUTF8 } else { 0 }
    }

    /// RET, `bounce_size_limit`, and who is told.
    fn attach(&self, audience: Audience, original: Option<&Original>) -> Attach {
        let small = original.is_none_or(|original| {
            original.size > 0 && (self.settings.size_limit == 0 || original.size <= self.settings.size_limit)
        });
        let full = match (self.kind, audience) {
            (NoticeKind::Failure, Audience::DoubleBounce) => true,
            (NoticeKind::Failure, Audience::Sender) => self.message.ret_flags != 2,
            // Nobody else is told of it.
            (NoticeKind::Delay, Audience::Postmaster) => self.message.sender.is_empty(),
            (NoticeKind::Failure, Audience::Postmaster)
            | (NoticeKind::Delay | NoticeKind::Success | NoticeKind::Verify, _) => false,
        };
        if full && small { Attach::Full } else { Attach::Headers }
    }

    /// Marks the recipients of an expired message done, through the offsets in its log.
    pub fn mark_done(&self, entries: &[LogEntry]) {
        if let Some(mut original) = Original::open(self.spool, self.queue, self.id) {
            entries.iter().for_each(|entry| original.mark_done(self.id, entry.offset));
        }
    }
}

fn recipient(entry: &LogEntry) -> Recipient {
    Recipient {
        address: entry.recipient.clone(),
        original: entry.original_recipient.clone(),
        dsn_original: entry.dsn_orig_rcpt.clone(),
        notify: entry.notify,
        action: entry.action,
        detail: entry.detail.clone(),
    }
}

/// `prefix@origin` and a recipient become `prefix+recipient=domain@origin` (`postconf(5) default_verp_delimiters`).
fn verp(sender: &str, delimiters: &str, recipient: &str) -> String {
    let mut characters = delimiters.chars();
    let (Some(first), Some(second)) = (characters.next(), characters.next()) else {
        return sender.to_owned();
    };
    let (prefix, origin) = split(sender);
    let (local, domain) = split(recipient);
    let domain = domain.map(|domain| format!("{second}{domain}")).unwrap_or_default();
    let origin = origin.map(|origin| format!("@{origin}")).unwrap_or_default();
    format!("{prefix}{first}{local}{domain}{origin}")
}

#[cfg(test)]
mod tests {
    use super::verp;

    #[test]
    fn verp_senders_hold_the_recipient() {
        assert_eq!(verp("list@c.test", "-=", "nosuch1@mx.test"), "list-nosuch1=mx.test@c.test");
    }
}
