//! The queue manager: triggers, scans, actions of the scheduler.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use engine_scheduler::{
    Action, BatchOptions, Clog, MessageId, RecipientIndex, Routed, Scheduler, TransportId, destination_key,
};
use host_config::Config;
use host_daemon::{Client, Cx, Error, EventService, FlowPipe, Readiness, Stop, TimerId, Token};
use host_spool::{Found, Queue};
use mail_address::split_extension;
use mail_record::QueueId;

use crate::connection::Connection;
use crate::envelope::Recipient;
use crate::pool::{Admit, Done, NextBatch, Opened, Pool, RouteFlags, RoutedBatch, Shared, Task};
use crate::scans::{QueueScan, Requests, ScanFlags, Step, due_size};
use crate::settings::{Settings, transport_limits};
use os_sys::error_text;

/// Files that are looked at in one turn of the event loop.
const LOOKS_PER_TURN: usize = 200;
/// A file that has just been written and is not larger than this is read in the event loop (if its recipients are resolved
/// without asking a server): a hand-over to a helper would take longer.
const READ_AT_ONCE: u64 = 64 * 1024;
/// Files that are being read at the same time.
const READING_LIMIT: usize = 64;

/// A message in the active queue.
pub struct Message {
    /// Its name.
    pub id: QueueId,
    /// Its envelope, once it is read.
    pub opened: Option<Arc<Opened>>,
    /// Recipients in memory.
    pub recipients: HashMap<RecipientIndex, Recipient>,
    next_index: RecipientIndex,
    /// Recipients in the file, and where they start.
    pub unread: u32,
    resume: u64,
    /// Something is left for a later attempt.
    pub deferred: bool,
    /// An agent was lost: what is left is not in the defer log.
    pub unlogged: bool,
    /// Requests to the defer service for recipients that no agent took.
    pub appends: u32,
    /// The scheduler has nothing of it any more.
    pub drained: bool,
}

/// The queue manager.
pub struct Manager {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Arc<Settings>,
    config: Config,
    flow: FlowPipe,
    pub(crate) scheduler: Scheduler,
    pool: Option<Pool>,
    pub(crate) messages: HashMap<MessageId, Message>,
    names: HashMap<QueueId, MessageId>,
    pub(crate) connections: HashMap<Token, Connection>,
    pub(crate) timeouts: HashMap<TimerId, Token>,
    /// Connections of agents that have nothing to do.
    pub(crate) idle: HashMap<TransportId, Vec<Token>>,
    /// Connections to be tried again because the listener's queue was full.
    pub(crate) retries: HashMap<TimerId, TransportId>,
    incoming: QueueScan,
    deferred: QueueScan,
    turn_of_deferred: bool,
    reading: usize,
    probes: usize,
    due_timer: Option<(Duration, TimerId)>,
    run_timer: Option<TimerId>,
    /// When incoming was last looked through, and the timer for the scan that waits.
    last_scan: Option<Instant>,
    scan_timer: Option<TimerId>,
}

/// Triggers that come closer together share one scan of the incoming queue: each scan looks at every file there.
const SCAN_PAUSE: Duration = Duration::from_millis(5);

impl Manager {
    /// Nothing is in the active queue yet.
    ///
    /// # Errors
    /// A malformed parameter of the `retry` transport.
    pub fn new(shared: Arc<Shared>, config: Config, flow: FlowPipe) -> Result<Self, Error> {
        let settings = Arc::clone(&shared.settings);
        let retry = transport_limits(&config, "retry")?;
        Ok(Self {
            scheduler: Scheduler::new(settings.limits, retry),
            shared,
            settings,
            config,
            flow,
            pool: None,
            messages: HashMap::new(),
            names: HashMap::new(),
            connections: HashMap::new(),
            timeouts: HashMap::new(),
            idle: HashMap::new(),
            retries: HashMap::new(),
            incoming: QueueScan::new(Queue::Incoming),
            deferred: QueueScan::new(Queue::Deferred),
            turn_of_deferred: false,
            reading: 0,
            probes: 0,
            due_timer: None,
            run_timer: None,
            last_scan: None,
            scan_timer: None,
        })
    }

    /// What a former queue manager left in the active queue starts over.
    fn reclaim_active(&self) {
        let spool = &self.shared.spool;
        for found in spool.scan(Queue::Active).filter_map(Result::ok) {
            let moved = spool
                .set_times(Queue::Active, &found.id, SystemTime::now())
                .and_then(|()| spool.rename(&found.id, Queue::Active, Queue::Incoming));
            if let Err(error) = moved {
                os_log::warning!("{}: move to incoming: {error}", found.id, error = error_text(&error));
            }
        }
    }

