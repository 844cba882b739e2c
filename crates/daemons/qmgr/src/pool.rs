//! The helper threads: they open queue files, read recipients and resolve them, so that a slow disk or table does not
//! stall all mail.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use engine_scheduler::{MessageId, Resolution, Route, RoutePolicy, route};
use host_daemon::Waker;
use host_delivery::{LogLine, MessageStats, RecipientInfo, Stamp, Via};
use host_resolve::{AddressClass, AddressService, ResolveError};
use host_spool::{DeliveryLog, Found, Queue, QueueFile, Spool};
use mail_address::split;
use mail_record::QueueId;
use mail_status::Dsn;

use crate::envelope::{BadFile, Batch, Envelope, NO_END, Reader, Recipient};
use crate::settings::Settings;
use os_sys::error_text;

/// Threads.
const THREADS: usize = 4;
/// Mode bits of a queue file: lift throttling; expire.
const UNTHROTTLE: u32 = 0o040;
const EXPIRE: u32 = 0o010;
/// A locked file is looked at again after this time.
const LOCKED_RETRY: Duration = Duration::from_secs(60);

/// What the helpers need.
pub struct Shared {
    /// The queue.
    pub spool: Spool,
    /// Rewriting and resolving.
    pub addresses: AddressService,
    /// Whether [`Self::addresses`] asks no server.
    pub asks_nobody: bool,
    /// Settings.
    pub settings: Arc<Settings>,
}

/// A job for the helpers.
pub enum Task {
    /// Move a file to the active queue and read it.
    Admit(Admit),
    /// Read more recipients.
    Batch(NextBatch),
}

/// See [`Task::Admit`].
pub struct Admit {
    /// Scheduler's name.
    pub message: MessageId,
    /// The file.
    pub found: Found,
    /// Most recipients to read.
    pub limit: usize,
    /// How to route.
    pub flags: RouteFlags,
}

/// See [`Task::Batch`].
pub struct NextBatch {
    /// Scheduler's name.
    pub message: MessageId,
    /// The file.
    pub id: QueueId,
    /// What was read before.
    pub opened: Arc<Opened>,
    /// Where to go on.
    pub resume: u64,
    /// Most recipients to read.
    pub limit: usize,
    /// How to route.
    pub flags: RouteFlags,
}

/// Circumstances of routing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteFlags {
    /// A flush overrides `defer_transports`.
    pub override_deferred: bool,
    /// Too many probes in the queue.
    pub too_many_probes: bool,
}

/// An admitted message.
#[derive(Debug)]
pub struct Opened {
    /// Its envelope.
    pub envelope: Envelope,
    /// When it came into the active queue.
    pub active: Duration,
    /// `postqueue -i`.
    pub unthrottle: bool,
    /// `postsuper -e`.
    pub expire: bool,
    /// To be expired with the defer log that it has: no delivery is tried.
    pub expired_log: bool,
}

/// Recipients with their routes.
#[derive(Debug, Default)]
pub struct RoutedBatch {
    /// They; transport and next hop.
    pub recipients: Vec<(Recipient, String, String)>,
    /// Left in the file.
    pub unread: u32,
    /// Where to go on.
    pub resume: u64,
}

/// A result of the helpers.
pub enum Done {
    /// The message is in the active queue.
    Admitted(MessageId, Arc<Opened>, RoutedBatch),
    /// More recipients.
    Batch(MessageId, RoutedBatch),
    /// The message is not, or no longer, for this queue manager.
    Dropped(MessageId),
}

/// The helpers.
pub struct Pool {
    queue: Arc<(Mutex<VecDeque<Task>>, Condvar)>,
    results: mpsc::Receiver<Done>,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// Those of thread creation.
    pub fn start(shared: &Arc<Shared>, waker: &Waker) -> io::Result<Self> {
        let queue: Arc<(Mutex<VecDeque<Task>>, Condvar)> = Arc::default();
        let (sender, results) = mpsc::channel();
        for _ in 0..THREADS {
            let (shared, queue) = (Arc::clone(shared), Arc::clone(&queue));
            let (sender, waker) = (sender.clone(), waker.clone());
            std::thread::Builder::new().name("reader".into()).spawn(move || {
                loop {
                    let done = shared.perform(take(&queue));
                    if sender.send(done).is_err() {
                        break;
                    }
                    waker.wake();
                }
            })?;
        }
        Ok(Self { queue, results })
    }

    /// Gives the helpers something to do.
    pub fn submit(&self, task: Task) {
        self.queue.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
        self.queue.1.notify_one();
    }

    /// A result, if there is one.
    #[must_use]
    pub fn result(&self) -> Option<Done> {
        self.results.try_recv().ok()
    }
}

