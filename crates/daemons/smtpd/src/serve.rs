//! The event loop: which session waits for what.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use host_daemon::{
    Client, Cx, Error, EventService, Interest, Readiness, Startup, Stream, StressBoard, TimerId, Token, Waker,
};
use mio::unix::SourceFd;
use proto_smtp::server::Session;

use crate::backend::Backend;
use crate::connect;
use crate::drive::{Conn, Stopped};
use crate::pool::Pool;
use crate::services::Services;

/// Threads for blocking work, at the most, whatever the number of sessions.
const THREADS: usize = 64;

/// A session, or the place it will come back to.
struct Slot {
    conn: Option<Box<Conn>>,
    /// Something happened on the connection while a thread had it.
    pending: bool,
    /// The client has sent its last byte.
    ended: bool,
    /// When silence ends the session, or a pause ends.
    deadline: Instant,
    paused: bool,
}

type Shared = Arc<Mutex<Slot>>;

/// What the loop knows of a session, wherever it is.
struct Entry {
    slot: Shared,
    /// Its last stream to cleanup.
    stream: Option<Token>,
    /// Room for output is watched for.
    watches_room: bool,
    /// The timer for [`Slot::deadline`]; there is always one.
    limit: TimerId,
}

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The time limit of a session, or of what it waits for: looks again as long as the session lives.
    Limit,
    /// The end of a pause.
    Pause,
}

/// What a thread has to tell the loop.
enum News {
    /// The session pauses until then.
    Paused(Token, Instant),
    /// It waits for cleanup.
    Waits(Token),
    /// It waits for the client to take its output.
    Blocked(Token),
    /// It is over.
    Closed(Token),
}

/// The service.
pub(crate) struct Smtpd {
    services: Arc<Services>,
    /// What sessions begin with while master's board says that the service is under stress.
    stressed: Option<(StressBoard, Arc<Services>)>,
    slots: HashMap<Token, Entry>,
    /// The sessions of streams to cleanup.
    streams: HashMap<Token, Token>,
    timers: HashMap<TimerId, (Token, Purpose)>,
    pool: Pool,
    sender: Sender<News>,
    receiver: Receiver<News>,
    waker: Option<Waker>,
}

