//! Delivery status notifications (RFC 3461 to RFC 3464): text and structure of bounces, delay warnings and reports.
//! Pure: times, templates and recipients come in, lines go out; the original message is copied by the caller between
//! [`Report::head`] and [`Report::tail`].

mod template;

pub use template::{BadTemplate, Macros, Parsed, Template, Templates};

use mail_status::{Action, Detail, Dsn, Notify};

/// Columns of a line where it has blanks to break at.
const WIDTH: usize = 79;

fn wrap(text: &str) -> Vec<String> {
    mail_text::wrap(text, WIDTH, "    ")
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Permanent failure.
    Failure,
    /// Still being tried.
    Delay,
    /// Delivered (`NOTIFY=SUCCESS`).
    Success,
    /// `sendmail -bv`, `sendmail -v`.
    Verify,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The sender of the message.
    Sender,
    /// The postmaster, besides the sender.
    Postmaster,
    /// The postmaster, since there is no sender who could be told.
    DoubleBounce,
}

/// A recipient and what became of it. Addresses in external form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Final recipient.
    pub address: String,
    /// As first given; empty or equal: the same.
    pub original: String,
    /// Recorded ORCPT `type;address`, or empty.
    pub dsn_original: String,
    /// NOTIFY.
    pub notify: Notify,
    /// What happened.
    pub action: Action,
    /// Status, reason, remote party.
    pub detail: Detail,
}

impl Recipient {
    /// Whether this recipient belongs in a notice to the sender.
    #[must_use]
    pub fn is_wanted(&self, kind: Kind) -> bool {
        match kind {
            Kind::Failure => self.notify.wants_failure(),
            Kind::Delay => self.notify.wants_delay(),
            Kind::Success | Kind::Verify => true,
        }
    }
}

/// How much of the original message is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// A notice about one message.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// What is told.
    pub kind: Kind,
    /// Who is told.
    pub audience: Audience,
    /// The text for it.
    pub template: &'a Template,
    /// `myhostname`.
    pub myhostname: &'a str,
    /// `mail_name`, for the `X-…-Queue-ID` fields.
    pub mail_name: &'a str,
    /// `myorigin`.
    pub myorigin: &'a str,
    /// Address that the notice goes to, external form.
    pub to: &'a str,
    /// Date header value.
    pub date: &'a str,
    /// Seconds since the epoch, for the boundary.
    pub now: i64,
    /// ID of the message told about.
    pub queue_id: &'a str,
    /// Its sender, external form; empty: null sender; `None`: not known, as the message is gone.
    pub sender: Option<&'a str>,
    /// Its ENVID, decoded, or empty.
    pub envelope_id: &'a str,
    /// Its arrival, as a date header value; `None`: not known.
    pub arrival: Option<&'a str>,
    /// When trying ends, as a date header value (delay warnings).
    pub retry_until: Option<&'a str>,
    /// SMTPUTF8 was requested for it.
    pub smtputf8: bool,
    /// `References`/`In-Reply-To` value (`enable_threaded_bounces`).
    pub in_reply_to: Option<&'a str>,
    /// What is attached.
    pub attach: Attach,
    /// The message can be read. If not, the notice says so in its place.
    pub is_there: bool,
    /// Whom it is about.
    pub recipients: &'a [&'a Recipient],
    /// Values for the template.
    pub macros: &'a Macros<'a>,
}

