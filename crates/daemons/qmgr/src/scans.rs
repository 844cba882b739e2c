//! Scans of the incoming and deferred queues: which file is looked at next.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use host_spool::{Found, Queue, Scan, Spool, is_ready};
use os_sys::error_text;

/// How a scan treats what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanFlags {
    /// `A`: files that are not due as well.
    pub all: bool,
    /// `F`: `defer_transports` does not count.
    pub flush: bool,
}

impl ScanFlags {
    fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.flush |= other.flush;
    }
}

/// The scan of one queue; a request while it runs makes another one follow.
pub struct QueueScan {
    queue: Queue,
    running: Option<Scan>,
    again: bool,
    flags: ScanFlags,
    next_flags: ScanFlags,
}

/// What the next step of a scan gave.
pub enum Step {
    /// A file that is due.
    Due(Found),
    /// A file that is not (yet) for us.
    Skipped,
    /// No scan runs any more.
    End,
}

impl QueueScan {
    /// No scan runs.
    #[must_use]
    pub const fn new(queue: Queue) -> Self {
        let none = ScanFlags { all: false, flush: false };
        Self { queue, running: None, again: false, flags: none, next_flags: none }
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> Queue {
        self.queue
    }

    /// Flags of the running scan.
    #[must_use]
    pub const fn flags(&self) -> ScanFlags {
        self.flags
    }

    /// Whether a scan runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Takes a request: flags count for the running scan and the next one; `start`: scan now, or again.
    pub fn request(&mut self, spool: &Spool, start: bool, flags: ScanFlags) {
        self.next_flags.add(flags);
        self.flags.add(flags);
        if !start {
            return;
        }
        if self.running.is_some() {
            self.again = true;
        } else {
            self.begin(spool);
        }
    }

    fn begin(&mut self, spool: &Spool) {
        self.flags = std::mem::take(&mut self.next_flags);
        self.again = false;
        self.running = Some(spool.scan(self.queue));
    }

    /// Looks at the next file. `now` in seconds since the epoch.
    pub fn step(&mut self, spool: &Spool, now: i64) -> Step {
        let Some(scan) = &mut self.running else { return Step::End };
        match scan.next() {
            Some(Ok(found)) => {
                if due_size(&found, self.flags.all, now).is_some() {
                    Step::Due(found)
                } else {
                    Step::Skipped
                }
            }
            Some(Err(error)) => {
                os_log::warning!("scan {}: {error}", self.queue, error = error_text(&error));
                Step::Skipped
            }
            None => {
                self.running = None;
                if self.again {
                    self.begin(spool);
                    return Step::Skipped;
                }
                Step::End
            }
        }
    }
}

/// The size of a file that is complete, not corrupt, and due (`all`: whatever its time says); `now` in seconds since the
/// epoch.
pub fn due_size(found: &Found, all: bool, now: i64) -> Option<u64> {
    match std::fs::symlink_metadata(&found.path) {
        Ok(metadata) => {
            let exact = metadata.permissions().mode() & 0o700 == 0o700 && is_ready(&metadata);
            (exact && (all || metadata.mtime() <= now + 1)).then_some(metadata.len())
        }
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                os_log::warning!("{}: {error}", found.path.display(), error = error_text(&error));
            }
            None
        }
    }
}

/// Requests in one trigger: `I` and `W` incoming, `D` deferred, `A` all, `F` flush; other characters mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Scan incoming.
    pub incoming: bool,
    /// Scan deferred.
    pub deferred: bool,
    /// Flags of both.
    pub flags: ScanFlags,
}

impl Requests {
    /// From the bytes of a trigger.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let has = |byte: u8| bytes.contains(&byte);
        Self {
            incoming: has(b'I') || has(b'W'),
            deferred: has(b'D'),
            flags: ScanFlags { all: has(b'A'), flush: has(b'F') },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigger_bytes_are_a_set() {
        let flags = ScanFlags { all: true, flush: true };
        assert_eq!(Requests::parse(b"FADI\0"), Requests { incoming: true, deferred: true, flags });
        assert_eq!(Requests::parse(b"W"), Requests { incoming: true, ..Requests::default() });
        assert_eq!(Requests::parse(b"x"), Requests::default());
    }
}
