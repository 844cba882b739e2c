//! Threads for what may block: started when needed, gone when idle.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(30);

/// Work for a thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// The pool.
pub(crate) struct Pool {
    shared: Arc<(Mutex<State>, Condvar)>,
    limit: usize,
}

impl Pool {
    /// A pool of at most `limit` threads.
    pub fn new(limit: usize) -> Self {
        let state = State { jobs: VecDeque::new(), threads: 0, idle: 0 };
        Self { shared: Arc::new((Mutex::new(state), Condvar::new())), limit: limit.max(1) }
    }

    /// Runs `job` on some thread, soon.
    pub fn submit(&self, job: Job) {
        let (lock, wake) = &*self.shared;
        let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() || state.threads >= self.limit {
            wake.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let started = std::thread::Builder::new().name("pool".into()).spawn(move || work(&shared));
        if let Err(error) = started {
            os_log::warning!("cannot start a thread: {error}");
            lock.lock().unwrap_or_else(PoisonError::into_inner).threads -= 1;
        }
    }
}

fn work(shared: &(Mutex<State>, Condvar)) {
    let (lock, wake) = shared;
    let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(job) = state.jobs.pop_front() {
            drop(state);
            job();
            state = lock.lock().unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        state.idle += 1;
        let (next, timeout) = wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
        state = next;
        state.idle -= 1;
        if timeout.timed_out() && state.jobs.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn blocked_jobs_do_not_stop_others() {
        let pool = Pool::new(3);
        let (release, gate) = mpsc::channel::<()>();
        let (done, results) = mpsc::channel();
        pool.submit(Box::new(move || {
            let _ = gate.recv();
        }));
        for number in 0..20 {
            let done = done.clone();
            pool.submit(Box::new(move || {
                let _ = done.send(number);
            }));
        }
        let mut seen: Vec<i32> = results.iter().take(20).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        drop(release);
    }
}
