//! Waiting for an event with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for an event before it fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls `probe` until it has a value; panics with `what` after [`DEADLINE`].
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    match until_deadline(DEADLINE, &mut probe) {
        Some(value) => value,
        None => panic!("timed out waiting for {what}"),
    }
}

/// Polls `probe` until it has a value or `limit` has passed.
pub(crate) fn until_deadline<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(30));
    }
}
