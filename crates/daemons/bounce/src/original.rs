//! The message that a notice is about.

use host_spool::{Queue, QueueFile, ReadError, Spool};
use mail_record::{Kind, MessageSize, QueueId, split_attribute};

/// Takes a line, or a piece of one.
type Take<'a, E> = dyn FnMut(&[u8], bool) -> Result<(), E> + 'a;

/// What a notice needs of it.
#[derive(Debug)]
pub struct Original {
    file: QueueFile,
    /// Arrival, seconds since the epoch; 0: not known.
    pub arrival: i64,
    /// Size of the content in bytes; 0: not known.
    pub size: i64,
    data_offset: u64,
    /// Its sender, internal form.
    pub sender: String,
    /// Its Message-Id, if recorded.
    pub message_id: Option<String>,
}

impl Original {
    /// Opens the queue file and reads its envelope; `None` when it is gone or unreadable.
    pub fn open(spool: &Spool, queue: Queue, id: &QueueId) -> Option<Self> {
        let file = match spool.open_file(queue, id) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    os_log::warning!("{id}: open {}: {}", queue.name(), os_sys::error_text(&error));
                }
                return None;
            }
        };
        let mut original =
            Self { file, arrival: 0, size: 0, data_offset: 0, sender: String::new(), message_id: None };
        match original.read_envelope() {
            Ok(()) if original.data_offset > 0 => Some(original),
            Ok(()) => None,
            Err(error) => {
                os_log::warning!("{id}: {error}");
                None
            }
        }
    }

    fn read_envelope(&mut self) -> Result<(), ReadError> {
        let mut after_content = false;
        while let Some(record) = self.file.next_ref()? {
            match record.kind {
                Kind::Size => {
                    if let Some(size) = MessageSize::parse(record.data) {
                        self.size = size.data_size;
                        self.data_offset = u64::try_from(size.data_offset).unwrap_or(0);
                    }
                }
                Kind::Time => {
                    let text = String::from_utf8_lossy(record.data);
                    self.arrival = text.split(' ').next().and_then(|t| t.parse().ok()).unwrap_or(0);
                }
                Kind::Sender => self.sender = String::from_utf8_lossy(record.data).into_owned(),
                Kind::Message if after_content => return Ok(()),
                Kind::Message => {
                    // The extracted segment follows the content.
                    after_content = true;
                    let end = self.data_offset.saturating_add(u64::try_from(self.size).unwrap_or(0));
                    self.file.seek(end);
                }
                Kind::Attribute => {
                    if let Some((name, value)) = split_attribute(record.data)
                        && name == "message_id"
                    {
                        self.message_id = Some(value);
                    }
                }
                _other => {}
            }
        }
        Ok(())
    }

    /// Hands each line (or piece of one, `false`) of the content to `take`; only the header when `header_only`.
    ///
    /// # Errors
    /// What reading or `take` says.
    pub fn copy<E: From<ReadError>>(&mut self, header_only: bool, take: &mut Take<'_, E>) -> Result<(), E> {
        let mut lines = self.file.content_lines(self.data_offset);
        let mut at_start = true;
        while let Some(line) = lines.next_line()? {
            if header_only && at_start && !is_header_line(line.bytes) {
                break;
            }
            take(line.bytes, line.terminated)?;
            at_start = line.terminated;
        }
        if at_start { Ok(()) } else { take(b"", true) }
    }

    /// Marks recipients of an expired message done.
    pub fn mark_done(&mut self, id: &QueueId, offset: u64) {
        if offset > 0
            && let Err(error) = self.file.mark_done(offset)
        {
            os_log::warning!("{id}: mark recipient done: {error}");
        }
    }
}

/// A header field or a continuation line.
fn is_header_line(line: &[u8]) -> bool {
    match line.first() {
        None => false,
        Some(b' ' | b'\t') => true,
        Some(_) => {
            let end = line.iter().position(|&b| b == b':');
            end.is_some_and(|end| {
                end > 0 && line.iter().take(end).all(|&b| (33..127).contains(&b) || b == b' ')
            })
        }
    }
}