    fn request(&mut self, requests: Requests) {
        if requests.flags.flush {
            self.scheduler.unthrottle_all(os_sys::time::now());
        }
        if requests.incoming {
            self.last_scan = Some(Instant::now());
        }
        self.incoming.request(&self.shared.spool, requests.incoming, requests.flags);
        self.deferred.request(&self.shared.spool, requests.deferred, requests.flags);
    }

    /// How long a plain request to scan incoming may wait.
    fn scan_pause(&self, requests: Requests) -> Option<Duration> {
        let plain = requests.incoming && !requests.deferred && requests.flags == ScanFlags::default();
        let since = self.last_scan.filter(|_| plain)?.elapsed();
        SCAN_PAUSE.checked_sub(since).filter(|left| !left.is_zero())
    }

    fn begin_incoming_scan(&mut self) {
        self.request(Requests { incoming: true, deferred: false, flags: ScanFlags::default() });
    }

    /// One turn: what the scheduler wants, then new files.
    pub(crate) fn turn(&mut self, cx: &mut Cx) {
        self.act(cx);
        self.scan(cx);
        self.act(cx);
        self.set_due_timer(cx);
    }

    fn act(&mut self, cx: &mut Cx) {
        while let Some(action) = self.scheduler.next_action() {
            match action {
                Action::Connect(transport) => self.connect_agent(cx, transport),
                Action::Read(id, most) => self.read_more(id, most),
                Action::Drained(id) => self.drained(cx, id),
                Action::Defer(id, recipients, reason) => self.defer_directly(cx, id, &recipients, &reason),
                Action::Clogged(clog) => self.warn_clog(&clog),
            }
        }
    }

    /// Says that one destination takes much of the active queue, and what may help.
    fn warn_clog(&self, clog: &Clog) {
        let transport = self.scheduler.transport_name(clog.transport);
        os_log::warning!(
            "mail for {} is using up {} of {} active queue entries",
            clog.nexthop,
            clog.entries,
            self.messages.len()
        );
        if let Some(limit) = clog.limit {
            os_log::warning!(
                "you may need to increase the main.cf {transport}_destination_concurrency_limit from {limit}"
            );
        } else {
            os_log::warning!("you may need to reduce {transport} connect and helo timeouts");
            os_log::warning!("so that Postfix quickly skips unavailable hosts");
            os_log::warning!(
                "you may need to increase the main.cf minimal_backoff_time and maximal_backoff_time"
            );
            os_log::warning!("so that Postfix wastes less time on undeliverable mail");
            os_log::warning!("you may need to increase the master.cf {transport} process limit");
        }
        os_log::warning!("please avoid flushing the whole queue when you have");
        os_log::warning!("lots of deferred mail, that is bad for performance");
        os_log::warning!("to turn off these warnings specify: qmgr_clog_warn_time = 0");
    }

    fn set_due_timer(&mut self, cx: &mut Cx) {
        let due = self.scheduler.next_due();
        if due == self.due_timer.map(|(due, _)| due) {
            return;
        }
        if let Some((_, timer)) = self.due_timer.take() {
            cx.cancel(timer);
        }
        self.due_timer = due.map(|due| (due, cx.after(due.saturating_sub(os_sys::time::now()))));
    }

    /// Admits files, alternating between the queues; a full active queue stops that.
    fn scan(&mut self, cx: &mut Cx) {
        if !self.incoming.is_running() && !self.deferred.is_running() {
            return;
        }
        let was_scanning = self.incoming.is_running();
        let now = os_sys::time::now().as_secs().cast_signed();
        let mut admitted = 0;
        let mut looks = 0;
        while looks < LOOKS_PER_TURN && self.has_room() {
            looks += 1;
            let deferred =
                self.deferred.is_running() && (self.turn_of_deferred || !self.incoming.is_running());
            self.turn_of_deferred = !deferred;
            let scan = if deferred { &mut self.deferred } else { &mut self.incoming };
            let (from, flags) = (scan.queue(), scan.flags());
            match scan.step(&self.shared.spool, now) {
                Step::Due(found) if !self.names.contains_key(&found.id) => {
                    admitted += usize::from(from == Queue::Incoming);
                    self.admit(found, flags, false);
                }
                Step::Due(_) | Step::Skipped => {}
                Step::End if !self.incoming.is_running() && !self.deferred.is_running() => break,
                Step::End => {}
            }
        }
        if was_scanning {
            self.give_tokens(admitted);
        }
        let running = self.incoming.is_running() || self.deferred.is_running();
        if running && self.has_room() {
            cx.waker().wake();
        }
        if self.messages.len() >= self.settings.limits.active_messages as usize {
            self.turn_of_deferred = false;
        }
    }

