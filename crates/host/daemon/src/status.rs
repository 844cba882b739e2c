//! The status channel to master, descriptor 5 (`internal-protocols.md` §2.2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Descriptor of the channel.
const CHANNEL: i32 = 5;

/// Bytes of a message: `int pid; unsigned generation; int state`, native order.
pub const MESSAGE_SIZE: usize = 12;

/// What a process tells about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can take no client.
    Taken = 0,
    /// It can take clients.
    Available = 1,
    /// To our own master only: it takes no client any more and ends when the last one is gone.
    Retired = 2,
    /// To our own master only: it has done its first job, so a later crash is no bad start.
    Served = 3,
    /// To our own master only, at start: "taken" will mean that the whole session quota is in use.
    SharesQuota = 4,
}

impl State {
    /// The state of a number in a message.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Taken),
            1 => Some(Self::Available),
            2 => Some(Self::Retired),
            3 => Some(Self::Served),
            4 => Some(Self::SharesQuota),
            _ => None,
        }
    }
}

/// The channel; nothing is written twice in a row.
#[derive(Debug)]
pub(crate) struct Status {
    channel: OwnedFd,
    generation: u32,
    last: AtomicI32,
    own_master: bool,
    first_job_done: AtomicBool,
}

impl Status {
    /// The channel that master left open. `generation` comes from the environment.
    pub(crate) fn inherited(generation: u32, own_master: bool) -> Option<Self> {
        let channel = os_sys::fd::inherited(CHANNEL).ok()?;
        Some(Self {
            channel,
            generation,
            own_master,
            last: AtomicI32::new(State::Available as i32),
            first_job_done: AtomicBool::new(false),
        })
    }

    /// Reports a change. A master that is gone is noticed by the channel's end of file.
    pub(crate) fn report(&self, state: State) {
        let number = state as i32;
        if self.last.swap(number, Ordering::SeqCst) != number {
            if state == State::Available {
                self.first_job_done.store(true, Ordering::SeqCst);
            }
            self.send(number);
        }
    }

    /// Whether our own master is at the other end.
    pub(crate) fn is_own_master(&self) -> bool {
        self.own_master
    }

    /// Reports, once, that the first job is done, in the words that this master understands.
    pub(crate) fn report_first_job(&self) {
        if self.first_job_done.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.own_master {
            self.send(State::Served as i32);
        } else {
            self.report(State::Taken);
            self.report(State::Available);
        }
    }

    /// Tells our own master that this process knows its quota.
    pub(crate) fn report_shares_quota(&self) {
        if self.own_master {
            self.send(State::SharesQuota as i32);
        }
    }

    /// Reports that no new client is taken; a reference master learns it from the exit.
    pub(crate) fn report_retired(&self) {
        if self.own_master {
            self.report(State::Retired);
        }
    }

    fn send(&self, state: i32) {
        let mut message = Vec::with_capacity(MESSAGE_SIZE);
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        message.extend_from_slice(&pid.to_ne_bytes());
        message.extend_from_slice(&self.generation.to_ne_bytes());
        message.extend_from_slice(&state.to_ne_bytes());
        let _ = nix::unistd::write(&self.channel, &message);
    }
}

impl AsFd for Status {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