impl Report<'_> {
    fn boundary(&self) -> String {
        format!("{}.{}/{}", self.queue_id, self.now, self.myhostname)
    }

    /// The sender as shown: a null sender is the mail system of this host.
    fn shown_sender(&self) -> Option<String> {
        let sender = self.sender?;
        Some(if sender.is_empty() { format!("MAILER-DAEMON@{}", self.myhostname) } else { sender.to_owned() })
    }

    /// All lines before the original message, without `Received`, which holds the queue ID of the notice.
    #[must_use]
    pub fn head(&self) -> Vec<String> {
        let mut lines = self.header();
        lines.push(String::new());
        lines.push("This is a MIME-encapsulated message.".into());
        self.notification(&mut lines);
        self.delivery_report(&mut lines);
        self.original_head(&mut lines);
        lines
    }

    /// All lines after it.
    #[must_use]
    pub fn tail(&self) -> Vec<String> {
        if self.is_there { vec![String::new(), format!("--{}--", self.boundary())] } else { Vec::new() }
    }

    fn header(&self) -> Vec<String> {
        let subject = match self.audience {
            Audience::Sender => self.template.subject.as_str(),
            Audience::Postmaster | Audience::DoubleBounce => {
                self.template.postmaster_subject.as_deref().unwrap_or(&self.template.subject)
            }
        };
        let submitted = match self.audience {
            Audience::Sender => "auto-replied",
            Audience::Postmaster | Audience::DoubleBounce => "auto-generated",
        };
        let from =
            self.template.from.replace("<MAILER-DAEMON>", &format!("<MAILER-DAEMON@{}>", self.myorigin));
        let mut lines = vec![
            format!("Date: {}", self.date),
            format!("From: {from}"),
            format!("Subject: {subject}"),
            format!("To: {}", self.to),
        ];
        if let Some(id) = self.in_reply_to {
            lines.push(format!("References: {id}"));
            lines.push(format!("In-Reply-To: {id}"));
        }
        lines.extend([
            format!("Auto-Submitted: {submitted}"),
            "MIME-Version: 1.0".into(),
            "Content-Type: multipart/report; report-type=delivery-status;".into(),
            format!("\tboundary=\"{}\"", self.boundary()),
            "Content-Transfer-Encoding: 8bit".into(),
        ]);
        lines
    }

    fn notification(&self, lines: &mut Vec<String>) {
        lines.extend([
            String::new(),
            format!("--{}", self.boundary()),
            "Content-Description: Notification".into(),
            "Content-Type: text/plain; charset=utf-8".into(),
            "Content-Transfer-Encoding: 8bit".into(),
            String::new(),
        ]);
        if self.audience == Audience::Sender {
            lines.extend(self.template.text(self.macros));
        }
        for recipient in self.recipients {
            let expanded = if recipient.original.is_empty() {
                String::new()
            } else {
                format!(" (expanded from <{}>)", recipient.original)
            };
            lines.push(String::new());
            lines.extend(wrap(&format!("<{}>{expanded}: {}", recipient.address, recipient.detail.reason)));
        }
        if self.recipients.is_empty() {
            lines.push(String::new());
            lines.push("\t--- Delivery report unavailable ---".into());
        }
    }

    fn delivery_report(&self, lines: &mut Vec<String>) {
        let kind = if self.smtputf8 { "message/global-delivery-status" } else { "message/delivery-status" };
        lines.extend([
            String::new(),
            format!("--{}", self.boundary()),
            "Content-Description: Delivery report".into(),
            format!("Content-Type: {kind}"),
        ]);
        if self.smtputf8 {
            lines.push("Content-Transfer-Encoding: 8bit".into());
        }
        lines.push(String::new());
        lines.push(format!("Reporting-MTA: dns; {}", self.myhostname));
        if !self.envelope_id.is_empty() {
            lines.push(format!("Original-Envelope-Id: {}", self.envelope_id));
        }
        lines.push(format!("X-{}-Queue-ID: {}", self.mail_name, self.queue_id));
        if let Some(sender) = self.shown_sender() {
            lines.push(format!("X-{}-Sender: {}; {sender}", self.mail_name, self.address_type(&sender)));
        }
        if let Some(arrival) = self.arrival {
            lines.push(format!("Arrival-Date: {arrival}"));
        }
        self.recipients.iter().for_each(|recipient| self.recipient_fields(recipient, lines));
    }

    fn address_type(&self, address: &str) -> &'static str {
        if self.smtputf8 && !address.is_ascii() { "utf-8" } else { "rfc822" }
    }

    fn recipient_fields(&self, recipient: &Recipient, lines: &mut Vec<String>) {
        let detail = &recipient.detail;
        lines.push(String::new());
        lines.push(format!(
            "Final-Recipient: {}; {}",
            self.address_type(&recipient.address),
            recipient.address
        ));
        if !recipient.dsn_original.is_empty() {
            lines.push(format!("Original-Recipient: {}", recipient.dsn_original));
        } else if !recipient.original.is_empty() {
            lines.push(format!(
                "Original-Recipient: {}; {}",
                self.address_type(&recipient.original),
                recipient.original
            ));
        }
        let action = match self.kind {
            Kind::Failure => Action::Failed,
            Kind::Delay | Kind::Success | Kind::Verify => recipient.action,
        };
        lines.push(format!("Action: {}", action.as_str()));
        lines.push(format!("Status: {}", detail.dsn));
        if let Some((kind, name)) = &detail.remote_mta {
            lines.push(format!("Remote-MTA: {kind}; {name}"));
        }
        let diagnostic = match &detail.diagnostic {
            Some((kind, text)) => format!("Diagnostic-Code: {kind}; {text}"),
            None => format!("Diagnostic-Code: X-{}; {}", self.mail_name, detail.reason),
        };
        lines.extend(wrap(&diagnostic));
        if let Some(until) = self.retry_until {
            lines.push(format!("Will-Retry-Until: {until}"));
        }
    }

    fn original_head(&self, lines: &mut Vec<String>) {
        let undelivered = match self.kind {
            Kind::Failure | Kind::Delay => "Undelivered ",
            Kind::Success | Kind::Verify => "",
        };
        let (what, kind) = match (self.attach == Attach::Full, self.smtputf8) {
            (true, false) => ("Message", "message/rfc822"),
            (true, true) => ("Message", "message/global"),
            (false, false) => ("Message Headers", "text/rfc822-headers"),
            (false, true) => ("Message Headers", "message/global-headers"),
        };
        lines.extend([
            String::new(),
            format!("--{}", self.boundary()),
            format!("Content-Description: {undelivered}{what}"),
            format!("Content-Type: {kind}"),
            "Content-Transfer-Encoding: 8bit".into(),
            String::new(),
            if self.is_there {
                format!("Return-Path: <{}>", self.shown_sender().unwrap_or_default())
            } else {
                "\t--- Undelivered message unavailable ---".into()
            },
        ]);
    }
}

