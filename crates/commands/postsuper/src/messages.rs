//! Work on messages, by ID or all of them.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::str::FromStr;
use std::time::SystemTime;

use host_spool::{DeliveryLog, Queue, Spool, is_ready};
use mail_record::QueueId;

use crate::options::{Action, Operation, Target};
use crate::plural;

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
            if self.change(step, queue, &id, true)? {
                os_log::info!("{id}: {}", step.done());
                self.count(step, 1);
                return Ok(());
            }
        }
        Ok(())
    }

    fn all(&mut self, step: Step) -> Result<(), String> {
        if step == Step::Delete {
            return self.delete_all();
        }
        let queues: Vec<Queue> = self.queues().collect();
        for queue in queues.into_iter().filter(|&queue| applies(step, queue)) {
            // Listed first, because some steps move files into a queue that is still to be visited.
            let ids: Vec<_> = self.spool.scan(queue).filter_map(Result::ok).map(|found| found.id).collect();
            for id in ids {
                if self.change(step, queue, &id, false)? {
                    self.count(step, 1);
                }
            }
        }
        Ok(())
    }

    /// Every file of the listed directories, complete messages or not; only the former are counted.
    fn delete_all(&mut self) -> Result<(), String> {
        for name in self.directories {
            let queue = Queue::from_str(name).ok();
            let walk = self.spool.walk(name);
            for entry in walk.filter_map(Result::ok).filter(|entry| !entry.hash_directory) {
                let Ok(metadata) = std::fs::symlink_metadata(&entry.path) else { continue };
                let id = entry.name.to_str().and_then(|name| QueueId::parse(name).ok());
                if let (Some(_), Some(id)) = (queue, &id) {
                    self.remove_logs(id)?;
                }
                match host_spool::Disk::unlink(self.spool.disk(), &entry.path) {
                    Ok(()) if queue.is_some() && is_ready(&metadata) => self.count(Step::Delete, 1),
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound || metadata.is_dir() => {}
                    Err(error) => return Err(failed("remove file", &entry.path.to_string_lossy(), &error)),
                }
            }
        }
        Ok(())
    }

    fn remove_logs(&self, id: &QueueId) -> Result<(), String> {
        for log in DeliveryLog::ALL {
            self.spool.remove_log(log, id).map_err(|error| failed("remove file", &format!("{}/{id}", log.name()), &error))?;
        }
        Ok(())
    }

    /// Changes the message if it is in this queue, complete, and the step applies there.
    fn change(&self, step: Step, queue: Queue, id: &QueueId, by_id: bool) -> Result<bool, String> {
        if !applies(step, queue) {
            return Ok(false);
        }
        let result = self.spool.metadata(queue, id).and_then(|metadata| {
            if !is_ready(&metadata) {
                return Ok(false);
            }
            match step {
                Step::Requeue => {
                    if by_id {
                        self.spool.set_times(queue, id, SystemTime::now())?;
                    }
                    self.spool.rename(id, queue, Queue::Maildrop)?;
                }
                Step::Delete => {
                    self.remove_logs(id).map_err(io::Error::other)?;
                    self.spool.remove(queue, id)?;
                }
                Step::Expire => {
                    let mode = metadata.permissions().mode() & 0o777;
                    if mode & EXPIRE_BIT != 0 {
                        return Ok(false);
                    }
                    self.spool.chmod(queue, id, mode | EXPIRE_BIT)?;
                }
                Step::Hold => self.spool.rename(id, queue, Queue::Hold)?,
                Step::Release => self.spool.rename(id, queue, Queue::Deferred)?,
            }
            Ok(true)
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("change file", &format!("{queue}/{id}"), &error)),
            Ok(changed) => Ok(changed),
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
