//! Ends a process whose work does not come to an end (`daemon_timeout`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pieces of work in progress, by number.
type Work = Arc<Mutex<(u64, BTreeMap<u64, Instant>)>>;

/// Watches pieces of work from a thread of its own.
#[derive(Clone, Debug)]
pub struct Watchdog(Work);

/// A piece of work; done when dropped.
#[derive(Debug)]
pub struct Watched {
    work: Work,
    number: u64,
}

impl Watchdog {
    /// Starts watching with this limit for each piece of work.
    #[must_use]
    pub fn start(limit: Duration) -> Self {
        let work: Work = Arc::default();
        let watched = Arc::clone(&work);
        let pause = (limit / 4).clamp(Duration::from_secs(1), Duration::from_secs(60));
        let body = move || loop {
            std::thread::sleep(pause);
            let oldest = watched.lock().unwrap_or_else(PoisonError::into_inner).1.values().min().copied();
            if oldest.is_some_and(|since| since.elapsed() > limit) {
                os_log::fatal!("watchdog timeout");
            }
        };
        if std::thread::Builder::new().name("watchdog".into()).stack_size(64 * 1024).spawn(body).is_err() {
            os_log::warning!("cannot start the watchdog thread");
        }
        Self(work)
    }

    /// Starts the clock for one piece of work.
    #[must_use]
    pub fn watch(&self) -> Watched {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work.0 += 1;
        let number = work.0;
        work.1.insert(number, Instant::now());
        Watched { work: Arc::clone(&self.0), number }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.number);
    }
}
