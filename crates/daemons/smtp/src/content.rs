//! Message content on the wire: CRLF line ends, dot-stuffing (RFC 5321 §4.5.2), line length limit, conversion to 7bit.

use host_delivery::Job;
use host_spool::ReadError;
use mail_mime::Limits;
use mail_mime::downgrade::Downgrade;

use crate::stream::{Broken, Stream};

/// How content is sent to this server.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `smtp_line_length_limit`; 0: none.
    pub line_length_limit: usize,
    /// Convert 8bit parts, with these limits.
    pub downgrade: Option<Limits>,
}

/// Why the content was not sent to its end.
#[derive(Debug)]
pub enum NotSent {
    /// The queue file.
    Read(ReadError),
    /// The connection.
    Broken(Broken),
    /// The MIME structure cannot be converted.
    Mime,
}

/// Sends the content, without the final dot.
///
/// # Errors
/// [`NotSent`]; the connection is then in the middle of the content.
pub fn send(job: &mut Job, rules: Rules, stream: &mut Stream) -> Result<(), NotSent> {
    let mut writer = Writer { limit: rules.line_length_limit, column: 0, broken_lines: false };
    let offset = job.data_offset();
    let mut lines = job.message.content_lines(offset);
    match rules.downgrade {
        None => {
            while let Some(line) = lines.next_line().map_err(NotSent::Read)? {
                writer.piece(line.bytes, line.terminated, stream).map_err(NotSent::Broken)?;
            }
        }
        Some(limits) => {
            let mut converter = Downgrade::new(limits);
            let mut result = Ok(());
            while let Some(line) = lines.next_line().map_err(NotSent::Read)? {
                let fed = converter.feed(line.terminated, line.bytes, &mut |terminated, bytes| {
                    if result.is_ok() {
                        result = writer.piece(bytes, terminated, stream);
                    }
                });
                fed.map_err(|_| NotSent::Mime)?;
                result.map_err(NotSent::Broken)?;
            }
            converter.finish(&mut |terminated, bytes| {
                if result.is_ok() {
                    result = writer.piece(bytes, terminated, stream);
                }
            });
            result.map_err(NotSent::Broken)?;
        }
    }
    writer.end(stream).map_err(NotSent::Broken)?;
    if writer.broken_lines {
        os_log::info!(
            "{}: breaking line > {} bytes with <CR><LF>SPACE",
            job.request.queue_id,
            rules.line_length_limit
        );
    }
    Ok(())
}

struct Writer {
    limit: usize,
    column: usize,
    broken_lines: bool,
}

impl Writer {
    fn piece(&mut self, mut bytes: &[u8], terminated: bool, stream: &mut Stream) -> Result<(), Broken> {
        if self.column == 0 && bytes.first() == Some(&b'.') {
            stream.content(b".")?;
        }
        while self.limit > 0 && self.column + bytes.len() > self.limit {
            let (now, later) = bytes.split_at(self.limit.saturating_sub(self.column).min(bytes.len()));
            stream.content(now)?;
            stream.content(b"\r\n ")?;
            self.broken_lines = true;
            self.column = 1;
            bytes = later;
        }
        stream.content(bytes)?;
        self.column += bytes.len();
        if terminated {
            self.column = 0;
            stream.content(b"\r\n")?;
        }
        Ok(())
    }

    /// The dot must stand at the start of a line.
    fn end(&mut self, stream: &mut Stream) -> Result<(), Broken> {
        if self.column > 0 { stream.content(b"\r\n") } else { Ok(()) }
    }
}
