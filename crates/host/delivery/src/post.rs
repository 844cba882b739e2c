//! Mail that the mail system itself writes: notices, probes, reports.

use std::path::Path;
use std::time::Duration;

use mail_record::Kind;
use proto_ipc::cleanup::{Greeting, Head, PROTOCOL, Reply, flags};
use proto_ipc::{Connection, Error, Format};

/// An internal message on its way to cleanup. It is queued when [`Post::finish`] says so, and not before.
#[derive(Debug)]
pub struct Post {
    connection: Connection,
    queue_id: String,
}

/// Envelope of an internal message; addresses in internal form.
#[derive(Clone, Copy, Debug)]
pub struct PostEnvelope<'a> {
    /// Sender; empty: null sender.
    pub sender: &'a str,
    /// Recipient.
    pub recipient: &'a str,
    /// `trace_flags`: 0, or 256 for address verification probes.
    pub trace_flags: i32,
    /// Cleanup flags besides address mapping.
    pub flags: i32,
}

impl Post {
    /// Connects and sends the envelope and `Received`.
    ///
    /// # Errors
    /// Those of the dialogue.
    pub fn begin(
        cleanup: &Path,
        format: Format,
        timeout: Duration,
        envelope: PostEnvelope<'_>,
        mail: MailSystem<'_>,
    ) -> Result<Self, Error> {
        let mut connection = Connection::connect(cleanup, format, timeout)?;
        let greeting: Greeting = connection.receive()?;
        if greeting.protocol != PROTOCOL {
            return Err(Error::Malformed(format!("protocol {}", proto_ipc::clean(&greeting.protocol))));
        }
        connection.send(&Head { flags: flags::MAP | envelope.flags })?;
        let now = os_sys::time::now();
        connection.put_record(Kind::Time, format!("{} {}", now.as_secs(), now.subsec_micros()).as_bytes())?;
        connection.put_record(Kind::Attribute, b"log_message_origin=local")?;
        connection.put_record(Kind::Attribute, format!("trace_flags={}", envelope.trace_flags).as_bytes())?;
        connection.put_record(Kind::Sender, envelope.sender.as_bytes())?;
        connection.put_record(Kind::Recipient, envelope.recipient.as_bytes())?;
        connection.put_record(Kind::Message, b"")?;
        let mut post = Self { connection, queue_id: greeting.queue_id };
        post.line(format!("Received: by {} ({})", mail.myhostname, mail.mail_name).as_bytes())?;
        post.line(
            format!("\tid {}; {}", post.queue_id, header_date(now.as_secs().cast_signed())).as_bytes(),
        )?;
        Ok(post)
    }

    /// Queue ID of this message.
    #[must_use]
    pub fn queue_id(&self) -> &str {
        &self.queue_id
    }

    /// One line of content.
    ///
    /// # Errors
    /// Those of the dialogue.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        self.connection.put_record(Kind::Line, line)
    }

    /// A piece of a line.
    ///
    /// # Errors
    /// Those of the dialogue.
    pub fn fragment(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.connection.put_record(Kind::FilterOrText, bytes)
    }

    /// Ends the message; `Ok` when it is safely queued.
    ///
    /// # Errors
    /// Those of the dialogue, or cleanup's refusal.
    pub fn finish(mut self) -> Result<(), Error> {
        self.connection.put_record(Kind::Extracted, b"")?;
        self.connection.put_record(Kind::End, b"")?;
        let reply: Reply = self.connection.receive()?;
        if reply.status == 0 {
            return Ok(());
        }
        Err(Error::Malformed(format!("cleanup status {} {}", reply.status, reply.reason)))
    }
}

/// Names of this mail system, for `Received`.
#[derive(Clone, Copy, Debug)]
pub struct MailSystem<'a> {
    /// `myhostname`
    pub myhostname: &'a str,
    /// `mail_name`
    pub mail_name: &'a str,
}

/// A date header value (RFC 5322 §3.3) in local time.
#[must_use]
pub fn header_date(seconds: i64) -> String {
    let local = os_sys::time::local(seconds);
    mail_text::date::LocalTime {
        year: local.year,
        month: local.month,
        day: local.day,
        weekday: local.weekday,
        hour: local.hour,
        minute: local.minute,
        second: local.second,
        offset_seconds: local.offset_seconds,
        zone: local.zone,
    }
    .header()
}
