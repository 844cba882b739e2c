//! The message being received: what is known about it, and every write to its queue file.

use std::collections::HashSet;

use host_spool::Draft;
use mail_record::{Kind, MessageSize, SendOptions};
use proto_ipc::cleanup::{flags, status};

use crate::mapping::{MapError, Mapper};
use crate::settings::Settings;

/// Different attribute names in one message.
const ATTRIBUTE_LIMIT: usize = 100;

/// Whose mail it is, for header rewriting (`rewrite_context`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Context {
    /// From a client in `local_header_rewrite_clients`, or submitted here.
    #[default]
    Local,
    /// From elsewhere.
    Remote,
}

/// What was said about the next recipient.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    pub original: Option<String>,
    pub dsn_original: Option<String>,
    pub notify: u32,
}

/// A recipient as the bounce service needs it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub recipient: String,
    pub original: String,
    pub dsn_original: String,
    pub notify: u32,
    pub offset: i64,
}

/// The message.
pub(crate) struct Message<'a> {
    pub settings: &'a Settings,
    pub mapper: &'a Mapper,
    draft: Draft,
    pub id: String,
    /// Client flags ([`flags`]).
    pub flags: i32,
    /// [`status`] bits so far.
    pub errors: i32,
    /// Text of the reply.
    pub reason: String,
    /// Seconds and microseconds of arrival.
    pub arrival: Option<(i64, i64)>,
    /// Internal form, mapped.
    pub sender: Option<String>,
    pub full_name: Option<Vec<u8>>,
    pub context: Option<Context>,
    attributes: HashSet<String>,
    pub warn_time_seen: bool,
    /// Recipients of the envelope (or the content) have begun: other records now count as mixed.
    pub recipients_begun: bool,
    pub encoding: Option<String>,
    pub envelope_id: String,
    pub return_flags: i32,
    pub trace_flags: i32,
    pub pending: Pending,
    /// Whether any recipient was given, be it one that is left out.
    pub any_recipient: bool,
    /// What goes into the C record.
    pub size: MessageSize,
    pub send_options: u32,
    /// Duplicate filter: original recipient and recipient.
    pub seen: HashSet<String>,
    /// Recipients, kept only when this program may have to bounce the message.
    pub written: Vec<Written>,
    pub headers: crate::header::Seen,
    pub message_id: Option<String>,
    /// The last content record was a fragment.
    pub unterminated: bool,
}

impl<'a> Message<'a> {
    pub(crate) fn new(settings: &'a Settings, mapper: &'a Mapper, draft: Draft) -> Self {
        let id = draft.id().to_string();
        Self {
            settings,
            mapper,
            draft,
            id,
            flags: 0,
            errors: 0,
            reason: String::new(),
            arrival: None,
            sender: None,
            full_name: None,
            context: None,
            attributes: HashSet::new(),
            warn_time_seen: false,
            recipients_begun: false,
            encoding: None,
            envelope_id: String::new(),
            return_flags: 0,
            trace_flags: 0,
            pending: Pending::default(),
            any_recipient: false,
            size: MessageSize::default(),
            send_options: 0,
            seen: HashSet::new(),
            written: Vec::new(),
            headers: crate::header::Seen::default(),
            message_id: None,
            unterminated: false,
        }
    }

    /// The client's flags; also the place of the C record, which is filled in at the end.
    pub(crate) fn begin(&mut self, client_flags: i32) {
        self.flags = client_flags;
        if self.has(flags::SMTPUTF8) {
            self.send_options |= SendOptions::UTF8_REQUESTED;
        }
        if self.has(flags::REQUIRETLS) {
            self.send_options |= SendOptions::REQUIRETLS;
        }
        self.put(Kind::Size, MessageSize::default().to_payload().as_bytes());
    }

    pub(crate) const fn has(&self, flag: i32) -> bool {
        self.flags & flag != 0
    }

    /// Nothing is wrong so far, and the message is not to be discarded: output makes sense.
    /// A message that goes back to its sender whole is written on.
    pub(crate) const fn is_good(&self) -> bool {
        let tolerated = if self.has(flags::BOUNCE) { status::HOPS | status::CONTENT } else { 0 };
        self.errors & !tolerated == 0 && !self.has(flags::DISCARD)
    }

