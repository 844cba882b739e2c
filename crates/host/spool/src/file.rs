//! An existing queue file: records in reading order, content lines, locks, marks in place.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use mail_record::{Any, Kind, Malformed, Record};

use crate::{Disk, Real};

/// Bytes of one read(2).
const BUFFER_BYTES: usize = 64 * 1024;
/// Smallest read, for a file whose size is not known to be less.
const SMALLEST_READ: u64 = 4096;
/// Backward jumps in one file before it is taken for a loop.
const BACKWARD_JUMP_LIMIT: u32 = 10_001;

/// What a reader does with pointer records (milter edits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Follows them and leaves them and padding out: how every consumer of mail reads.
    Silently,
    /// Gives pointers and padding too, and follows: `postcat -v`.
    Showing,
    /// Gives them and goes on with the next record of the file, also after the end record: `postcat -v -r`.
    Never,
}

/// One record, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// File offset of its type byte.
    pub offset: u64,
    /// Its type.
    pub kind: Kind,
    /// Its payload.
    pub data: &'a [u8],
}

/// Any record, also of a type that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyRecord<'a> {
    /// File offset of its type byte.
    pub offset: u64,
    /// Its type byte.
    pub byte: u8,
    /// Its payload.
    pub data: &'a [u8],
}

/// Why reading stopped. The texts are the reference's; there the path of the file precedes them.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A type byte that is none.
    #[error("Unexpected record type '{}' at offset {offset}", Byte(*byte))]
    Type {
        /// The byte.
        byte: u8,
        /// Where.
        offset: u64,
    },
    /// A length that is none, or over the limit.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The file ends before the length of a record.
    #[error("unexpected EOF reading length, record type {byte}")]
    NoLength {
        /// The type byte.
        byte: u8,
    },
    /// The file ends inside the payload of a record.
    #[error("unexpected EOF in data, record type {byte} length {length}")]
    Truncated {
        /// The type byte.
        byte: u8,
        /// The length that was announced.
        length: usize,
    },
    /// A pointer that is no file offset.
    #[error("malformed pointer record value: {0}")]
    Pointer(String),
    /// A loop of pointers.
    #[error("too many reverse jump records")]
    Loop,
    /// Content is followed by something else than the extracted segment.
    #[error("bad record type: {kind} in message content")]
    Content {
        /// The type byte as a number; -1: end of file.
        kind: i32,
    },
}

impl ReadError {
    /// The file is malformed, as opposed to unreadable at present.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        match self {
            Self::Io(_) => false,
            Self::Type { .. }
            | Self::Malformed(_)
            | Self::NoLength { .. }
            | Self::Truncated { .. }
            | Self::Pointer(_)
            | Self::Loop
            | Self::Content { .. } => true,
        }
    }
}

/// A byte as a printable character.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = char::from(self.0);
        write!(f, "{}", if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
    }
}

/// A queue file open for reading; marks in place go through the [`Disk`].
#[derive(Debug)]
pub struct QueueFile<D: Disk = Real> {
    disk: D,
    file: File,
    at_open: Option<Metadata>,
    length_hint: u64,
    follow: Follow,
    buffer: Vec<u8>,
    buffer_start: u64,
    position: u64,
    backward_jumps: u32,
    pending_jump: Result<Option<u64>, ReadError>,
    ended: bool,
}

/// Offset, type byte, place of the payload in the buffer.
type Place = (u64, u8, Range<usize>);

impl<D: Disk> QueueFile<D> {
    /// A reader of this open file, at offset 0, following pointers silently.
    #[must_use]
    pub fn new(disk: D, file: File) -> Self {
        let metadata = file.metadata().ok();
        Self::with(disk, file, metadata)
    }

    /// As [`QueueFile::new`], for a file whose status is known already.
    #[must_use]
    pub fn opened(disk: D, file: File, metadata: Metadata) -> Self {
        Self::with(disk, file, Some(metadata))
    }

    fn with(disk: D, file: File, at_open: Option<Metadata>) -> Self {
        let length_hint = at_open.as_ref().map_or(0, Metadata::len);
        Self {
            disk,
            file,
            at_open,
            length_hint,
            follow: Follow::Silently,
            buffer: Vec::new(),
            buffer_start: 0,
            position: 0,
            backward_jumps: 0,
            pending_jump: Ok(None),
            ended: false,
        }
    }

    /// Chooses what is done with pointers.
    pub fn set_follow(&mut self, follow: Follow) {
        self.follow = follow;
    }

    /// Offset of the next record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on reading at this offset.
    pub fn seek(&mut self, offset: u64) {
        self.position = offset;
        self.pending_jump = Ok(None);
        self.ended = false;
    }