/// The status of an entry whose code is missing.
#[must_use]
pub const fn default_status(kind: Kind) -> Dsn {
    match kind {
        Kind::Failure => Dsn::new(5, 0, 0),
        Kind::Delay => Dsn::new(4, 0, 0),
        Kind::Success | Kind::Verify => Dsn::new(2, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(address: &str, reason: &str) -> Recipient {
        Recipient {
            address: address.into(),
            original: String::new(),
            dsn_original: format!("rfc822;{address}"),
            notify: Notify(0),
            action: Action::Delayed,
            detail: Detail::new(Dsn::new(5, 1, 1), reason),
        }
    }

    #[test]
    fn a_failure_notice_is_as_the_reference_writes_it() {
        let templates = Templates::default();
        let macros = Macros { lookup: &|name| (name == "myhostname").then(|| "mail.example.com".to_owned()) };
        let recipient = failed("nosuch@example.com", "unknown user: \"nosuch\"");
        let report = Report {
            kind: Kind::Failure,
            audience: Audience::Sender,
            template: &templates.failure,
            myhostname: "mail.example.com",
            mail_name: "Postfix",
            myorigin: "example.com",
            to: "alice@example.com",
            date: "DATE",
            now: 7,
            queue_id: "QID",
            sender: Some("alice@example.com"),
            envelope_id: "",
            arrival: Some("ARRIVAL"),
            retry_until: None,
            smtputf8: false,
            in_reply_to: None,
            attach: Attach::Full,
            is_there: true,
            recipients: &[&recipient],
            macros: &macros,
        };
        let head = report.head();
        let expected = "Date: DATE\nFrom: Mail Delivery System <MAILER-DAEMON@example.com>\n\
            Subject: Undelivered Mail Returned to Sender\nTo: alice@example.com\nAuto-Submitted: auto-replied\n\
            MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\
            \tboundary=\"QID.7/mail.example.com\"\nContent-Transfer-Encoding: 8bit\n\n\
            This is a MIME-encapsulated message.\n\n--QID.7/mail.example.com\nContent-Description: Notification\n\
            Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
            This is the mail system at host mail.example.com.\n";
        assert!(head.join("\n").starts_with(expected), "{}", head.join("\n"));
        let report_part = "Reporting-MTA: dns; mail.example.com\nX-Postfix-Queue-ID: QID\n\
            X-Postfix-Sender: rfc822; alice@example.com\nArrival-Date: ARRIVAL\n\n\
            Final-Recipient: rfc822; nosuch@example.com\nOriginal-Recipient: rfc822;nosuch@example.com\nAction: failed\n\
            Status: 5.1.1\nDiagnostic-Code: X-Postfix; unknown user: \"nosuch\"\n\n--QID.7/mail.example.com\n\
            Content-Description: Undelivered Message\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n\
            Return-Path: <alice@example.com>";
        assert!(head.join("\n").ends_with(report_part), "{}", head.join("\n"));
        assert_eq!(report.tail(), ["", "--QID.7/mail.example.com--"]);
    }
}
