//! One service: its sockets, its limits, what is known of its processes.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use host_config::master_cf::{Entry, ServiceType};

use crate::endpoint::Endpoint;
use host_daemon::StressBoard;

/// How long a service counts as under stress after it has reached its process limit.
pub(crate) const STRESS_TIME: Duration = Duration::from_secs(1000);

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) entry: Entry,
    pub(crate) endpoint: Endpoint,
    pub(crate) sockets: Vec<OwnedFd>,
    /// The status channel: master's end and the processes' end.
    pub(crate) status: (UnixStream, UnixStream),
    /// Process limit; 0: none.
    pub(crate) limit: usize,
    /// Bumped when the processes must make room for new ones (reload, stress).
    pub(crate) epoch: u64,
    pub(crate) throttled_until: Option<Instant>,
    pub(crate) next_wakeup: Option<Instant>,
    /// A client has come since the start or reload.
    pub(crate) used: bool,
    pub(crate) stress_until: Option<Instant>,
    pub(crate) stress_logged: Option<Instant>,
    /// Tells processes with many sessions about stress.
    pub(crate) stress_board: Option<StressBoard>,
}

/// A process of a service.
#[derive(Debug)]
pub(crate) struct Child {
    /// (name, type) of its service.
    pub(crate) service: (String, ServiceType),
    pub(crate) generation: u32,
    pub(crate) epoch: u64,
    pub(crate) available: bool,
    /// Jobs done, as far as it tells.
    pub(crate) jobs: u64,
    /// It takes clients up to its quota; else one.
    pub(crate) shares_quota: bool,
    pub(crate) quota: usize,
    /// It takes nobody any more.
    pub(crate) retired: bool,
    /// Master has asked it to end.
    pub(crate) dismissed: bool,
}

impl Child {
    /// Sessions that it may hold, for the account of its service.
    fn weight(&self, epoch: u64) -> usize {
        let leaving = self.retired || self.epoch != epoch;
        match (self.shares_quota, leaving) {
            (true, true) => 0,
            (true, false) => self.quota,
            (false, _) => 1,
        }
    }
}

impl Service {
    /// Identity of a service across reloads.
    pub(crate) fn key(&self) -> (String, ServiceType) {
        (self.entry.name.clone(), self.entry.kind)
    }

    /// Whether another process may be started now.
    pub(crate) fn has_room<'a>(&self, children: impl Iterator<Item = &'a Child>) -> bool {
        self.room(children).is_some()
    }

    /// The sessions that one more process may hold (0: any number); `None`: no process may be started.
    pub(crate) fn room<'a>(&self, children: impl Iterator<Item = &'a Child>) -> Option<usize> {
        let mut used = 0;
        for child in children {
            if child.available && !child.retired && child.epoch == self.epoch {
                return None;
            }
            // Of a service that must be alone (a queue has one manager) the old process has to be gone first.
            used += if self.limit == 1 { 1 } else { child.weight(self.epoch) };
        }
        if self.limit == 0 {
            return Some(0);
        }
        self.limit.checked_sub(used).filter(|left| *left > 0)
    }

    /// Whether processes that hold many sessions have as many as the limit allows, all together.
    pub(crate) fn is_full_of_sessions<'a>(&self, children: impl Iterator<Item = &'a Child> + Clone) -> bool {
        children.clone().any(|child| child.shares_quota)
            && children.clone().all(|child| !child.available || child.retired || child.epoch != self.epoch)
            && self.room(children).is_none()
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.throttled_until.is_some()
    }

    pub(crate) fn is_local(&self) -> bool {
        self.endpoint.is_local(self.entry.kind)
    }

    /// Whether processes get `-o stress=`.
    pub(crate) fn knows_stress(&self) -> bool {
        !self.is_local() && self.limit > 1
    }

    pub(crate) fn is_under_stress(&self, now: Instant) -> bool {
        self.stress_until.is_some_and(|until| until > now)
    }

    /// The name in parentheses in messages.
    pub(crate) fn internal_name(&self) -> String {
        self.endpoint.internal_name(&self.entry)
    }

    /// Makes all processes see the end of their status channel: they finish what they do and end.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub(crate) fn dismiss_all(&mut self) -> std::io::Result<()> {
        self.status = status_pair()?;
        self.epoch += 1;
        Ok(())
    }
}

/// A new status channel; master's end does not block.
///
/// # Errors
/// Those of socketpair(2).
pub(crate) fn status_pair() -> std::io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(limit: usize) -> Service {
        let entry = host_config::master_cf::parse("m", "x unix - - n - - x\n", false).unwrap().remove(0);
        let endpoint = Endpoint::Path("private/x".into());
        Service {
            entry,
            endpoint,
            sockets: Vec::new(),
            status: status_pair().unwrap(),
            limit,
            epoch: 1,
            throttled_until: None,
            next_wakeup: None,
            used: false,
            stress_until: None,
            stress_logged: None,
            stress_board: None,
        }
    }

    fn child(available: bool, shares_quota: bool) -> Child {
        Child {
            service: ("x".into(), ServiceType::Unix),
            generation: 1,
            epoch: 1,
            available,
            jobs: 0,
            shares_quota,
            quota: 5,
            retired: false,
            dismissed: false,
        }
    }

    #[test]
    fn sessions_of_all_processes_stay_below_the_limit() {
        let limit = service(10);
        assert_eq!(limit.room([].iter()), Some(10));
        assert_eq!(limit.room([child(true, true)].iter()), None, "one is available");
        assert_eq!(limit.room([child(false, true)].iter()), Some(5));
        assert_eq!(limit.room([child(false, false)].iter()), Some(9), "a classic process is one session");
        assert_eq!(limit.room([child(false, true), child(false, true)].iter()), None);
        let retired = Child { retired: true, ..child(true, true) };
        assert_eq!(limit.room([retired].iter()), Some(10));
        let old = Child { epoch: 0, ..child(true, false) };
        assert_eq!(limit.room([old].iter()), Some(9), "a classic process counts until it ends");
        let full = [child(false, true), child(false, true)];
        assert!(limit.is_full_of_sessions(full.iter()));
        assert!(!limit.is_full_of_sessions([child(false, true), child(true, true)].iter()));
        assert!(!limit.is_full_of_sessions([child(false, true)].iter()), "there is room for another process");
        let leaving = Child { epoch: 0, ..child(false, true) };
        assert_eq!(limit.room([leaving].iter()), Some(10), "its sessions end some day");
        let leaving = Child { epoch: 0, ..child(false, true) };
        assert_eq!(service(1).room([leaving].iter()), None, "never two of one");
        assert_eq!(service(0).room([child(false, false)].iter()), Some(0));
    }
}