    /// The next record; `None` at the end of the file and after the end record.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_record(&mut self) -> Result<Option<(u64, Record)>, ReadError> {
        Ok(self.next_ref()?.map(|r| (r.offset, Record { kind: r.kind, data: r.data.to_vec() })))
    }

    /// As [`QueueFile::next_record`], without a copy of the payload.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_ref(&mut self) -> Result<Option<RecordRef<'_>>, ReadError> {
        let Some((offset, byte, payload)) = self.advance()? else { return Ok(None) };
        let kind = Kind::from_byte(byte).ok_or(ReadError::Type { byte, offset })?;
        Ok(Some(RecordRef { offset, kind, data: self.buffer.get(payload).unwrap_or_default() }))
    }

    /// As [`QueueFile::next_ref`], also records whose type is unknown.
    ///
    /// # Errors
    /// [`ReadError`], but for its `Type`.
    pub fn next_any(&mut self) -> Result<Option<AnyRecord<'_>>, ReadError> {
        let Some((offset, byte, payload)) = self.advance()? else { return Ok(None) };
        Ok(Some(AnyRecord { offset, byte, data: self.buffer.get(payload).unwrap_or_default() }))
    }

    /// The next record that is to be shown.
    fn advance(&mut self) -> Result<Option<Place>, ReadError> {
        loop {
            let Some((offset, byte, payload)) = self.raw_next()? else { return Ok(None) };
            let kind = Kind::from_byte(byte);
            if kind == Some(Kind::End) {
                self.ended = self.follow != Follow::Never;
            }
            if kind == Some(Kind::Pointer) && self.follow == Follow::Silently {
                self.jump(offset, payload)?;
                continue;
            }
            if kind == Some(Kind::Padding) && self.follow == Follow::Silently {
                continue;
            }
            if kind == Some(Kind::Pointer) && self.follow == Follow::Showing {
                self.pending_jump = self.pointer_target(offset, payload.clone());
            }
            return Ok(Some((offset, byte, payload)));
        }
    }

    /// The content, from the offset that the C record gives (field 2).
    pub fn content_lines(&mut self, data_offset: u64) -> ContentLines<'_, D> {
        self.seek(data_offset);
        self.follow = Follow::Silently;
        ContentLines { file: self, done: false }
    }

    /// flock(2) for the queue manager; `false`: a delivery agent still has the file.
    ///
    /// # Errors
    /// Those of flock(2).
    pub fn lock_exclusive_nb(&self) -> io::Result<bool> {
        os_sys::lock::try_flock(&self.file, os_sys::lock::Mode::Exclusive)
    }

    /// flock(2) for a delivery agent.
    ///
    /// # Errors
    /// Those of flock(2).
    pub fn lock_shared_nb(&self) -> io::Result<bool> {
        os_sys::lock::try_flock(&self.file, os_sys::lock::Mode::Shared)
    }

    /// Status of the file when it was opened.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn metadata_at_open(&self) -> io::Result<Metadata> {
        self.at_open.clone().map_or_else(|| self.file.metadata(), Ok)
    }

    /// Fresh status of the file.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Permission bits now.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn mode(&self) -> io::Result<u32> {
        Ok(self.metadata()?.permissions().mode() & 0o7777)
    }

    /// Modification time now, in seconds since the epoch.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn mtime(&self) -> io::Result<i64> {
        Ok(self.metadata()?.mtime())
    }

    /// Sets the mode: 0400 marks a corrupt file.
    ///
    /// # Errors
    /// Those of fchmod(2).
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.disk.set_mode(&self.file, mode)
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Marks the recipient record at this offset done (R becomes D; no fsync: a crash repeats that delivery).
    ///
    /// # Errors
    /// `InvalidData` when there is no recipient record at the offset; else those of pread(2) and pwrite(2).
    pub fn mark_done(&mut self, offset: u64) -> io::Result<()> {
        self.rewrite_kind(offset, &[Kind::Recipient, Kind::Done], Kind::Done)
    }

    /// Overwrites the type byte of the record at this offset, which must be one of `expected`.
    ///
    /// # Errors
    /// As [`QueueFile::mark_done`].
    pub fn rewrite_kind(&mut self, offset: u64, expected: &[Kind], kind: Kind) -> io::Result<()> {
        let mut byte = [0u8];
        self.file.read_exact_at(&mut byte, offset)?;
        let [byte] = byte;
        if byte == kind.byte() {
            return Ok(());
        }
        if !expected.iter().any(|k| k.byte() == byte) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no such record at offset {offset}"),
            ));
        }
        self.overwrite(offset, &[kind.byte()])
    }

    /// Overwrites the record at this offset by one of the same size.
    ///
    /// # Errors
    /// Those of pwrite(2).
    pub fn rewrite_record(&mut self, offset: u64, kind: Kind, data: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(data.len() + 5);
        mail_record::put(&mut bytes, kind, data);
        self.overwrite(offset, &bytes)
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.disk.write(&self.file, offset, bytes)
    }

    /// Follows the pointer whose payload is buffered.
    fn jump(&mut self, offset: u64, payload: Range<usize>) -> Result<(), ReadError> {
        if let Some(target) = self.pointer_target(offset, payload)? {
            self.position = target;
        }
        Ok(())
    }

    /// Where the pointer at `offset` leads; `None`: 0, which means nowhere.
    fn pointer_target(&mut self, offset: u64, payload: Range<usize>) -> Result<Option<u64>, ReadError> {
        let text = String::from_utf8_lossy(self.buffer.get(payload).unwrap_or_default());
        let Some(target) =
            text.trim().parse::<u64>().ok().filter(|&target| target <= i64::MAX.unsigned_abs())
        else {
            return Err(ReadError::Pointer(text.trim().to_owned()));
        };
        if target != 0 && target <= offset {
            self.backward_jumps += 1;
            if self.backward_jumps > BACKWARD_JUMP_LIMIT {
                return Err(ReadError::Loop);
            }
        }
        Ok(Some(target).filter(|&target| target != 0))
    }

    /// The record at the position, which moves behind it.
    fn raw_next(&mut self) -> Result<Option<Place>, ReadError> {
        if let Some(target) = std::mem::replace(&mut self.pending_jump, Ok(None))? {
            self.position = target;
        }
        if self.ended {
            return Ok(None);
        }
        let offset = self.position;
        loop {
            let start = self.buffered_from(offset);
            let bytes = self.buffer.get(start..).unwrap_or_default();
            let first = bytes.first().copied();
            match mail_record::parse_any(bytes)? {
                Any::Record(byte, data, size) => {
                    let end = start + size;
                    let payload = end - data.len()..end;
                    self.position = offset + size as u64;
                    return Ok(Some((offset, byte, payload)));
                }
                Any::Incomplete(length) => {
                    if !self.fill(offset, start)? {
                        return match (first, length) {
                            (None, _) => Ok(None),
                            (Some(byte), None) => Err(ReadError::NoLength { byte }),
                            (Some(byte), Some(length)) => Err(ReadError::Truncated { byte, length }),
                        };
                    }
                }
            }
        }
    }

    /// Index in the buffer of this file offset; the buffer's length when it is not buffered.
    fn buffered_from(&self, offset: u64) -> usize {
        let index = offset.checked_sub(self.buffer_start).and_then(|index| usize::try_from(index).ok());
        index.map_or(self.buffer.len(), |index| index.min(self.buffer.len()))
    }

    /// Keeps what is buffered from index `start` (file offset `offset`) and reads more behind it; `false`: end of file.
    fn fill(&mut self, offset: u64, start: usize) -> io::Result<bool> {
        self.buffer.drain(..start.min(self.buffer.len()));
        self.buffer_start = offset;
        let had = self.buffer.len();
        let from = offset + had as u64;
        let rest = self.length_hint.saturating_sub(from).max(SMALLEST_READ);
        let want = usize::try_from(rest).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        self.buffer.resize(had + want, 0);
        let target = self.buffer.get_mut(had..).unwrap_or_default();
        let result = loop {
            match self.file.read_at(target, from) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(had + result.as_ref().map_or(0, |&count| count));
        Ok(result? > 0)
    }
}

