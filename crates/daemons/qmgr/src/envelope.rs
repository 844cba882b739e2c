//! The envelope of a queue file, and the reader that takes it and batches of recipients from the file.

use mail_address::to_external;
use mail_record::{Kind, MessageSize, QueueId, split_attribute};
use mail_status::Notify;
use proto_ipc::delivery::Stamp;

use host_spool::{QueueFile, ReadError};

/// What goes with each delivery request of a message.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// T record.
    pub arrival: Stamp,
    /// Attribute `create_time`, else the T record: base of back-off and expiry, seconds since the epoch.
    pub create_time: i64,
    /// S record, internal form.
    pub sender: String,
    /// C record.
    pub size: MessageSize,
    /// `7bit`, `8bit` or empty.
    pub encoding: String,
    /// ENVID.
    pub envelope_id: String,
    /// RET.
    pub ret_flags: i32,
    /// What is logged and forwarded about the client.
    pub client: ClientInfo,
    /// SASL method, user, sender.
    pub sasl: [String; 3],
    /// Queue ID of the first host.
    pub log_ident: String,
    /// `local` or `remote`.
    pub rewrite_context: String,
    /// 256 probe, 512 `-bv`, 1024 `-v`.
    pub trace_flags: i32,
    /// Where the record of the trace flags is.
    pub trace_offset: Option<u64>,
    /// V record.
    pub verp: Option<String>,
    /// L record outside of content: `transport:nexthop`.
    pub filter: Option<String>,
    /// > record.
    pub redirect: Option<String>,
    /// W record: its offset and time (seconds since the epoch, −1: warned already).
    pub warning: Option<(u64, i64)>,
}

impl Envelope {
    /// Content length as logged.
    #[must_use]
    pub const fn content_length(&self) -> i64 {
        if self.size.content_length > 0 { self.size.content_length } else { self.size.data_size }
    }

    /// Somebody asked for a success report.
    #[must_use]
    pub const fn wants_success_report(&self) -> bool {
        (self.size.qmgr_flags >> 1) & Notify::SUCCESS as i64 != 0
    }

    /// Address probes are neither filtered nor reported.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.trace_flags & (proto_ipc::delivery::flags::MTA_VERIFY | proto_ipc::delivery::flags::USER_VERIFY)
            != 0
    }
}

/// Client attributes for logging and XFORWARD.
#[derive(Clone, Debug, Default)]
pub struct ClientInfo {
    /// Name.
    pub name: String,
    /// Address.
    pub address: String,
    /// Port.
    pub port: String,
    /// Protocol.
    pub protocol: String,
    /// HELO.
    pub helo: String,
}

/// One recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// O record.
    pub original: String,
    /// R record; later what the resolver made of it.
    pub address: String,
    /// Offset of the R record.
    pub offset: u64,
    /// `type;address`.
    pub dsn_orig_rcpt: String,
    /// NOTIFY.
    pub notify: u32,
}

/// Some recipients of a file.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// They.
    pub recipients: Vec<Recipient>,
    /// R records that were left for later.
    pub unread: u32,
    /// Where to go on.
    pub resume: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// The disk.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record that must not be here.
    #[error("Unexpected record type '{}' at offset {offset}", char::from(*byte))]
    Unexpected {
        /// Its type.
        byte: u8,
        /// Where.
        offset: u64,
        /// Recipients that were announced and did not come.
        missing: i64,
    },
    /// A record that cannot be understood; the text.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Reads envelope and recipients.
pub struct Reader<'f> {
    file: &'f mut QueueFile,
    data_offset: u64,
    data_size: u64,
    limit: usize,
    batch: Batch,
    /// Recipients that the C record announces and that have not come yet.
    expected: i64,
    group_start: Option<u64>,
    pending: Recipient,
}

/// Text for a file that ends too early.
pub const NO_END: &str = "message rejected: missing end record";
const TOO_MANY_FLAGS: i64 = !0x1f;