fn lock(slot: &Shared) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Smtpd {
    /// Reads the configuration and opens tables; still as root.
    pub fn new(startup: &mut Startup) -> Result<Self, Error> {
        let services = Arc::new(Services::new(startup)?);
        let stressed = match startup.stress.take() {
            Some(board) => {
                startup.config.set("stress", "yes");
                Some((board, Arc::new(Services::new(startup)?)))
            }
            None => None,
        };
        let (sender, receiver) = channel();
        let threads = if startup.quota == 0 { THREADS } else { startup.quota.min(THREADS) };
        Ok(Self {
            services,
            stressed,
            slots: HashMap::new(),
            streams: HashMap::new(),
            timers: HashMap::new(),
            pool: Pool::new(threads),
            sender,
            receiver,
            waker: None,
        })
    }

    /// What a session that begins now works with.
    fn services_of_now(&self) -> Arc<Services> {
        match &self.stressed {
            Some((board, stressed)) if board.is_raised() => Arc::clone(stressed),
            Some(_) | None => Arc::clone(&self.services),
        }
    }

    /// Goes on with a session that the loop holds.
    fn resume(&mut self, cx: &mut Cx, token: Token, mut conn: Box<Conn>) {
        match conn.run(false) {
            Stopped::MayBlock => self.hand_over(cx, token, conn),
            Stopped::Waits => self.wait(cx, token, conn),
            Stopped::Idle(deadline) => self.idle(cx, token, conn, deadline),
            Stopped::Paused(until) => {
                self.put_back(token, conn, until, true);
                self.start_timer(cx, token, until, Purpose::Pause);
            }
            Stopped::Closed => self.close(cx, token, conn),
        }
    }

    /// Leaves the session until the client does something.
    fn idle(&mut self, cx: &mut Cx, token: Token, conn: Box<Conn>, deadline: Instant) {
        let blocked = conn.blocked;
        let fd = conn.stream.as_fd().as_raw_fd();
        self.put_back(token, conn, deadline, false);
        let Some(entry) = self.slots.get_mut(&token) else { return };
        if !blocked || std::mem::replace(&mut entry.watches_room, true) {
            return;
        }
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = cx.reregister(&mut SourceFd(&fd), token, both) {
            // Without news from the loop there is only the time limit.
            os_log::warning!("cannot watch a connection: {}", os_sys::error_text(&error));
        }
    }

    /// Leaves the session until cleanup says something.
    fn wait(&mut self, cx: &mut Cx, token: Token, mut conn: Box<Conn>) {
        match conn.backend.watch(cx) {
            Ok(Some(stream)) => {
                let entry = self.slots.get_mut(&token);
                let before = entry.and_then(|entry| entry.stream.replace(stream));
                if before != Some(stream) {
                    before.map(|before| self.streams.remove(&before));
                    self.streams.insert(stream, token);
                }
            }
            Ok(None) => {}
            Err(error) => {
                // Without news from the loop there is only the time limit.
                os_log::warning!("cannot watch a connection: {}", os_sys::error_text(&error));
            }
        }
        let deadline = cx.now() + self.services.ipc_timeout;
        self.put_back(token, conn, deadline, false);
    }

    /// A thread left a session whose output waits for room.
    fn blocked(&mut self, cx: &mut Cx, token: Token) {
        let Some(entry) = self.slots.get(&token) else { return };
        let (conn, deadline) = {
            let mut slot = lock(&entry.slot);
            (slot.conn.take(), slot.deadline)
        };
        if let Some(conn) = conn {
            self.idle(cx, token, conn, deadline);
        }
    }

    fn put_back(&mut self, token: Token, conn: Box<Conn>, deadline: Instant, paused: bool) {
        if let Some(entry) = self.slots.get(&token) {
            let mut slot = lock(&entry.slot);
            slot.conn = Some(conn);
            slot.deadline = deadline;
            slot.paused = paused;
        }
    }

    fn start_timer(&mut self, cx: &mut Cx, token: Token, until: Instant, purpose: Purpose) -> TimerId {
        let timer = cx.after(until.saturating_duration_since(Instant::now()));
        self.timers.insert(timer, (token, purpose));
        timer
    }

    /// Starts the timer for the time limit anew.
    fn look_again(&mut self, cx: &mut Cx, token: Token, at: Instant) {
        let limit = self.start_timer(cx, token, at, Purpose::Limit);
        if let Some(entry) = self.slots.get_mut(&token) {
            entry.limit = limit;
        }
    }

    fn close(&mut self, cx: &mut Cx, token: Token, conn: Box<Conn>) {
        if conn.backend.may_block_at_end() || conn.session.has_notices() {
            return self.hand_over(cx, token, conn);
        }
        finish(conn);
        self.forget(cx, token);
    }

    fn forget(&mut self, cx: &mut Cx, token: Token) {
        if let Some(entry) = self.slots.remove(&token) {
            cx.cancel(entry.limit);
            entry.stream.map(|stream| self.streams.remove(&stream));
            self.timers.remove(&entry.limit);
            cx.session_done();
        }
    }

    /// Lets a thread go on with the session.
    fn hand_over(&mut self, cx: &mut Cx, token: Token, conn: Box<Conn>) {
        let Some(slot) = self.slots.get(&token).map(|entry| Arc::clone(&entry.slot)) else { return };
        let waker = self.waker.get_or_insert_with(|| cx.waker()).clone();
        let sender = self.sender.clone();
        self.pool.submit(Box::new(move || {
            if let Some(news) = work(&slot, conn, token) {
                // The loop ends before its threads only when the process ends.
                let _ = sender.send(news);
                waker.wake();
            }
        }));
    }
}

/// A thread's part: the session until it waits for the client.
fn work(slot: &Shared, mut conn: Box<Conn>, token: Token) -> Option<News> {
    loop {
        match conn.run(true) {
            // Never with leave to block, but then the next round does it.
            Stopped::MayBlock => {}
            Stopped::Closed => {
                finish(conn);
                return Some(News::Closed(token));
            }
            Stopped::Waits => {
                let mut slot = lock(slot);
                if !std::mem::take(&mut slot.pending) {
                    slot.paused = false;
                    slot.conn = Some(conn);
                    return Some(News::Waits(token));
                }
                conn.news(slot.ended);
            }
            Stopped::Idle(deadline) => {
                let mut slot = lock(slot);
                if !std::mem::take(&mut slot.pending) {
                    let news = conn.blocked.then_some(News::Blocked(token));
                    slot.deadline = deadline;
                    slot.paused = false;
                    slot.conn = Some(conn);
                    return news;
                }
                conn.news(slot.ended);
            }
            Stopped::Paused(until) => {
                let mut slot = lock(slot);
                if std::mem::take(&mut slot.pending) {
                    conn.news(slot.ended);
                }
                slot.deadline = until;
                slot.paused = true;
                slot.conn = Some(conn);
                return Some(News::Paused(token, until));
            }
        }
    }
}

