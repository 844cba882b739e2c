//! One queue file as an entry of the list.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use host_spool::clock::leading_number;
use host_spool::{DeliveryLog, Found, Queue, QueueFile, ReadError, Spool, is_ready};
use mail_address::to_external;
use mail_record::{Kind, MessageSize};
use mail_text::printable::printable;
use proto_ipc::Dialect;
use proto_ipc::showq::{Message, Message37, Recipient, Recipient37};

/// Mode bit of `postsuper -e`.
const EXPIRE_BIT: u32 = 0o010;

/// How entries are made.
pub struct Settings {
    /// `empty_address_recipient`
    pub empty_address: String,
    /// `smtputf8_enable`
    pub utf8: bool,
    /// `duplicate_filter_limit`
    pub duplicates: usize,
}

/// The entry of a complete file; `None` for anything else. Defects are logged.
pub fn read(
    spool: &Spool,
    settings: &Settings,
    queue: Queue,
    found: &Found,
    dialect: Dialect,
) -> Option<Message> {
    let metadata = std::fs::symlink_metadata(&found.path).ok()?;
    if !is_ready(&metadata) {
        return None;
    }
    let mut file = spool.open_path(&found.path, false).ok()?;
    let mut entry = Entry::new(settings, queue, found, &metadata);
    if let Err(error) = entry.fill(spool, &mut file, dialect) {
        os_log::warning!("{queue}/{}: {error}", found.id);
    }
    entry.sender_seen.then_some(entry.message)
}

/// The entry without what the 3.7 dialect does not have.
pub fn in_old_dialect(message: Message) -> Message37 {
    let recipients = message
        .recipients
        .into_iter()
        .map(|r| Recipient37 { recipient: r.recipient, reason: r.reason })
        .collect();
    Message37 {
        queue_name: message.queue_name,
        queue_id: message.queue_id,
        time: message.time,
        size: message.size,
        forced_expire: message.forced_expire,
        sender: message.sender,
        recipients,
    }
}

struct Entry<'a> {
    settings: &'a Settings,
    found: &'a Found,
    message: Message,
    sender_seen: bool,
    listed: HashSet<String>,
    original: String,
    content_end: u64,
}

impl<'a> Entry<'a> {
    fn new(settings: &'a Settings, queue: Queue, found: &'a Found, metadata: &Metadata) -> Self {
        let message = Message {
            queue_name: queue.name().to_owned(),
            queue_id: found.id.to_string(),
            time: metadata.mtime(),
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            forced_expire: i32::from(metadata.permissions().mode() & EXPIRE_BIT != 0),
            sender: String::new(),
            recipients: Vec::new(),
        };
        let (listed, original) = (HashSet::new(), String::new());
        Self { settings, found, message, sender_seen: false, listed, original, content_end: 0 }
    }

    fn fill(&mut self, spool: &Spool, file: &mut QueueFile, dialect: Dialect) -> Result<(), ReadError> {
        while let Some(record) = file.next_any()? {
            match Kind::from_byte(record.byte) {
                Some(Kind::Size) => self.size(record.data),
                Some(Kind::Time) => {
                    let time = leading_number(record.data);
                    self.message.time = if time > 0 { time } else { self.message.time };
                }
                Some(Kind::Sender) if !self.sender_seen => {
                    self.message.sender = self.address(record.data);
                    self.sender_seen = true;
                    self.logged(spool, DeliveryLog::Defer);
                    if dialect == Dialect::V3_11 {
                        self.logged(spool, DeliveryLog::Bounce);
                    }
                }
                Some(Kind::OriginalRecipient) => self.original = self.address(record.data),
                Some(Kind::Recipient) => {
                    if !self.sender_seen {
                        let id = &self.found.id;
                        os_log::warning!("{id}: missing sender address:  -- skipping remainder of this file");
                        return Ok(());
                    }
                    let recipient = self.address(record.data);
                    self.recipient(recipient);
                }
                Some(Kind::Done | Kind::Canceled) => self.original.clear(),
                Some(Kind::Message) if self.content_end > 0 => file.seek(self.content_end),
                Some(Kind::End) => return Ok(()),
                _other => {}
            }
        }
        Ok(())
    }

    fn size(&mut self, payload: &[u8]) {
        match MessageSize::parse(payload) {
            Some(size) if size.data_size > 0 && size.data_offset > 0 => {
                self.message.size = size.data_size;
                self.content_end = size.data_offset.saturating_add(size.data_size).unsigned_abs();
            }
            Some(_) | None => os_log::warning!(
                "{}: malformed size record: {:.100} -- using file size instead",
                self.found.id,
                String::from_utf8_lossy(payload)
            ),
        }
    }

    /// The recipients of a delivery log, all of them, in its order.
    fn logged(&mut self, spool: &Spool, log: DeliveryLog) {
        let entries = match spool.read_log(log, &self.found.id) {
            Ok(entries) => entries,
            Err(error) => {
                os_log::warning!("open {} {}: {}", log.name(), self.found.id, os_sys::error_text(&error));
                return;
            }
        };
        for entry in entries {
            let recipient = self.clean(&entry.recipient);
            self.remember(&recipient);
            self.message.recipients.push(Recipient {
                original_recipient: self.clean(&entry.original_recipient),
                recipient,
                log_class: log.name().to_owned(),
                reason: self.clean(&entry.detail.reason),
            });
        }
    }

    fn recipient(&mut self, recipient: String) {
        let original_recipient = std::mem::take(&mut self.original);
        if self.listed.contains(&recipient) {
            return;
        }
        self.remember(&recipient);
        let (log_class, reason) = (String::new(), String::new());
        self.message.recipients.push(Recipient { original_recipient, recipient, log_class, reason });
    }

    fn remember(&mut self, recipient: &str) {
        if self.listed.len() < self.settings.duplicates {
            self.listed.insert(recipient.to_owned());
        }
    }

    /// An address of a record, as it is shown.
    fn address(&self, internal: &[u8]) -> String {
        if internal.is_empty() {
            return self.settings.empty_address.clone();
        }
        self.clean(&to_external(&String::from_utf8_lossy(internal)))
    }

    fn clean(&self, text: &str) -> String {
        printable(text.as_bytes(), self.settings.utf8)
    }
}
