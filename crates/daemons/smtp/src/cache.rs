//! Sessions kept for the next message to the same destination (`smtp_connection_cache_*`), inside this process.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::session::Session;
use crate::settings::Settings;

/// Sessions held at the most.
const SESSION_LIMIT: usize = 500;

struct Idle {
    session: Box<Session>,
    until: Instant,
}

#[derive(Default)]
struct Sessions {
    by_destination: HashMap<String, Vec<Idle>>,
    count: usize,
    reaper: bool,
}

/// The cache.
pub struct Cache {
    settings: Arc<Settings>,
    shared: Arc<(Mutex<Sessions>, Condvar)>,
}

impl Cache {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, shared: Arc::default() }
    }

    /// An idle session to this destination, no longer in the cache.
    pub fn take(&self, destination: &str) -> Option<Session> {
        let mut sessions = lock(&self.shared.0);
        loop {
            let idle = sessions.by_destination.get_mut(destination)?.pop();
            let Some(idle) = idle else {
                sessions.by_destination.remove(destination);
                return None;
            };
            sessions.count -= 1;
            // A server that speaks unasked is about to hang up.
            if Instant::now() < idle.until && !idle.session.stream.is_readable() {
                return Some(*idle.session);
            }
        }
    }

    /// Keeps a session for a while; gives it back when it is too old or the cache is full.
    pub fn put(&self, destination: &str, session: Box<Session>) -> Result<(), Box<Session>> {
        let now = Instant::now();
        let mut sessions = lock(&self.shared.0);
        if session.dead || now >= session.expires || sessions.count >= SESSION_LIMIT {
            return Err(session);
        }
        let until = (now + self.settings.timeouts.cache).min(session.expires);
        sessions.by_destination.entry(destination.to_owned()).or_default().push(Idle { session, until });
        sessions.count += 1;
        if sessions.reaper {
            return Ok(());
        }
        sessions.reaper = true;
        drop(sessions);
        let (shared, settings) = (Arc::clone(&self.shared), Arc::clone(&self.settings));
        let started =
            std::thread::Builder::new().name("cache".into()).spawn(move || reap(&shared, &settings));
        if let Err(error) = started {
            os_log::warning!("start connection cache thread: {error}");
            lock(&self.shared.0).reaper = false;
        }
        Ok(())
    }
}

/// Ends sessions whose time is over; ends itself with the last.
fn reap(shared: &(Mutex<Sessions>, Condvar), settings: &Settings) {
    loop {
        let mut sessions = lock(&shared.0);
        let now = Instant::now();
        let mut over = Vec::new();
        let mut next: Option<Instant> = None;
        for idle in sessions.by_destination.values_mut() {
            over.extend(idle.extract_if(.., |i| i.until <= now));
            next = idle.iter().map(|i| i.until).chain(next).min();
        }
        sessions.by_destination.retain(|_, idle| !idle.is_empty());
        sessions.count -= over.len();
        let Some(next) = next else {
            sessions.reaper = false;
            drop(sessions);
            over.into_iter().for_each(|mut idle| idle.session.quit(settings));
            return;
        };
        drop(sessions);
        over.into_iter().for_each(|mut idle| idle.session.quit(settings));
        let wait = next.saturating_duration_since(now).max(Duration::from_millis(50));
        let sessions = lock(&shared.0);
        drop(shared.1.wait_timeout(sessions, wait));
    }
}

fn lock(sessions: &Mutex<Sessions>) -> MutexGuard<'_, Sessions> {
    // A panic elsewhere leaves the map as it was between two statements that do not panic.
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}
