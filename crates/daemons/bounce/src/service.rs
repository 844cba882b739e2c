//! The requests of the bounce, defer and trace services.

use host_daemon::{Client, Error, PoolService, Startup, Stream};
use host_spool::{DeliveryLog, LogEntry, Queue, Spool};
use mail_address::to_external;
use mail_record::QueueId;
use mail_status::{Dsn, Notify};
use proto_ipc::bounce::{Append, MessageInfo, Request, Status, flags};
use proto_ipc::delivery::RecipientInfo;
use proto_ipc::{Connection, StatusReply};

use crate::notice::{Notice, NoticeKind, Sent};
use crate::settings::Settings;
use crate::templates;

/// Status of a request that could not be carried out.
const FAILED: i32 = -1;

/// The service.
#[derive(Debug)]
pub struct Bounce {
    settings: Settings,
    spool: Spool,
    log: DeliveryLog,
}

impl Bounce {
    /// Reads the configuration; the service name must be bounce, defer or trace. `postconf -t` and `-b` run the program
    /// under names of their own.
    pub fn new(startup: &mut Startup) -> Result<Self, Error> {
        match startup.service_name.as_str() {
            "dump_templates" if startup.standalone => templates::dump(&Settings::new(&startup.config)?),
            "expand_templates" if startup.standalone => templates::expand(&Settings::new(&startup.config)?),
            _ => {}
        }
        let log = DeliveryLog::ALL.into_iter().find(|log| log.name() == startup.service_name);
        let log = log.ok_or_else(|| format!("unknown service name: {}", startup.service_name))?;
        Ok(Self { settings: Settings::new(&startup.config)?, spool: Spool::open(&startup.config)?, log })
    }

    fn perform(&self, request: Request) -> i32 {
        match request {
            Request::Append(append) => self.append(&append),
            Request::Flush(message) => self.notice(&message, NoticeKind::Failure, None),
            Request::Warn(message) => self.notice(&message, NoticeKind::Delay, None),
            Request::Verp(message, delimiters) => {
                self.notice(&message, NoticeKind::Failure, Some(&delimiters))
            }
            Request::Trace(message) => self.notice(&message, NoticeKind::trace(message.flags), None),
            Request::One(message, recipient, status) => self.one(&message, &recipient, &status),
        }
    }

    fn append(&self, append: &Append) -> i32 {
        let Some(id) = queue_id(&append.queue_id) else { return FAILED };
        let entry = entry(self.log, &append.recipient, &append.status);
        match self.spool.append_log(self.log, &id, &entry) {
            Ok(()) => 0,
            Err(error) => {
                os_log::warning!("{id}: append {} log: {error}", self.log.name());
                if append.flags & flags::CLEAN != 0 {
                    self.remove_log(&id);
                }
                FAILED
            }
        }
    }

    /// The notice from the log; the log goes when it is queued (but for a delay warning).
    fn notice(&self, message: &MessageInfo, kind: NoticeKind, verp: Option<&str>) -> i32 {
        let Some((id, queue)) = message_place(message) else { return FAILED };
        let entries = match self.spool.read_log(self.log, &id) {
            Ok(entries) => entries,
            Err(error) => {
                os_log::warning!("{id}: read {} log: {error}", self.log.name());
                return FAILED;
            }
        };
        let there = self.spool.log_length(self.log, &id).ok().flatten().is_some();
        if entries.is_empty() && there {
            self.remove_log(&id);
            return 0;
        }
        let is_notice =
            message.sender.is_empty() || message.sender.eq_ignore_ascii_case(&self.settings.double_bounce());
        if verp.is_some() && is_notice {
            os_log::warning!("request to send VERP-style notification of bounced mail");
        }
        let mut entries = entries;
        let mut verp = verp;
        if verp.is_some() && entries.is_empty() {
            entries.push(unavailable());
            verp = None;
        }
        let notice =
            Notice { settings: &self.settings, spool: &self.spool, id: &id, queue, message, kind, verp };
        match notice.send(&entries) {
            Ok(sent) => {
                if message.flags & flags::DELETE_RECIPIENTS != 0 {
                    notice.mark_done(&entries);
                }
                if kind != NoticeKind::Delay && sent == Sent::Done {
                    self.remove_log(&id);
                }
                0
            }
            Err(()) => FAILED,
        }
    }

