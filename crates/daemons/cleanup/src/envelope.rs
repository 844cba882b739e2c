//! The envelope segment, up to the M record.

use mail_record::{Kind, MessageSize, SendOptions, split_attribute};
use mail_status::Notify;
use proto_ipc::cleanup::{flags, status};

use crate::mapping::Class;
use crate::message::{Context, Message};

/// Bits of a client's C record that are kept.
const CLIENT_OPTIONS: u32 = SendOptions::UTF8_REQUESTED | SendOptions::REQUIRETLS;
/// qmgr flag: other records among the recipients.
const MIXED: i64 = 1;
/// Columns of a time in a W record.
const TIME_COLUMNS: usize = 15;

impl Message<'_> {
    /// One envelope record; `true`: content follows.
    pub(crate) fn envelope_record(&mut self, kind: Kind, data: &[u8]) -> bool {
        if matches!(
            kind,
            Kind::Message
                | Kind::Recipient
                | Kind::Done
                | Kind::OriginalRecipient
                | Kind::Killed
                | Kind::DsnOriginalRecipient
                | Kind::DsnNotify
        ) {
            self.begin_recipients();
        }
        match kind {
            Kind::Message => {
                self.begin_content();
                return true;
            }
            Kind::Time => self.arrival_time(data),
            Kind::FullName => {
                if self.full_name.is_none() {
                    self.full_name = Some(data.to_vec());
                    self.put(kind, data);
                }
            }
            Kind::Sender => self.sender_record(data),
            Kind::Recipient => self.recipient_record(data),
            Kind::Done | Kind::Canceled => self.pending = crate::message::Pending::default(),
            Kind::OriginalRecipient => self.original_recipient(data),
            Kind::DsnOriginalRecipient => self.pending.dsn_original = Some(text(data)),
            Kind::DsnNotify => self.notify(&text(data), &text(data)),
            Kind::Size => {
                if let Some(size) = MessageSize::parse(data) {
                    self.send_options |= u32::try_from(size.send_options).unwrap_or(0) & CLIENT_OPTIONS;
                }
            }
            Kind::WarnTime => {
                if !self.warn_time_seen {
                    self.warn_time_seen = true;
                    self.put_other(kind, data);
                }
            }
            Kind::Verp => self.verp(data),
            Kind::Attribute => self.attribute(data),
            Kind::Flags => self.client_flags(data),
            Kind::MilterCount => self.milter_count(data),
            Kind::FilterOrText
            | Kind::Inspector
            | Kind::Redirect
            | Kind::Killed
            | Kind::DsnRet
            | Kind::DsnEnvelopeId => {
                self.put_other(kind, data);
            }
            Kind::Delay
            | Kind::Line
            | Kind::Padding
            | Kind::Extracted
            | Kind::ReturnReceipt
            | Kind::ErrorsTo
            | Kind::Priority
            | Kind::Pointer
            | Kind::End => {
                self.refuse(format_args!("unexpected record type {} in envelope", kind.byte()));
            }
        }
        false
    }

    /// A record that is none of a recipient's; qmgr must know when such stand among recipients.
    pub(crate) fn put_other(&mut self, kind: Kind, data: &[u8]) {
        if self.recipients_begun {
            self.size.qmgr_flags |= MIXED;
        }
        self.put(kind, data);
    }

    fn begin_recipients(&mut self) {
        if self.recipients_begun {
            return;
        }
        self.recipients_begun = true;
        let wait = i64::try_from(self.settings.delay_warning_time.as_secs()).unwrap_or(0);
        let has_sender = self.sender.as_ref().is_some_and(|s| !s.is_empty());
        if let Some((seconds, _)) = self.arrival
            && wait > 0
            && has_sender
            && !self.warn_time_seen
        {
            self.warn_time_seen = true;
            self.put(Kind::WarnTime, format!("{:TIME_COLUMNS$}", seconds + wait).as_bytes());
        }
    }

    fn begin_content(&mut self) {
        if self.arrival.is_none() {
            return self.refuse(format_args!("missing time envelope record"));
        }
        if self.sender.is_none() {
            return self.refuse(format_args!("missing sender envelope record"));
        }
        self.put(Kind::Message, b"");
        self.size.data_offset = i64::try_from(self.position()).unwrap_or(0);
    }

    fn arrival_time(&mut self, data: &[u8]) {
        if self.arrival.is_some() {
            return;
        }
        let line = text(data);
        let mut numbers = line.split_ascii_whitespace().map(|n| n.parse::<i64>().unwrap_or(0));
        let (seconds, microseconds) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if seconds <= 0 {
            return;
        }
        self.arrival = Some((seconds, microseconds));
        self.put(Kind::Time, data);
        self.put_attribute("create_time", &os_sys::time::now().as_secs().to_string());
    }

    fn sender_record(&mut self, data: &[u8]) {
        if self.sender.is_some() {
            return self.refuse(format_args!("multiple envelope sender records"));
        }
        self.context.get_or_insert_default();
        let rewritten = self.mapper.rewrite_internal(&text(data));
        let mut sender = self.mapped(rewritten);
        if self.has(flags::MAP) && !sender.is_empty() {
            let mapped = self.mapper.map(&self.id, Class::EnvelopeSender, &sender);
            sender = self.mapped(mapped);
        }
        if sender.eq_ignore_ascii_case(&format!("MAILER-DAEMON@{}", self.settings.myorigin)) {
            sender.clear();
        }
        if !sender.is_ascii() {
            self.note_utf8(SendOptions::UTF8_SENDER);
        }
        self.put(Kind::Sender, sender.as_bytes());
        if self.has(flags::BCC) {
            let addresses = self.mapper.sender_bcc(&sender);
            for address in self.mapped(addresses) {
                self.bcc(&address);
            }
        }
        self.sender = Some(sender);
    }

    /// A recipient of the envelope or of the extracted segment.
    pub(crate) fn recipient_record(&mut self, data: &[u8]) {
        if self.sender.is_none() {
            return self.refuse(format_args!("missing sender envelope record"));
        }
        let pending = std::mem::take(&mut self.pending);
        self.recipient(&text(data), pending);
    }

    /// The original recipient of the next recipient.
    pub(crate) fn original_recipient(&mut self, data: &[u8]) {
        if let Some(previous) = self.pending.original.replace(text(data)) {
            os_log::warning!("{}: ignoring out-of-order original recipient record <{previous}>", self.id);
        }
    }

    fn verp(&mut self, data: &[u8]) {
        let delimiters = text(data);
        let allowed = |c: char| self.settings.verp_delimiter_filter.contains(c);
        if delimiters.chars().count() == 2 && delimiters.chars().all(allowed) {
            self.put_other(Kind::Verp, data);
        } else {
            os_log::warning!("{}: ignoring bad VERP request: \"{delimiters}\"", self.id);
        }
    }

    /// HOLD and DISCARD requests of a client.
    pub(crate) fn client_flags(&mut self, data: &[u8]) {
        self.flags |= text(data).parse::<i32>().unwrap_or(0) & (flags::HOLD | flags::DISCARD);
    }

    /// A client that hands over its own milters (count above 0) cannot be served: the milter dialogue is not built yet.
    fn milter_count(&mut self, data: &[u8]) {
        if text(data).parse::<i32>().unwrap_or(-1) > 0 {
            os_log::warning!("{}: milter hand-over is not supported yet -- message not accepted", self.id);
            self.errors |= status::WRITE;
        }
    }

    fn attribute(&mut self, data: &[u8]) {
        let Some((name, value)) = self.named_attribute(data) else { return };
        match name.as_str() {
            "create_time" => return,
            "rewrite_context" => {
                let context = if value == "remote" { Context::Remote } else { Context::Local };
                self.context.get_or_insert(context);
            }
            "encoding" => self.encoding = Some(value.clone()),
            "envelope_id" => self.envelope_id.clone_from(&value),
            "ret_flags" => match value.parse() {
                Ok(flags @ (1 | 2)) => self.return_flags = flags,
                Ok(_) | Err(_) => return self.refuse(format_args!("bad DSN RET record <{}>", text(data))),
            },
            "trace_flags" => match value.parse() {
                Ok(flags) => self.trace_flags = flags,
                Err(_) => return self.refuse(format_args!("bad TFLAG record <{}>", text(data))),
            },
            _ => {}
        }
        self.put_other(Kind::Attribute, data);
    }

    /// Splits and counts an attribute and takes those of a recipient; `None`: nothing to do for the caller.
    pub(crate) fn named_attribute(&mut self, data: &[u8]) -> Option<(String, String)> {
        let Some((name, value)) = split_attribute(data) else {
            self.refuse(format_args!(
                "malformed attribute: missing '=' after attribute name: {}",
                text(data)
            ));
            return None;
        };
        if value.is_empty() {
            os_log::warning!("{}: spurious null attribute value for \"{name}\" -- ignored", self.id);
            return None;
        }
        match name.as_str() {
            "notify_flags" => self.notify(&value, &text(data)),
            "dsn_orig_rcpt" => self.pending.dsn_original = Some(value),
            _ => {
                self.note_attribute(&name);
                return (self.errors == 0).then_some((name, value));
            }
        }
        None
    }

    /// NOTIFY flags of the next recipient.
    pub(crate) fn notify(&mut self, value: &str, record: &str) {
        match value.parse::<u32>() {
            Ok(flags)
                if flags == Notify::NEVER || (flags > 0 && flags < 16 && flags & Notify::NEVER == 0) =>
            {
                self.pending.notify = flags;
                self.size.qmgr_flags |= i64::from(flags << 1);
            }
            Ok(_) | Err(_) => {
                os_log::warning!("{}: ignoring malformed DSN notify record <{record}>", self.id)
            }
        }
    }
}

/// A payload as text.
pub(crate) fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}