    fn has_room(&self) -> bool {
        self.messages.len() < self.settings.limits.active_messages as usize && self.reading < READING_LIMIT
    }

    /// In-flow tokens: one for each new message while a scan runs; at its end the pipe is brought to its level at rest.
    fn give_tokens(&self, admitted: usize) {
        if !self.settings.in_flow {
            return;
        }
        if self.incoming.is_running() {
            if admitted > 0 {
                self.flow.put(admitted);
            }
            return;
        }
        let (level, rest) = (self.flow.level(), self.settings.process_limit);
        if level < rest {
            self.flow.put(rest - level);
        } else if level > rest {
            // Fewer may be left by now: cleanup takes them too.
            let _ = self.flow.take(level - rest);
        }
    }

    /// cleanup names a file that it has just completed.
    fn announced(&mut self, word: &[u8]) {
        let Some(id) = std::str::from_utf8(word).ok().and_then(|word| QueueId::parse(word).ok()) else {
            return os_log::warning!("trigger connection: not a queue ID: {}", word.escape_ascii());
        };
        if self.names.contains_key(&id) {
            return;
        }
        if !self.has_room() {
            return self.begin_incoming_scan();
        }
        let found = Found { path: self.shared.spool.path(Queue::Incoming, &id), id };
        let now = os_sys::time::now().as_secs().cast_signed();
        if let Some(size) = due_size(&found, false, now) {
            if self.settings.in_flow {
                self.flow.put(1);
            }
            self.admit(found, ScanFlags::default(), size <= READ_AT_ONCE && self.shared.asks_nobody);
        }
    }

    fn admit(&mut self, found: Found, flags: ScanFlags, at_once: bool) {
        let id = self.scheduler.admit(os_sys::time::now());
        self.names.insert(found.id.clone(), id);
        self.messages.insert(
            id,
            Message {
                id: found.id.clone(),
                opened: None,
                recipients: HashMap::new(),
                next_index: 0,
                unread: 0,
                resume: 0,
                deferred: false,
                unlogged: false,
                appends: 0,
                drained: false,
            },
        );
        let limit = self.scheduler.read_allowance(id);
        self.reading += 1;
        let flags = self.route_flags(flags.flush);
        let task = Task::Admit(Admit { message: id, found, limit, flags });
        if at_once {
            self.result(self.shared.perform(task));
        } else {
            self.submit(task);
        }
    }

    fn route_flags(&self, override_deferred: bool) -> RouteFlags {
        RouteFlags { override_deferred, too_many_probes: self.probes > self.settings.probe_limit }
    }

    fn submit(&self, task: Task) {
        if let Some(pool) = &self.pool {
            pool.submit(task);
        }
    }

    /// Reads the next batch of a message.
    pub(crate) fn read_more(&mut self, id: MessageId, limit: usize) {
        let flags = self.route_flags(false);
        let Some(message) = self.messages.get(&id) else { return };
        let Some(opened) = &message.opened else { return };
        let next = NextBatch {
            message: id,
            id: message.id.clone(),
            opened: Arc::clone(opened),
            resume: message.resume,
            limit,
            flags: RouteFlags { override_deferred: opened.unthrottle, ..flags },
        };
        self.reading += 1;
        self.submit(Task::Batch(next));
    }

    fn results(&mut self) {
        while let Some(done) = self.pool.as_ref().and_then(Pool::result) {
            self.result(done);
        }
    }

    fn result(&mut self, done: Done) {
        self.reading = self.reading.saturating_sub(1);
        match done {
            Done::Admitted(id, opened, batch) => {
                self.probes += usize::from(opened.envelope.is_probe());
                if let Some(message) = self.messages.get_mut(&id) {
                    message.deferred |= opened.expired_log;
                    message.opened = Some(opened);
                }
                self.assign(id, batch);
            }
            Done::Batch(id, batch) => self.assign(id, batch),
            Done::Dropped(id) => self.forget(id),
        }
    }

