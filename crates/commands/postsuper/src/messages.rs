//! Work on messages, by ID or all of them.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::SystemTime;

use host_spool::{DeliveryLog, Disk, Queue, Spool, WalkEntry, is_ready};
use mail_record::QueueId;

use crate::options::{Action, Operation, Target};
use crate::plural;
use crate::structure::{file_id, regular_file};

/// Mode bit of a message that expires at its next delivery attempt.
const EXPIRE_BIT: u32 = 0o010;
/// Times that all queues are searched for an ID: a message may move meanwhile.
const ATTEMPTS: usize = 2;

/// Messages worked on so far; `None`: not asked for.
#[derive(Debug, Default)]
struct Counts {
    requeued: Option<u64>,
    deleted: Option<u64>,
    expired: Option<u64>,
    held: Option<u64>,
    released: Option<u64>,
}

/// One kind of change to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Requeue,
    Delete,
    Expire,
    Hold,
    Release,
}

impl Step {
    /// What the log says of one message.
    const fn done(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Delete => "removed",
            Self::Expire => "expired",
            Self::Hold => "placed on hold",
            Self::Release => "released from hold",
        }
    }
}

/// The work on messages.
pub struct Messages<'a> {
    spool: &'a Spool,
    directories: &'a [String],
    counts: Counts,
}

impl<'a> Messages<'a> {
    pub fn new(spool: &'a Spool, directories: &'a [String]) -> Self {
        Self { spool, directories, counts: Counts::default() }
    }

    /// Does one action of the command line.
    pub fn act(&mut self, action: &Action) -> Result<(), String> {
        let steps: &[Step] = match action.operation {
            Operation::Delete => &[Step::Delete],
            Operation::Expire => &[Step::Expire],
            Operation::ExpireAndRelease => &[Step::Expire, Step::Release],
            Operation::Hold => &[Step::Hold],
            Operation::Release => &[Step::Release],
            Operation::Requeue => &[Step::Requeue],
        };
        for &step in steps {
            self.count(step, 0);
            for target in &action.targets {
                match target {
                    Target::All => self.all(step)?,
                    Target::Id(text) => self.one(step, text)?,
                }
            }
        }
        Ok(())
    }

    /// The closing lines, in the order of the reference.
    pub fn report(&self) {
        for (what, count) in [
            ("Requeued", self.counts.requeued),
            ("Deleted", self.counts.deleted),
            ("Force-expired", self.counts.expired),
            ("Placed on hold", self.counts.held),
            ("Released from hold", self.counts.released),
        ] {
            if let Some(count) = count {
                os_log::info!("{what}: {count} message{}", plural(count));
            }
        }
    }

    fn count(&mut self, step: Step, more: u64) {
        let counter = match step {
            Step::Requeue => &mut self.counts.requeued,
            Step::Delete => &mut self.counts.deleted,
            Step::Expire => &mut self.counts.expired,
            Step::Hold => &mut self.counts.held,
            Step::Release => &mut self.counts.released,
        };
        *counter = Some(counter.unwrap_or(0) + more);
    }

    fn queues(&self) -> impl Iterator<Item = Queue> {
        self.directories.iter().filter_map(|name| Queue::from_str(name).ok())
    }

    fn one(&mut self, step: Step, text: &str) -> Result<(), String> {
        let Ok(id) = QueueId::parse(text) else {
            os_log::warning!("invalid mail queue id: {text}");
            return Ok(());
        };
        let queues: Vec<Queue> = self.queues().collect();
        for queue in std::iter::repeat_n(queues, ATTEMPTS).flatten() {
            if self.change(step, queue, &id)? {
                os_log::info!("{id}: {}", step.done());
                self.count(step, 1);
                return Ok(());
            }
        }
        Ok(())
    }

    fn all(&mut self, step: Step) -> Result<(), String> {
        for name in self.directories {
            let queue = Queue::from_str(name).ok();
            // Listed first, because some steps move files into a directory that is still to be visited.
            let entries: Vec<_> = self.spool.walk(name).filter_map(Result::ok).collect();
            for entry in entries {
                let Some(metadata) = regular_file(self.spool, name, &entry)? else { continue };
                // As in the reference, unfinished files too, whatever their name when they are to be removed.
                if step == Step::Delete {
                    self.delete_any(&entry, queue)?;
                    continue;
                }
                let Some(id) = file_id(&entry) else { continue };
                let here = queue.is_some_and(|queue| applies(step, queue));
                if here && self.apply(step, &entry.path, &id, &metadata)? {
                    self.count(step, 1);
                }
            }
        }
        Ok(())
    }

    fn delete_any(&mut self, entry: &WalkEntry, queue: Option<Queue>) -> Result<(), String> {
        match self.spool.disk().unlink(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove file", &entry.path.to_string_lossy(), &error));
            }
            Ok(())
                if queue.is_some()
                    && entry.name.to_str().is_some_and(|name| QueueId::parse(name).is_ok()) =>
            {
                self.count(Step::Delete, 1);
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    fn remove_logs(&self, id: &QueueId) -> Result<(), String> {
        for log in DeliveryLog::ALL {
            self.spool
                .remove_log(log, id)
                .map_err(|error| failed("remove file", &format!("{}/{id}", log.name()), &error))?;
        }
        Ok(())
    }

    /// Changes the message if it is in this queue, complete, and the step applies there.
    fn change(&self, step: Step, queue: Queue, id: &QueueId) -> Result<bool, String> {
        if !applies(step, queue) {
            return Ok(false);
        }
        let path = self.spool.path(queue, id);
        let Some(metadata) = std::fs::symlink_metadata(&path).ok().filter(is_ready) else { return Ok(false) };
        match step {
            Step::Delete => self.remove_logs(id)?,
            // Pickup shows this time as the date of the message.
            Step::Requeue => {
                let _ = self.spool.disk().set_times(&path, SystemTime::now());
            }
            Step::Expire | Step::Hold | Step::Release => {}
        }
        self.apply(step, &path, id, &metadata)
    }

    /// Changes one file; `false`: there was nothing to change.
    fn apply(&self, step: Step, path: &Path, id: &QueueId, metadata: &Metadata) -> Result<bool, String> {
        let spool = self.spool;
        let move_to = |queue: Queue| spool.move_path(path, &spool.path(queue, id));
        let result = match step {
            Step::Requeue => move_to(Queue::Maildrop),
            Step::Hold => move_to(Queue::Hold),
            Step::Release => move_to(Queue::Deferred),
            Step::Delete => spool.disk().unlink(path),
            Step::Expire => {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & EXPIRE_BIT != 0 || !is_ready(metadata) {
                    return Ok(false);
                }
                spool.disk().set_mode_of(path, mode | EXPIRE_BIT)
            }
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("change file", &path.to_string_lossy(), &error)),
            Ok(()) => Ok(true),
        }
    }
}

/// Where a step makes sense.
const fn applies(step: Step, queue: Queue) -> bool {
    match step {
        Step::Requeue | Step::Expire => !matches!(queue, Queue::Maildrop),
        Step::Hold => !matches!(queue, Queue::Maildrop | Queue::Hold),
        Step::Release => matches!(queue, Queue::Hold),
        Step::Delete => true,
    }
}

fn failed(what: &str, path: &str, error: &io::Error) -> String {
    format!("{what} {path}: {}", os_sys::error_text(error))
}
