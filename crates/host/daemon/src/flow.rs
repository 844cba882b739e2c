//! In-flow tokens: how cleanup waits for qmgr (`internal-protocols.md` §2.5).

use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Descriptor of the read end.
const READ_END: i32 = 3;
/// Descriptor of the write end.
const WRITE_END: i32 = 4;
/// Most tokens moved by one call.
const BURST: usize = 1024;

/// The pipe on descriptors 3 and 4, one for the whole instance. A token is one byte. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct FlowPipe(Option<Arc<(OwnedFd, OwnedFd)>>);

impl FlowPipe {
    /// The pipe that master left open.
    pub(crate) fn inherited() -> Self {
        let ends = os_sys::fd::inherited(READ_END).and_then(|r| Ok((r, os_sys::fd::inherited(WRITE_END)?)));
        Self(ends.ok().map(Arc::new))
    }

    /// Takes up to `count` tokens without waiting; how many there were. Without a pipe (stand-alone): all of them.
    #[must_use]
    pub fn take(&self, count: usize) -> usize {
        let Some(ends) = &self.0 else { return count };
        let mut tokens = [0u8; BURST];
        let room = tokens.get_mut(..count.min(BURST)).unwrap_or_default();
        nix::unistd::read(&ends.0, room).unwrap_or(0)
    }

    /// Gives `count` tokens; a full pipe is no error.
    pub fn put(&self, count: usize) {
        let Some(ends) = &self.0 else { return };
        let tokens = [0u8; BURST];
        // Full: nobody takes tokens, so nobody misses these.
        let _ = nix::unistd::write(&ends.1, tokens.get(..count.min(BURST)).unwrap_or_default());
    }

    /// How many tokens are in the pipe.
    #[must_use]
    pub fn level(&self) -> usize {
        self.0.as_ref().map_or(0, |ends| os_sys::fd::readable_bytes(&ends.0).unwrap_or(0))
    }
}
