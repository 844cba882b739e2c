//! In-flow tokens: how cleanup waits for qmgr (`internal-protocols.md` §2.5).

/// The pipe on descriptors 3 and 4, one for the whole instance. A token is one byte. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct FlowPipe(());

impl FlowPipe {
    /// Takes up to `count` tokens without waiting; how many there were. Without a pipe (stand-alone): all of them.
    #[must_use]
    pub fn take(&self, _count: usize) -> usize {
        todo!("os")
    }

    /// Gives `count` tokens; a full pipe is no error.
    pub fn put(&self, _count: usize) {
        todo!("os")
    }

    /// How many tokens are in the pipe.
    #[must_use]
    pub fn level(&self) -> usize {
        todo!("os")
    }
}