    /// Refuses the message; the text goes to the log.
    pub(crate) fn refuse(&mut self, text: std::fmt::Arguments<'_>) {
        if self.errors & status::BAD == 0 {
            os_log::warning!("{}: message rejected: {text}", self.id);
        }
        self.errors |= status::BAD;
    }

    /// Takes a mapping failure; the default when there is one.
    pub(crate) fn mapped<T: Default>(&mut self, result: Result<T, MapError>) -> T {
        let error = match result {
            Ok(value) => return value,
            Err(error) => error,
        };
        let text = match &error {
            MapError::Table(title, address) => format!("{title} map lookup problem for {address}"),
            MapError::Rewrite(address) => format!("address rewriting problem for {address}"),
            MapError::Nesting(address) => {
                format!("unreasonable virtual_alias_maps map nesting for {address}")
            }
            MapError::Size(address) => {
                format!("unreasonable virtual_alias_maps map expansion size for {address}")
            }
        };
        os_log::warning!("{}: {text} -- message not accepted, try again later", self.id);
        match error {
            MapError::Table(..) | MapError::Rewrite(_) => self.errors |= status::WRITE,
            MapError::Nesting(_) | MapError::Size(_) => {
                self.errors |= status::DEFER;
                // No code here even for a client that wants one: it supplies its own.
                if self.reason.is_empty() {
                    "4.6.0 Alias expansion error".clone_into(&mut self.reason);
                }
            }
        }
        T::default()
    }

    /// Sets the reply text, as a whole SMTP reply if the client wants that; the first one stays.
    pub(crate) fn set_reason(&mut self, code: &str, text: &str) {
        if self.reason.is_empty() {
            self.reason =
                if self.has(flags::SMTP_REPLY) { format!("{code} {text}") } else { text.to_owned() };
        }
    }

    /// Appends a record to the queue file, unless the message is lost already.
    pub(crate) fn put(&mut self, kind: Kind, data: &[u8]) {
        if !self.is_good() {
            return;
        }
        if let Err(error) = self.draft.put(kind, data) {
            os_log::warning!("{}: write queue file: {}", self.id, os_sys::error_text(&error));
            self.errors |= status::WRITE;
        }
        let limit = self.settings.message_size_limit;
        if limit > 0 && self.draft.position() > limit {
            os_log::warning!("{}: queue file size limit exceeded", self.id);
            self.errors |= status::SIZE;
        }
    }

    /// Appends a named attribute.
    pub(crate) fn put_attribute(&mut self, name: &str, value: &str) {
        self.put(Kind::Attribute, format!("{name}={value}").as_bytes());
    }

    /// Appends text in records no longer than the line limit.
    pub(crate) fn put_text(&mut self, terminated: bool, text: &[u8]) {
        let limit = self.settings.line_length_limit.max(1);
        let mut rest = text;
        while let Some((head, tail)) = rest.split_at_checked(limit).filter(|(_, tail)| !tail.is_empty()) {
            self.put(Kind::FilterOrText, head);
            rest = tail;
        }
        self.put(if terminated { Kind::Line } else { Kind::FilterOrText }, rest);
    }

    /// Appends a logical header: one record for each of its lines.
    pub(crate) fn put_header(&mut self, text: &[u8]) {
        let text = text.split(|&b| b == 0).next().unwrap_or_default();
        for line in text.split(|&b| b == b'\n') {
            self.put_text(true, line);
        }
    }

    /// File offset of the next record.
    pub(crate) fn position(&self) -> u64 {
        self.draft.position()
    }

    /// Remembers an attribute name; too many are refused.
    pub(crate) fn note_attribute(&mut self, name: &str) {
        if self.attributes.contains(name) {
            return;
        }
        if self.attributes.len() >= ATTRIBUTE_LIMIT {
            return self.refuse(format_args!("attribute count exceeds limit {ATTRIBUTE_LIMIT}"));
        }
        self.attributes.insert(name.to_owned());
    }

    pub(crate) fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    pub(crate) fn into_draft(self) -> Draft {
        self.draft
    }

    /// Notes a detected non-ASCII text.
    pub(crate) fn note_utf8(&mut self, option: u32) {
        if self.settings.smtputf8 {
            self.send_options |= option;
        }
    }
}
