//! Copying one maildrop file to cleanup, record by record.

use mail_record::{Kind, split_attribute};
use proto_ipc::cleanup::{Greeting, Head, PROTOCOL, Reply, flags};
use proto_ipc::{Connection, Error};

use crate::Submission;

/// Attributes that may stand after the content.
const EXTRACTED_ATTRIBUTES: [&str; 5] =
    ["dsn_orig_rcpt", "notify_flags", "envelope_id", "ret_flags", "create_time"];

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The file is no submission.
    #[error("{0}")]
    Malformed(String),
    /// cleanup did not play its part.
    #[error("{0}")]
    Cleanup(#[from] Error),
}

impl Submission<'_> {
    /// Hands the file to cleanup; its status bits.
    pub(crate) fn copy(mut self) -> Result<i32, Failure> {
        let settings = self.settings;
        let mut cleanup =
            Connection::connect(&settings.cleanup_socket, settings.format, settings.ipc_timeout)?;
        let greeting: Greeting = cleanup.receive()?;
        if greeting.protocol != PROTOCOL {
            return Err(Error::Malformed(format!("unexpected protocol {}", greeting.protocol)).into());
        }
        let mask =
            if self.requeued { settings.flags & !(flags::MILTER | flags::AUTOUTF8) } else { settings.flags };
        cleanup.send(&Head { flags: mask })?;
        if !settings.content_filter.is_empty() {
            cleanup.put_record(Kind::FilterOrText, settings.content_filter.as_bytes())?;
        }
        self.envelope(&mut cleanup, &greeting.queue_id)?;
        self.content(&mut cleanup, &greeting.queue_id)?;
        self.extracted(&mut cleanup)?;
        let reply: Reply = cleanup.receive()?;
        Ok(reply.status)
    }

    fn malformed(&self, text: &str) -> Failure {
        Failure::Malformed(format!("malformed message file {}: {text}", self.old_id))
    }

    fn next(&mut self) -> Result<(Kind, Vec<u8>), Failure> {
        match self.file.next_ref() {
            Ok(Some(record)) => Ok((record.kind, record.data.to_vec())),
            Ok(None) => Err(self.malformed("unexpected end of file")),
            Err(error) => Err(self.malformed(&error.to_string())),
        }
    }

    /// Up to and without M.
    fn envelope(&mut self, cleanup: &mut Connection, id: &str) -> Result<(), Failure> {
        let mut dated = false;
        loop {
            let (kind, data) = self.next()?;
            let time = kind == Kind::Time;
            if !dated && !matches!(kind, Kind::Size) {
                dated = true;
                if !time {
                    cleanup.put_record(Kind::Time, self.mtime.to_string().as_bytes())?;
                }
            }
            match kind {
                Kind::Message => return Ok(()),
                Kind::FilterOrText | Kind::Redirect => continue,
                Kind::Sender => self.log_sender(id, &data),
                Kind::Size
                | Kind::Time
                | Kind::FullName
                | Kind::Inspector
                | Kind::Recipient
                | Kind::Done
                | Kind::Canceled
                | Kind::OriginalRecipient
                | Kind::WarnTime
                | Kind::Verp
                | Kind::Attribute
                | Kind::Killed
                | Kind::DsnRet
                | Kind::DsnEnvelopeId
                | Kind::DsnOriginalRecipient
                | Kind::DsnNotify => {}
                Kind::Flags
                | Kind::Delay
                | Kind::MilterCount
                | Kind::Line
                | Kind::Padding
                | Kind::Extracted
                | Kind::ReturnReceipt
                | Kind::ErrorsTo
                | Kind::Priority
                | Kind::Pointer
                | Kind::End => {
                    return Err(self.malformed(&format!("unexpected record type {}", kind.byte())));
                }
            }
            cleanup.put_record(kind, &data)?;
        }
    }

    fn log_sender(&self, id: &str, sender: &[u8]) {
        let sender = mail_address::to_external(&String::from_utf8_lossy(sender));
        let origin = if self.requeued { format!(" orig_id={}", self.old_id) } else { String::new() };
        os_log::info!("{id}: uid={} from=<{sender}>{origin}", self.uid);
    }

    /// M to X, with our Received header in front.
    fn content(&mut self, cleanup: &mut Connection, id: &str) -> Result<(), Failure> {
        cleanup.put_record(Kind::Message, b"")?;
        let date = host_spool::clock::local_time(self.mtime).header();
        let host = &self.settings.myhostname;
        let by = format!("Received: by {host} (Postfix, from userid {})", self.uid);
        cleanup.put_record(Kind::Line, by.as_bytes())?;
        cleanup.put_record(Kind::Line, format!("\tid {id}; {date}").as_bytes())?;
        let mut first = true;
        loop {
            let (kind, data) = self.next()?;
            if std::mem::take(&mut first) && matches!(data.first(), Some(b' ' | b'\t')) {
                cleanup.put_record(Kind::Line, b"")?;
            }
            match kind {
                Kind::Line | Kind::FilterOrText => cleanup.put_record(kind, &data)?,
                Kind::Extracted => break,
                _ => return Err(self.malformed(&format!("unexpected record type {}", kind.byte()))),
            }
        }
        cleanup.put_record(Kind::Extracted, b"")?;
        Ok(())
    }

    /// X to E.
    fn extracted(&mut self, cleanup: &mut Connection) -> Result<(), Failure> {
        loop {
            let (kind, data) = self.next()?;
            match kind {
                Kind::End => break,
                Kind::ReturnReceipt | Kind::ErrorsTo | Kind::FilterOrText | Kind::Redirect => {}
                Kind::Attribute => {
                    let kept = split_attribute(&data)
                        .is_some_and(|(name, _)| EXTRACTED_ATTRIBUTES.contains(&name.as_str()));
                    if kept {
                        cleanup.put_record(kind, &data)?;
                    }
                }
                Kind::Recipient
                | Kind::Done
                | Kind::Canceled
                | Kind::OriginalRecipient
                | Kind::Priority
                | Kind::FullName
                | Kind::Inspector
                | Kind::Killed
                | Kind::DsnOriginalRecipient
                | Kind::DsnNotify => {
                    cleanup.put_record(kind, &data)?;
                }
                Kind::Size
                | Kind::Time
                | Kind::Sender
                | Kind::WarnTime
                | Kind::Verp
                | Kind::Flags
                | Kind::Delay
                | Kind::MilterCount
                | Kind::Message
                | Kind::Line
                | Kind::Padding
                | Kind::Extracted
                | Kind::Pointer
                | Kind::DsnRet
                | Kind::DsnEnvelopeId => {
                    return Err(self.malformed(&format!("unexpected record type {}", kind.byte())));
                }
            }
        }
        cleanup.put_record(Kind::End, b"")?;
        Ok(())
    }
}