    fn assign(&mut self, id: MessageId, batch: RoutedBatch) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(opened) = message.opened.clone() else { return };
        message.unread = batch.unread;
        message.resume = batch.resume;
        let mut routed = Vec::with_capacity(batch.recipients.len());
        for (recipient, transport, nexthop) in batch.recipients {
            let transport = transport_id(&mut self.scheduler, &self.config, &transport);
            let limit = self.scheduler.transport_limits(transport).destination_recipient_limit;
            let name = self.scheduler.transport_name(transport);
            let key = destination_key(name, &nexthop, &recipient.address, limit, |local| {
                base_of(&self.settings, local)
            });
            let index = message.next_index;
            message.next_index = message.next_index.wrapping_add(1);
            routed.push(Routed {
                recipient: index,
                address: recipient.address.clone(),
                transport,
                key,
                nexthop,
            });
            message.recipients.insert(index, recipient);
        }
        let options = BatchOptions {
            one_per_request: opened.envelope.verp.is_some(),
            unthrottle: opened.unthrottle,
            unread: batch.unread,
        };
        self.scheduler.assign(os_sys::time::now(), id, routed, options);
    }

    /// The message has left the active queue.
    pub(crate) fn forget(&mut self, id: MessageId) {
        self.scheduler.forget(id);
        if let Some(message) = self.messages.remove(&id) {
            self.names.remove(&message.id);
            let probe = message.opened.is_some_and(|opened| opened.envelope.is_probe());
            self.probes = self.probes.saturating_sub(usize::from(probe));
        }
    }
}

/// The scheduler's name of a transport; its limits are read when it is met first.
fn transport_id(scheduler: &mut Scheduler, config: &Config, name: &str) -> TransportId {
    scheduler.transport(name, || {
        transport_limits(config, name).unwrap_or_else(|error| {
            os_log::warning!("{error}");
            engine_scheduler::TransportLimits::default()
        })
    })
}

/// The mailbox of a local part: without extension.
fn base_of(settings: &Settings, local: &str) -> String {
    split_extension(local, &settings.recipient_delimiter, settings.owner_request_special)
        .map_or(local, |(base, _)| base)
        .to_owned()
}

impl EventService for Manager {
    fn post_init(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.pool = Some(Pool::start(&self.shared, &cx.waker())?);
        self.reclaim_active();
        self.request(Requests { incoming: true, deferred: true, flags: ScanFlags::default() });
        self.run_timer = Some(cx.after(self.settings.queue_run_delay));
        self.turn(cx);
        Ok(())
    }

    fn connected(&mut self, cx: &mut Cx, _client: Client) {
        cx.session_done();
    }

    fn ready(&mut self, cx: &mut Cx, token: Token, readiness: Readiness) {
        self.progress(cx, token, readiness.closed);
        self.turn(cx);
    }

    fn timer(&mut self, cx: &mut Cx, timer: TimerId) {
        if self.due_timer.is_some_and(|(_, due)| due == timer) {
            self.due_timer = None;
            self.scheduler.tick(os_sys::time::now());
        } else if self.run_timer == Some(timer) {
            self.run_timer = Some(cx.after(self.settings.queue_run_delay));
            self.deferred.request(&self.shared.spool, true, ScanFlags::default());
        } else if self.scan_timer == Some(timer) {
            self.scan_timer = None;
            self.begin_incoming_scan();
        } else if let Some(transport) = self.retries.remove(&timer) {
            self.connect_agent(cx, transport);
        } else if let Some(token) = self.timeouts.remove(&timer) {
            self.timed_out(cx, token);
        }
        self.turn(cx);
    }

    fn woken(&mut self, cx: &mut Cx) {
        self.results();
        self.turn(cx);
    }

    fn trigger(&mut self, cx: &mut Cx, request: &[u8]) {
        let requests = Requests::parse(request);
        match self.scan_pause(requests) {
            Some(left) => {
                if self.scan_timer.is_none() {
                    self.scan_timer = Some(cx.after(left));
                }
            }
            None => self.request(requests),
        }
        self.turn(cx);
    }

    fn word(&mut self, cx: &mut Cx, word: &[u8]) {
        self.announced(word);
        self.turn(cx);
    }

    fn stopping(&mut self, _cx: &mut Cx) -> Stop {
        Stop::Now
    }

    fn tables_changed(&self) -> Option<String> {
        self.shared.addresses.changed()
    }
}