/// One line of content, or a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes, without line feed.
    pub bytes: &'a [u8],
    /// A line feed follows; `false`: the next piece belongs to the same line.
    pub terminated: bool,
}

/// The content of a message, line by line.
#[derive(Debug)]
pub struct ContentLines<'f, D: Disk = Real> {
    file: &'f mut QueueFile<D>,
    done: bool,
}

impl<D: Disk> ContentLines<'_, D> {
    /// The next line or piece; `None` at the end of the content, which is the start of the extracted segment.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Content`] when something else ends the content.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let Some(record) = self.file.next_ref()? else { return Err(ReadError::Content { kind: -1 }) };
        match record.kind {
            Kind::Line => Ok(Some(Line { bytes: record.data, terminated: true })),
            Kind::FilterOrText => Ok(Some(Line { bytes: record.data, terminated: false })),
            Kind::Extracted => {
                self.done = true;
                Ok(None)
            }
            other => Err(ReadError::Content { kind: i32::from(other.byte()) }),
        }
    }

    /// Offset of the next record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.file.position()
    }
}

impl<D: Disk> Iterator for ContentLines<'_, D> {
    type Item = Result<(Vec<u8>, bool), ReadError>;

    /// (bytes, terminated), owned; use [`ContentLines::next_line`] where speed matters.
    fn next(&mut self) -> Option<Self::Item> {
        let item = match self.next_line() {
            Ok(line) => line.map(|line| Ok((line.bytes.to_vec(), line.terminated))),
            Err(error) => Some(Err(error)),
        };
        self.done |= matches!(item, Some(Err(_)));
        item
    }
}
