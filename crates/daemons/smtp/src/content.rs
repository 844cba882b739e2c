//! Message content on the wire: CRLF line ends, dot-stuffing (RFC 5321 §4.5.2), line length limit, conversion to 7bit,
//! addresses in the header.

use host_delivery::Job;
use host_spool::ReadError;
use mail_mime::Limits;
use mail_mime::downgrade::Downgrade;

use crate::generic::{Generic, Headers, Unknown};
use crate::stream::{Broken, Stream};

/// How content is sent to this server.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// `smtp_line_length_limit`; 0: none.
    pub line_length_limit: usize,
    /// Convert 8bit parts, with these limits.
    pub downgrade: Option<Limits>,
    /// `smtp_generic_maps`
    pub generic: Option<&'a Generic>,
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
    /// An address in the header could not be looked up.
    Address(Unknown),
}

/// Sends the content, without the final dot.
///
/// # Errors
/// [`NotSent`]; the connection is then in the middle of the content.
pub fn send(job: &mut Job, rules: Rules<'_>, stream: &mut Stream) -> Result<(), NotSent> {
    let writer = Writer { limit: rules.line_length_limit, column: 0, broken_lines: false };
    let mut output = Output { writer, converter: rules.downgrade.map(Downgrade::new), stream, failed: None };
    let mut headers = rules.generic.map(Headers::new);
    let offset = job.data_offset();
    let mut lines = job.message.content_lines(offset);
    while let Some(line) = lines.next_line().map_err(NotSent::Read)? {
        match &mut headers {
            None => output.put(line.terminated, line.bytes),
            Some(headers) => headers
                .feed(line.terminated, line.bytes, &mut |terminated, bytes| output.put(terminated, bytes))
                .map_err(NotSent::Address)?,
        }
        output.check()?;
    }
    if let Some(headers) = &mut headers {
        let finished = headers.finish(&mut |terminated, bytes| output.put(terminated, bytes));
        finished.map_err(NotSent::Address)?;
    }
    if output.finish()? {
        os_log::info!(
            "{}: breaking line > {} bytes with <CR><LF>SPACE",
            job.request.queue_id,
            rules.line_length_limit
        );
    }
    Ok(())
}

/// The last stages: conversion, then the wire. After a failure nothing more is taken.
struct Output<'a> {
    writer: Writer,
    converter: Option<Downgrade>,
    stream: &'a mut Stream,
    failed: Option<NotSent>,
}

impl Output<'_> {
    fn put(&mut self, terminated: bool, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let (writer, stream) = (&mut self.writer, &mut *self.stream);
        let mut result = Ok(());
        if let Some(converter) = &mut self.converter {
            let fed = converter.feed(terminated, bytes, &mut |terminated, bytes| {
                if result.is_ok() {
                    result = writer.piece(bytes, terminated, stream);
                }
            });
            self.failed = fed.err().map(|_| NotSent::Mime);
        } else {
            result = writer.piece(bytes, terminated, stream);
        }
        self.failed = self.failed.take().or(result.err().map(NotSent::Broken));
    }

    fn check(&mut self) -> Result<(), NotSent> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Whether lines had to be broken.
    fn finish(mut self) -> Result<bool, NotSent> {
        self.check()?;
        let (writer, stream) = (&mut self.writer, &mut *self.stream);
        let mut result = Ok(());
        if let Some(converter) = &mut self.converter {
            converter.finish(&mut |terminated, bytes| {
                if result.is_ok() {
                    result = writer.piece(bytes, terminated, stream);
                }
            });
        }
        result.and_then(|()| self.writer.end(self.stream)).map_err(NotSent::Broken)?;
        Ok(self.writer.broken_lines)
    }
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
