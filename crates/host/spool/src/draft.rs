//! A queue file being written: 0600 until [`Draft::commit`] has it complete, 0700 and on stable storage.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use mail_record::{Kind, QueueId};

use crate::{Disk, Queue, QueueFile, Real, Spool};

/// Bytes kept before a write(2).
const BUFFER_BYTES: usize = 64 * 1024;

/// A queue file that is not complete yet. Dropped without [`Draft::commit`] it is removed.
///
/// Offsets are file offsets. The bytes of a message under 64 KiB reach the disk in one write(2).
#[derive(Debug)]
pub struct Draft<D: Disk = Real> {
    spool: Spool<D>,
    file: File,
    queue: Queue,
    id: QueueId,
    extra_mode: u32,
    buffer: Vec<u8>,
    written: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Finished,
}

impl<D: Disk> Draft<D> {
    pub(crate) fn new(spool: Spool<D>, file: File, queue: Queue, id: QueueId, extra_mode: u32) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES / 8);
        Self { spool, file, queue, id, extra_mode, buffer, written: 0, state: State::Open }
    }

    /// The queue ID.
    #[must_use]
    pub fn id(&self) -> &QueueId {
        &self.id
    }

    /// Where the file stands now.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.queue
    }

    /// The path, for messages.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.spool.layout().path(self.queue.name(), &self.id)
    }

    /// Appends a record at the end of the file.
    ///
    /// # Errors
    /// Those of write(2), when the buffer is full.
    pub fn put(&mut self, kind: Kind, data: &[u8]) -> io::Result<()> {
        mail_record::put(&mut self.buffer, kind, data);
        self.spill()
    }

    /// Appends whole records in their wire form.
    ///
    /// # Errors
    /// As [`Draft::put`].
    pub fn put_encoded(&mut self, records: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(records);
        self.spill()
    }

    /// Offset of the end of the file, which is that of the next record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Replaces bytes that were put before: a C record, a pointer, a mark.
    ///
    /// # Errors
    /// `InvalidInput` when the range is not wholly inside the file; else those of pwrite(2).
    pub fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.position() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "overwrite after the end of a queue file",
            ));
        }
        if end <= self.written {
            return self.spool.disk().write(&self.file, offset, bytes);
        }
        if offset < self.written {
            self.flush()?;
            return self.spool.disk().write(&self.file, offset, bytes);
        }
        let start = usize::try_from(offset - self.written).unwrap_or(usize::MAX);
        if let Some(place) = self.buffer.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Replaces the record at `offset` by one of the same size on disk.
    ///
    /// # Errors
    /// As [`Draft::overwrite`].
    pub fn overwrite_record(&mut self, offset: u64, kind: Kind, data: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(data.len() + 5);
        mail_record::put(&mut bytes, kind, data);
        self.overwrite(offset, &bytes)
    }

    /// Hands what is buffered to the kernel.
    ///
    /// # Errors
    /// Those of pwrite(2).
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.spool.disk().write(&self.file, self.written, &self.buffer)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    /// A reader of what was put so far, at offset 0 (milter edits read back).
    ///
    /// # Errors
    /// Those of pwrite(2) and dup(2).
    pub fn reader(&mut self) -> io::Result<QueueFile<D>> {
        self.flush()?;
        Ok(QueueFile::new(self.spool.disk().clone(), self.file.try_clone()?))
    }

    /// Moves the unfinished file to the hold queue (`HOLD` action), so that it never shows up ready in `incoming`.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn move_to_hold(&mut self) -> io::Result<()> {
        if self.queue != Queue::Hold {
            self.spool.rename(&self.id, self.queue, Queue::Hold)?;
            self.queue = Queue::Hold;
        }
        Ok(())
    }

    /// Completes the file: what is buffered goes out, the mode becomes ready, then one fsync(2).
    /// The C record is the caller's to rewrite before. Only after `Ok` may the message be acknowledged.
    ///
    /// # Errors
    /// Those of the calls, fsync(2) included; the file is then removed.
    pub fn commit(mut self) -> io::Result<()> {
        self.flush()?;
        self.spool.disk().set_mode(&self.file, 0o700 | self.extra_mode)?;
        self.spool.disk().sync(&self.file)?;
        self.state = State::Finished;
        Ok(())
    }

    /// Removes the unfinished file.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn abandon(mut self) -> io::Result<()> {
        self.state = State::Finished;
        self.spool.remove(self.queue, &self.id)
    }

    /// Leaves the unfinished file where it is, for `postsuper -p` to purge after a week
    /// (what postdrop does with a submission without sender or recipient).
    ///
    /// # Errors
    /// Those of pwrite(2).
    pub fn leave(mut self) -> io::Result<()> {
        self.state = State::Finished;
        self.flush()
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }
}

impl<D: Disk> Drop for Draft<D> {
    fn drop(&mut self) {
        if self.state == State::Open {
            let _ = self.spool.remove(self.queue, &self.id);
        }
    }
}