fn take(queue: &(Mutex<VecDeque<Task>>, Condvar)) -> Task {
    let mut tasks = queue.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(task) = tasks.pop_front() {
            return task;
        }
        tasks = queue.1.wait(tasks).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Shared {
    /// Does a job; it may wait for the disk, and for the servers of tables.
    pub fn perform(&self, task: Task) -> Done {
        match task {
            Task::Admit(admit) => self.admit(&admit),
            Task::Batch(next) => self.next_batch(&next),
        }
    }

    fn admit(&self, admit: &Admit) -> Done {
        let id = &admit.found.id;
        let active = self.spool.path(Queue::Active, id);
        if let Err(error) = self.spool.move_path(&admit.found.path, &active) {
            if error.kind() != io::ErrorKind::NotFound {
                os_log::warning!(
                    "rename {} to {}: {error}",
                    admit.found.path.display(),
                    active.display(),
                    error = error_text(&error)
                );
            }
            return Done::Dropped(admit.message);
        }
        let opened = match self.spool.open_file(Queue::Active, id) {
            Ok(file) => self.read_first(admit, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                os_log::warning!("open {}: {error}", active.display(), error = error_text(&error));
                None
            }
        };
        match opened {
            Some((opened, batch)) => Done::Admitted(admit.message, Arc::new(opened), batch),
            None => Done::Dropped(admit.message),
        }
    }

    fn read_first(&self, admit: &Admit, mut file: QueueFile) -> Option<(Opened, RoutedBatch)> {
        let id = &admit.found.id;
        if !self.lock(&file, id) {
            return None;
        }
        let mode = file.mode().unwrap_or(0o700);
        let (unthrottle, expire) = (mode & UNTHROTTLE != 0, mode & EXPIRE != 0);
        if unthrottle && let Err(error) = file.set_mode(mode & !UNTHROTTLE) {
            os_log::warning!("{id}: change mode of queue file: {error}", error = error_text(&error));
        }
        let expired_log = expire && matches!(self.spool.log_length(DeliveryLog::Defer, id), Ok(Some(1..)));
        if !expired_log && let Err(error) = self.spool.remove_log(DeliveryLog::Defer, id) {
            os_log::warning!("{id}: remove defer log: {error}", error = error_text(&error));
        }
        let (mut envelope, batch) = match Reader::new(&mut file, admit.limit).first(id) {
            Ok(read) => read,
            Err(error) => {
                self.save_corrupt(id, &error);
                return None;
            }
        };
        if envelope.sender.is_empty() && envelope.verp.take().is_some() {
            os_log::warning!("{id}: ignoring VERP request for null sender");
        }
        let opened = Opened { envelope, active: os_sys::time::now(), unthrottle, expire, expired_log };
        if expired_log {
            return Some((opened, RoutedBatch::default()));
        }
        let flags =
            RouteFlags { override_deferred: admit.flags.override_deferred || unthrottle, ..admit.flags };
        let batch = self.routed(&mut file, id, &opened, batch, flags);
        Some((opened, batch))
    }

    /// Takes the lock; a file that an agent of a former queue manager still holds goes back.
    fn lock(&self, file: &QueueFile, id: &QueueId) -> bool {
        match file.lock_exclusive_nb() {
            Ok(true) => true,
            Ok(false) => {
                os_log::info!("{id}: skipped, still being delivered");
                let due = SystemTime::now() + LOCKED_RETRY;
                let back = self
                    .spool
                    .set_times(Queue::Active, id, due)
                    .and_then(|()| self.spool.rename(id, Queue::Active, Queue::Incoming));
                if let Err(error) = back {
                    os_log::warning!("{id}: move back to incoming: {error}", error = error_text(&error));
                }
                false
            }
            Err(error) => {
                os_log::warning!("{id}: lock queue file: {error}", error = error_text(&error));
                false
            }
        }
    }

    /// Moves a file that cannot be understood out of the way.
    fn save_corrupt(&self, id: &QueueId, error: &BadFile) {
        match error {
            BadFile::Read(error) => {
                os_log::warning!("active/{id}: {error}");
                os_log::warning!("{id}: {NO_END}");
            }
            BadFile::Unexpected { missing, .. } => {
                os_log::warning!("{error}");
                if *missing != 0 {
                    os_log::warning!("{id}: rcpt count mismatch ({missing})");
                }
            }
            BadFile::Malformed(text) => os_log::warning!("{id}: {text}"),
        }
        set_aside(&self.spool, id);
    }

    fn next_batch(&self, next: &NextBatch) -> Done {
        let mut file = match self.spool.open_file(Queue::Active, &next.id) {
            Ok(file) => file,
            Err(error) => {
                os_log::warning!("open active {}: {error}", next.id, error = error_text(&error));
                return Done::Batch(next.message, RoutedBatch::default());
            }
        };
        match Reader::new(&mut file, next.limit).next(&next.opened.envelope.size, next.resume) {
            Ok(batch) => {
                let batch = self.routed(&mut file, &next.id, &next.opened, batch, next.flags);
                Done::Batch(next.message, batch)
            }
            Err(error) => {
                self.save_corrupt(&next.id, &error);
                Done::Batch(next.message, RoutedBatch::default())
            }
        }
    }

    fn routed(
        &self,
        file: &mut QueueFile,
        id: &QueueId,
        opened: &Opened,
        batch: Batch,
        flags: RouteFlags,
    ) -> RoutedBatch {
        let settings = &self.settings;
        let nothing: &[String] = &[];
        let policy = RoutePolicy {
            force_expire: opened.expire,
            double_bounce: &settings.double_bounce,
            deferred_transports: if flags.override_deferred {
                nothing
            } else {
                &settings.deferred_transports
            },
            too_many_probes: flags.too_many_probes && opened.envelope.is_probe(),
        };
        let mut recipients = Vec::with_capacity(batch.recipients.len());
        for mut recipient in batch.recipients {
            let resolution = self.resolution(&opened.envelope, &recipient.address);
            match route(&recipient.address, resolution, &policy) {
                Route::Deliver { transport, nexthop, recipient: address } => {
                    recipient.address = address;
                    recipients.push((recipient, transport, nexthop));
                }
                Route::DiscardDoubleBounce => self.discard(file, id, opened, &recipient),
            }
        }
        RoutedBatch { recipients, unread: batch.unread, resume: batch.resume }
    }

    fn resolution(&self, envelope: &Envelope, address: &str) -> Resolution {
        if let Some(filter) = envelope.filter.as_deref().filter(|_| !envelope.is_probe()) {
            return self.filtered(filter, address);
        }
        let verify = envelope.trace_flags & proto_ipc::delivery::flags::MTA_VERIFY != 0;
        let resolved = self.addresses.resolve(&envelope.sender, address, verify);
        match resolved.error {
            Some(ResolveError::Fail) => Resolution::Failed,
            Some(ResolveError::Bad) => Resolution::BadAddress,
            None => Resolution::Resolved {
                transport: resolved.transport,
                nexthop: resolved.nexthop,
                recipient: resolved.recipient,
                local: resolved.class == Some(AddressClass::Local),
            },
        }
    }

    /// `transport:nexthop` of a content filter; without next hop `default_filter_nexthop`, the recipient domain, or
    /// our own name.
    fn filtered(&self, filter: &str, address: &str) -> Resolution {
        let (transport, nexthop) = filter.split_once(':').unwrap_or((filter, ""));
        let candidates =
            [nexthop, &self.settings.filter_nexthop, split(address).1.unwrap_or(""), &self.settings.hostname];
        let nexthop = candidates.into_iter().find(|hop| !hop.is_empty()).unwrap_or_default();
        Resolution::Resolved {
            transport: transport.to_owned(),
            nexthop: nexthop.to_owned(),
            recipient: address.to_owned(),
            local: false,
        }
    }

    /// Mail for the double-bounce address ends here.
    fn discard(&self, file: &mut QueueFile, id: &QueueId, opened: &Opened, recipient: &Recipient) {
        let now = Stamp::from_duration(os_sys::time::now());
        let stats = MessageStats { agent_handoff: now, deliver_done: now, ..stats(opened) };
        LogLine {
            queue_id: id.as_str(),
            recipient: &info(recipient),
            via: &Via::none(),
            stats: &stats,
            resolution: self.settings.delay_digits,
            dsn: Dsn::new(2, 0, 0),
            word: "sent",
            reason: "undeliverable postmaster notification discarded",
        }
        .emit();
        if let Err(error) = file.mark_done(recipient.offset) {
            os_log::warning!("{id}: mark recipient done: {error}", error = error_text(&error));
        }
    }
}

/// Moves a file from `active` to `corrupt`.
pub fn set_aside(spool: &Spool, id: &QueueId) {
    os_log::warning!("saving corrupt file \"{id}\" from queue \"active\" to queue \"corrupt\"");
    if let Err(error) = spool.rename(id, Queue::Active, Queue::Corrupt) {
        os_log::warning!("{id}: move to corrupt: {error}", error = error_text(&error));
    }
}

/// The time stamps that the queue manager knows.
#[must_use]
pub fn stats(opened: &Opened) -> MessageStats {
    MessageStats {
        incoming_arrival: opened.envelope.arrival,
        active_arrival: Stamp::from_duration(opened.active),
        ..MessageStats::default()
    }
}

/// A recipient as it goes over the wire.
#[must_use]
pub fn info(recipient: &Recipient) -> RecipientInfo {
    RecipientInfo {
        original_recipient: recipient.original.clone(),
        recipient: recipient.address.clone(),
        offset: i64::try_from(recipient.offset).unwrap_or(-1),
        dsn_orig_rcpt: recipient.dsn_orig_rcpt.clone(),
        notify_flags: recipient.notify,
    }
}