fn finish(mut conn: Box<Conn>) {
    conn.farewell();
}

impl EventService for Smtpd {
    fn connected(&mut self, cx: &mut Cx, client: Client) {
        let client_facts = connect::client_of(&client, self.services.standalone);
        let stream = Arc::new(client.stream);
        let fd = stream.as_fd().as_raw_fd();
        let token = match cx.register(&mut SourceFd(&fd), Interest::READABLE) {
            Ok(token) => token,
            Err(error) => {
                os_log::warning!("cannot watch a connection: {error}");
                return cx.session_done();
            }
        };
        let now = Instant::now();
        let services = self.services_of_now();
        let deadline = now + services.settings.timeout;
        let session = Session::new(Arc::clone(&services.settings), client_facts, now);
        let is_trusted = matches!(*stream, Stream::Unix(_)) || services.standalone;
        let backend = Backend::new(services, is_trusted);
        let mut conn = Box::new(Conn::new(session, backend, stream));
        conn.look_ahead();
        let slot =
            Arc::new(Mutex::new(Slot { conn: None, pending: false, ended: false, deadline, paused: false }));
        let limit = self.start_timer(cx, token, deadline, Purpose::Limit);
        self.slots.insert(token, Entry { slot, stream: None, watches_room: false, limit });
        self.resume(cx, token, conn);
    }

    fn ready(&mut self, cx: &mut Cx, token: Token, readiness: Readiness) {
        let stream_of = self.streams.get(&token).copied();
        let token = stream_of.unwrap_or(token);
        let Some(entry) = self.slots.get(&token) else { return };
        let conn = {
            let mut slot = lock(&entry.slot);
            slot.ended |= readiness.ended && stream_of.is_none();
            match slot.conn.take() {
                Some(mut conn) => {
                    conn.news(slot.ended);
                    conn
                }
                None => {
                    slot.pending = true;
                    return;
                }
            }
        };
        self.resume(cx, token, conn);
    }

    fn timer(&mut self, cx: &mut Cx, timer: TimerId) {
        let Some((token, purpose)) = self.timers.remove(&timer) else { return };
        let Some(entry) = self.slots.get(&token) else { return };
        let now = Instant::now();
        let (due, conn) = {
            let mut slot = lock(&entry.slot);
            let mine = slot.deadline <= now && slot.paused == (purpose == Purpose::Pause);
            (slot.deadline, if mine { slot.conn.take() } else { None })
        };
        match (purpose, conn) {
            (Purpose::Pause, Some(conn)) => self.resume(cx, token, conn),
            (Purpose::Pause, None) => {}
            (Purpose::Limit, Some(mut conn)) => {
                if conn.backend.give_up() {
                    self.look_again(cx, token, now + self.services.settings.timeout);
                    self.resume(cx, token, conn);
                } else {
                    conn.timed_out();
                    self.close(cx, token, conn);
                }
            }
            // Busy, paused or not yet due.
            (Purpose::Limit, None) => self.look_again(cx, token, due.max(now + Duration::from_millis(500))),
        }
    }

    fn woken(&mut self, cx: &mut Cx) {
        while let Ok(news) = self.receiver.try_recv() {
            match news {
                News::Closed(token) => self.forget(cx, token),
                News::Waits(token) => {
                    let conn = self.slots.get(&token).and_then(|entry| lock(&entry.slot).conn.take());
                    if let Some(conn) = conn {
                        self.wait(cx, token, conn);
                    }
                }
                News::Blocked(token) => self.blocked(cx, token),
                News::Paused(token, until) => {
                    self.start_timer(cx, token, until, Purpose::Pause);
                }
            }
        }
    }

    fn tables_changed(&self) -> Option<String> {
        self.services.changed()
    }
}