impl<'f> Reader<'f> {
    /// A reader of at most `limit` recipients.
    #[must_use]
    pub fn new(file: &'f mut QueueFile, limit: usize) -> Self {
        Self {
            file,
            data_offset: 0,
            data_size: 0,
            limit,
            batch: Batch::default(),
            expected: 0,
            group_start: None,
            pending: Recipient::default(),
        }
    }

    /// Reads the whole envelope and the first batch; logs the admission as soon as the sender is known, as the
    /// reference does.
    ///
    /// # Errors
    /// [`BadFile`].
    pub fn first(mut self, id: &QueueId) -> Result<(Envelope, Batch), BadFile> {
        let mut envelope = Envelope::default();
        let mut has_sender = false;
        let mut old_client = ClientInfo::default();
        loop {
            let (offset, kind, data) = self.next_record()?;
            match kind {
                Kind::End => break,
                Kind::Size => {
                    if envelope.size.data_offset == 0 {
                        envelope.size = self.size(&data)?;
                    }
                }
                Kind::Time => envelope.time(&data),
                Kind::Sender => {
                    envelope.sender = text(&data);
                    if !has_sender {
                        has_sender = true;
                        self.log_admission(id, &envelope);
                    }
                }
                Kind::FilterOrText => envelope.filter = Some(text(&data)),
                Kind::Redirect => envelope.redirect = Some(text(&data)),
                Kind::Verp => envelope.verp = Some(text(&data)),
                Kind::WarnTime => {
                    envelope.warning = text(&data).trim().parse().ok().map(|time| (offset, time));
                }
                Kind::DsnEnvelopeId => envelope.envelope_id = text(&data),
                Kind::DsnRet => envelope.ret_flags = text(&data).trim().parse().unwrap_or(0),
                Kind::Attribute => {
                    if let Some((name, value)) = split_attribute(&data)
                        && !self.recipient_attribute(offset, &name, &value)
                    {
                        envelope.attribute(offset, &name, value, &mut old_client);
                    }
                }
                other => self.recipient_record(offset, other, &data)?,
            }
        }
        envelope.check(has_sender, old_client)?;
        if self.expected != 0 {
            os_log::warning!("{id}: rcpt count mismatch ({})", self.expected);
        }
        self.finish(envelope.redirect.as_deref()).map(|batch| (envelope, batch))
    }

    /// Reads the next batch, from where the last one ended.
    ///
    /// # Errors
    /// [`BadFile`].
    pub fn next(mut self, size: &MessageSize, resume: u64) -> Result<Batch, BadFile> {
        self.data_offset = size.data_offset.unsigned_abs();
        self.data_size = size.data_size.unsigned_abs();
        self.file.seek(resume);
        loop {
            let (offset, kind, data) = self.next_record()?;
            match kind {
                Kind::End => break,
                Kind::Attribute => {
                    if let Some((name, value)) = split_attribute(&data) {
                        self.recipient_attribute(offset, &name, &value);
                    }
                }
                other => self.recipient_record(offset, other, &data)?,
            }
        }
        self.finish(None)
    }

    fn log_admission(&self, id: &QueueId, envelope: &Envelope) {
        os_log::info!(
            "{id}: from=<{}>, size={}, nrcpt={} (queue active)",
            to_external(&envelope.sender),
            envelope.content_length(),
            self.expected
        );
    }