    fn one(&self, message: &MessageInfo, recipient: &RecipientInfo, status: &Status) -> i32 {
        if self.log != DeliveryLog::Bounce {
            os_log::warning!("wrong service name \"{}\" for one-recipient bouncing", self.log.name());
            return FAILED;
        }
        let Some((id, queue)) = message_place(message) else { return FAILED };
        let entries = [entry(self.log, recipient, status)];
        let kind = NoticeKind::Failure;
        let notice = Notice {
            settings: &self.settings,
            spool: &self.spool,
            id: &id,
            queue,
            message,
            kind,
            verp: None,
        };
        if notice.send(&entries).is_ok() { 0 } else { FAILED }
    }

    fn remove_log(&self, id: &QueueId) {
        if let Err(error) = self.spool.remove_log(self.log, id) {
            os_log::warning!("{id}: remove {} log: {error}", self.log.name());
        }
    }
}

impl PoolService for Bounce {
    fn serve(&self, client: Client) {
        let Stream::Unix(stream) = client.stream else {
            os_log::warning!("delivery status request on a network socket");
            return;
        };
        let mut connection = Connection::from_stream(stream, self.settings.format);
        let dialogue = |connection: &mut Connection| -> Result<(), proto_ipc::Error> {
            connection.set_timeout(self.settings.ipc_timeout)?;
            let status = match connection.receive::<Request>() {
                Ok(request) => self.perform(request),
                Err(proto_ipc::Error::Malformed(text)) => {
                    os_log::warning!("{text}");
                    FAILED
                }
                Err(error @ proto_ipc::Error::TooLarge) => {
                    os_log::warning!("malformed request: {error}");
                    FAILED
                }
                Err(error) => return Err(error),
            };
            connection.send(&StatusReply { status })?;
            connection.flush()
        };
        match dialogue(&mut connection) {
            Ok(()) | Err(proto_ipc::Error::Closed) => {}
            Err(error) => os_log::warning!("delivery status request: {error}"),
        }
    }
}

fn queue_id(text: &str) -> Option<QueueId> {
    let id = QueueId::parse(text).ok();
    if id.is_none() {
        os_log::warning!("malformed queue id: {}", proto_ipc::clean(text));
    }
    id
}

fn message_place(message: &MessageInfo) -> Option<(QueueId, Queue)> {
    let id = queue_id(&message.queue_id)?;
    let queue = Queue::ALL.into_iter().find(|queue| queue.name() == message.queue_name);
    if queue.is_none() {
        os_log::warning!("malformed request: bad queue name \"{}\"", proto_ipc::clean(&message.queue_name));
    }
    Some((id, queue?))
}

/// Whom a VERP notice is about when there is no log.
fn unavailable() -> LogEntry {
    LogEntry {
        recipient: "(recipient address unavailable)".into(),
        original_recipient: String::new(),
        offset: 0,
        dsn_orig_rcpt: String::new(),
        notify: Notify(0),
        action: mail_status::Action::Failed,
        detail: mail_status::Detail::new(Dsn::new(5, 0, 0), "(error report unavailable)"),
    }
}

fn entry(log: DeliveryLog, recipient: &RecipientInfo, status: &Status) -> LogEntry {
    let default = match log {
        DeliveryLog::Bounce => Dsn::new(5, 0, 0),
        DeliveryLog::Defer => Dsn::new(4, 0, 0),
        DeliveryLog::Trace => Dsn::new(2, 0, 0),
    };
    LogEntry {
        recipient: to_external(&recipient.recipient),
        original_recipient: to_external(&recipient.original_recipient),
        offset: u64::try_from(recipient.offset).unwrap_or(0),
        dsn_orig_rcpt: recipient.dsn_orig_rcpt.clone(),
        notify: Notify(recipient.notify_flags),
        action: status.action.parse().unwrap_or(mail_status::Action::Failed),
        detail: status.detail(default),
    }
}