    fn next_record(&mut self) -> Result<(u64, Kind, Vec<u8>), BadFile> {
        self.skip_content();
        match self.file.next_ref() {
            Ok(Some(record)) => Ok((record.offset, record.kind, record.data.to_vec())),
            Ok(None) => Err(BadFile::Malformed(NO_END)),
            Err(ReadError::Type { byte, offset }) => {
                Err(BadFile::Unexpected { byte, offset, missing: self.expected })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn skip_content(&mut self) {
        if self.data_offset > 0 && self.file.position() == self.data_offset {
            self.file.seek(self.data_offset.saturating_add(self.data_size));
        }
    }

    fn size(&mut self, data: &[u8]) -> Result<MessageSize, BadFile> {
        let size = MessageSize::parse(data).ok_or(BadFile::Malformed("malformed message size record"))?;
        if size.data_offset <= 0 || size.data_size <= 0 || size.content_length < 0 {
            return Err(BadFile::Malformed("invalid message size record"));
        }
        if size.qmgr_flags & TOO_MANY_FLAGS != 0 {
            return Err(BadFile::Malformed("invalid flags in message size record"));
        }
        self.data_offset = size.data_offset.unsigned_abs();
        self.data_size = size.data_size.unsigned_abs();
        self.expected = size.recipients;
        Ok(size)
    }

    /// Takes an attribute that belongs to the next recipient.
    fn recipient_attribute(&mut self, offset: u64, name: &str, value: &str) -> bool {
        match name {
            "notify_flags" => self.pending.notify = value.parse().unwrap_or(0),
            "dsn_orig_rcpt" => value.clone_into(&mut self.pending.dsn_orig_rcpt),
            _ => return false,
        }
        self.group_start.get_or_insert(offset);
        true
    }

    fn recipient_record(&mut self, offset: u64, kind: Kind, data: &[u8]) -> Result<(), BadFile> {
        match kind {
            Kind::OriginalRecipient => self.pending.original = text(data),
            Kind::DsnOriginalRecipient => self.pending.dsn_orig_rcpt = text(data),
            Kind::DsnNotify => self.pending.notify = text(data).trim().parse().unwrap_or(0),
            Kind::Recipient => {
                let group = self.group_start.take().unwrap_or(offset);
                let recipient = std::mem::take(&mut self.pending);
                self.expected -= 1;
                if self.batch.recipients.len() < self.limit {
                    self.batch.recipients.push(Recipient { address: text(data), offset, ..recipient });
                } else {
                    if self.batch.unread == 0 {
                        self.batch.resume = group;
                    }
                    self.batch.unread += 1;
                }
                return Ok(());
            }
            Kind::Done | Kind::Canceled => {
                self.pending = Recipient::default();
                self.group_start = None;
                self.expected -= 1;
                return Ok(());
            }
            Kind::FullName
            | Kind::Inspector
            | Kind::Killed
            | Kind::Message
            | Kind::Extracted
            | Kind::ReturnReceipt
            | Kind::ErrorsTo
            | Kind::Priority
            | Kind::Pointer
            | Kind::Padding
            | Kind::Size
            | Kind::Time
            | Kind::Sender
            | Kind::FilterOrText
            | Kind::Redirect
            | Kind::Verp
            | Kind::WarnTime
            | Kind::DsnEnvelopeId
            | Kind::DsnRet
            | Kind::Attribute
            | Kind::End => return Ok(()),
            Kind::Flags | Kind::Delay | Kind::MilterCount | Kind::Line => {
                return Err(BadFile::Unexpected { byte: kind.byte(), offset, missing: self.expected });
            }
        }
        self.group_start.get_or_insert(offset);
        Ok(())
    }

    /// REDIRECT: only the first recipient is left, with another address.
    fn finish(mut self, redirect: Option<&str>) -> Result<Batch, BadFile> {
        if let Some(address) = redirect {
            self.batch.recipients.truncate(1);
            self.batch.unread = 0;
            if let Some(first) = self.batch.recipients.first_mut() {
                address.clone_into(&mut first.address);
            }
        }
        Ok(self.batch)
    }
}

impl Envelope {
    fn time(&mut self, data: &[u8]) {
        if self.arrival.seconds == 0 {
            let text = text(data);
            let mut numbers = text.split_ascii_whitespace().map(|n| n.parse().unwrap_or(0));
            self.arrival.seconds = numbers.next().unwrap_or(0);
            self.arrival.microseconds = numbers.next().unwrap_or(0);
        }
    }

    fn attribute(&mut self, offset: u64, name: &str, value: String, old: &mut ClientInfo) {
        match name {
            "create_time" => self.create_time = value.trim().parse().unwrap_or(0),
            "log_ident" => self.log_ident = value,
            "rewrite_context" if self.rewrite_context.is_empty() => self.rewrite_context = value,
            "sasl_method" => self.sasl[0] = value,
            "sasl_username" => self.sasl[1] = value,
            "sasl_sender" => self.sasl[2] = value,
            "envelope_id" => self.envelope_id = value,
            "ret_flags" => self.ret_flags = value.trim().parse().unwrap_or(0),
            "encoding" => self.encoding = value,
            "log_client_name" => self.client.name = value,
            "log_client_address" => self.client.address = value,
            "log_client_port" => self.client.port = value,
            "log_protocol_name" => self.client.protocol = value,
            "log_helo_name" => self.client.helo = value,
            "client_name" => old.name = value,
            "client_address" => old.address = value,
            "client_port" => old.port = value,
            "protocol_name" => old.protocol = value,
            "helo_name" => old.helo = value,
            "trace_flags" => {
                self.trace_flags = value.trim().parse().unwrap_or(0);
                self.trace_offset = Some(offset);
            }
            _ => {}
        }
    }

    /// What must be there, and what replaces what is missing (files of old releases).
    fn check(&mut self, has_sender: bool, old: ClientInfo) -> Result<(), BadFile> {
        if self.arrival.seconds == 0 {
            return Err(BadFile::Malformed("message rejected: missing arrival time record"));
        }
        if !has_sender {
            return Err(BadFile::Malformed("message rejected: missing sender record"));
        }
        if self.size.data_offset == 0 {
            return Err(BadFile::Malformed("message rejected: missing size record"));
        }
        if self.create_time == 0 {
            self.create_time = self.arrival.seconds;
        }
        if self.rewrite_context.is_empty() {
            "local".clone_into(&mut self.rewrite_context);
        }
        let now = &mut self.client;
        for (new, old) in [
            (&mut now.name, old.name),
            (&mut now.address, old.address),
            (&mut now.port, old.port),
            (&mut now.protocol, old.protocol),
            (&mut now.helo, old.helo),
        ] {
            if new.is_empty() {
                *new = old;
            }
        }
        Ok(())
    }
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_spool::{Layout, LogSettings, Queue, Spool};
    use mail_record::put;

    const CONTENT: &[u8] = b"N\x05helloN\x00";

    /// A queue file with these envelope records (behind C and T) and these extracted ones.
    fn file(
        envelope: &[(Kind, &str)],
        extracted: &[(Kind, &str)],
        recipients: i64,
    ) -> (tempdir::Directory, QueueFile) {
        let mut head = Vec::new();
        put(&mut head, Kind::Time, b"100 5");
        for (kind, data) in envelope {
            put(&mut head, *kind, data.as_bytes());
        }
        put(&mut head, Kind::Message, b"");
        let size = MessageSize {
            data_size: i64::try_from(CONTENT.len()).unwrap(),
            data_offset: i64::try_from(97 + head.len()).unwrap(),
            recipients,
            ..MessageSize::default()
        };
        let mut bytes = Vec::new();
        put(&mut bytes, Kind::Size, size.to_payload().as_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(CONTENT);
        put(&mut bytes, Kind::Extracted, b"");
        for (kind, data) in extracted {
            put(&mut bytes, *kind, data.as_bytes());
        }
        put(&mut bytes, Kind::End, b"");
        let directory = tempdir::Directory::new();
        std::fs::create_dir(directory.0.join("active")).unwrap();
        std::fs::write(directory.0.join("active/AB1"), bytes).unwrap();
        let spool = Spool::with_layout(Layout::standard(&directory.0), LogSettings::default());
        let file = spool.open_file(Queue::Active, &id()).unwrap();
        (directory, file)
    }

    fn id() -> QueueId {
        QueueId::parse("AB1").unwrap()
    }

    mod tempdir {
        use std::path::PathBuf;
        use std::sync::atomic::{AtomicU32, Ordering};

        pub struct Directory(pub PathBuf);

        impl Directory {
            pub fn new() -> Self {
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let path = std::env::temp_dir().join(format!("qmgr-test-{}-{number}", std::process::id()));
                std::fs::create_dir(&path).unwrap();
                Self(path)
            }
        }

        impl Drop for Directory {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn the_envelope_goes_on_behind_the_content() {
        let (_directory, mut file) = file(
            &[
                (Kind::Attribute, "create_time=200"),
                (Kind::Attribute, "client_name=old"),
                (Kind::Sender, "s@x"),
                (Kind::Attribute, "notify_flags=6"),
                (Kind::Attribute, "dsn_orig_rcpt=rfc822;A@x"),
                (Kind::OriginalRecipient, "a@x"),
                (Kind::Recipient, "a2@x"),
                (Kind::OriginalRecipient, "b@x"),
                (Kind::Done, "b@x"),
            ],
            &[
                (Kind::Attribute, "encoding=8bit"),
                (Kind::FilterOrText, "smtp:filter"),
                (Kind::OriginalRecipient, "c@x"),
                (Kind::Recipient, "c@x"),
            ],
            3,
        );
        let (envelope, batch) = Reader::new(&mut file, 100).first(&id()).unwrap();
        assert_eq!(
            (envelope.create_time, envelope.arrival.seconds, envelope.arrival.microseconds),
            (200, 100, 5)
        );
        assert_eq!((envelope.sender.as_str(), envelope.encoding.as_str()), ("s@x", "8bit"));
        assert_eq!((envelope.client.name.as_str(), envelope.filter.as_deref()), ("old", Some("smtp:filter")));
        let [first, second] = batch.recipients.as_slice() else { panic!("{batch:?}") };
        assert_eq!((first.original.as_str(), first.address.as_str(), first.notify), ("a@x", "a2@x", 6));
        assert_eq!(first.dsn_orig_rcpt, "rfc822;A@x");
        assert_eq!((second.address.as_str(), second.notify, second.dsn_orig_rcpt.as_str()), ("c@x", 0, ""));
        assert_eq!(batch.unread, 0);
    }

    #[test]
    fn batches_continue_where_the_last_one_ended_with_all_that_belongs_to_a_recipient() {
        let names: Vec<_> = (0..7).map(|i| format!("r{i}@x")).collect();
        let originals: Vec<_> = (0..7).map(|i| format!("dsn_orig_rcpt=rfc822;o{i}@x")).collect();
        let mut records = vec![(Kind::Sender, "s@x")];
        for (name, original) in names.iter().zip(&originals) {
            records.extend([
                (Kind::Attribute, original.as_str()),
                (Kind::OriginalRecipient, name),
                (Kind::Recipient, name),
            ]);
        }
        let (_directory, mut file) = file(&records, &[], 7);
        let (envelope, mut batch) = Reader::new(&mut file, 3).first(&id()).unwrap();
        let mut seen = Vec::new();
        let mut sizes = Vec::new();
        loop {
            sizes.push((batch.recipients.len(), batch.unread));
            seen.extend(
                batch
                    .recipients
                    .iter()
                    .map(|r| (r.address.clone(), format!("dsn_orig_rcpt={}", r.dsn_orig_rcpt))),
            );
            if batch.unread == 0 {
                break;
            }
            batch = Reader::new(&mut file, 3).next(&envelope.size, batch.resume).unwrap();
        }
        assert_eq!(sizes, [(3, 4), (3, 1), (1, 0)]);
        assert_eq!(seen, names.into_iter().zip(originals).collect::<Vec<_>>());
    }

    #[test]
    fn a_redirected_message_has_one_recipient() {
        let (_directory, mut file) = file(
            &[(Kind::Sender, ""), (Kind::Recipient, "a@x"), (Kind::Recipient, "b@x")],
            &[(Kind::Redirect, "other@y")],
            2,
        );
        let (_, batch) = Reader::new(&mut file, 1).first(&id()).unwrap();
        assert_eq!(batch.recipients.iter().map(|r| r.address.as_str()).collect::<Vec<_>>(), ["other@y"]);
        assert_eq!(batch.unread, 0);
    }

    #[test]
    fn files_that_cannot_be_used() {
        for (envelope, text) in [
            (vec![(Kind::Recipient, "a@x")], "message rejected: missing sender record"),
            (vec![(Kind::Sender, "s@x"), (Kind::Flags, "1")], "Unexpected record type 'f' at offset 109"),
        ] {
            let (_directory, mut file) = file(&envelope, &[], 1);
            let error = Reader::new(&mut file, 10).first(&id()).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
    }
}
