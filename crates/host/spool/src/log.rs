//! The bounce, defer and trace logs: text files named as the message, one entry a recipient and attempt.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use mail_record::QueueId;
use mail_status::{Action, Detail, Dsn, Notify};
use mail_text::printable::printable;

use crate::{DeliveryLog, Disk, Spool};

/// A longer line of a log is cut (bytes).
const LINE_LIMIT: u64 = 1 << 20;
/// Times that a log which was removed between open and lock is opened again.
const REOPEN_LIMIT: u32 = 10;

/// What [`Spool::append_log`] needs from the configuration.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `backwards_bounce_logfile_compatibility`: also write the `<address>: reason` line.
    pub backwards_compatible: bool,
    /// `deliver_lock_attempts`.
    pub lock_attempts: u32,
    /// `deliver_lock_delay`.
    pub lock_delay: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { backwards_compatible: true, lock_attempts: 20, lock_delay: Duration::from_secs(1) }
    }
}

/// One entry. Addresses are in *external* (quoted) form, as they stand in the file and are shown to users:
/// whoever has an internal one converts it with `mail_address::to_external` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Recipient; the null address is empty when written, and `<>` when read.
    pub recipient: String,
    /// Original recipient; empty: none known. Not written when equal to the recipient but for case.
    pub original_recipient: String,
    /// File offset of the R record; 0: none.
    pub offset: u64,
    /// `type;address`, or empty.
    pub dsn_orig_rcpt: String,
    /// NOTIFY flags; 0: none.
    pub notify: Notify,
    /// What happened.
    pub action: Action,
    /// Status, reason, diagnostic, remote MTA.
    pub detail: Detail,
}

impl LogEntry {
    /// What an entry means that says nothing: 4.0.0 delayed in the defer log, 5.0.0 failed in the others.
    fn empty(log: DeliveryLog) -> Self {
        let (dsn, action) = match log {
            DeliveryLog::Defer => (Dsn::new(4, 0, 0), Action::Delayed),
            DeliveryLog::Bounce | DeliveryLog::Trace => (Dsn::new(5, 0, 0), Action::Failed),
        };
        Self {
            recipient: "(recipient address unavailable)".to_owned(),
            original_recipient: String::new(),
            offset: 0,
            dsn_orig_rcpt: String::new(),
            notify: Notify(0),
            action,
            detail: Detail::new(dsn, "(description unavailable)"),
        }
    }

    /// The entry as text: an empty line, the lines, an empty line.
    fn to_text(&self, backwards_compatible: bool) -> String {
        let mut out = String::from("\n");
        let recipient = if self.recipient.is_empty() { "<>".to_owned() } else { clean(&self.recipient) };
        let reason = clean(&self.detail.reason);
        if backwards_compatible {
            let bare = if self.recipient.is_empty() { "" } else { &recipient };
            let _ = writeln!(out, "<{bare}>: {reason}");
        }
        let _ = writeln!(out, "recipient={recipient}");
        if !self.original_recipient.is_empty()
            && !self.original_recipient.eq_ignore_ascii_case(&self.recipient)
        {
            let _ = writeln!(out, "original_recipient={}", clean(&self.original_recipient));
        }
        if self.offset > 0 {
            let _ = writeln!(out, "offset={}", self.offset);
        }
        if !self.dsn_orig_rcpt.is_empty() {
            let _ = writeln!(out, "dsn_orig_rcpt={}", clean(&self.dsn_orig_rcpt));
        }
        if self.notify.0 != 0 {
            let _ = writeln!(out, "notify_flags={}", self.notify.0);
        }
        let _ = writeln!(out, "status={}\naction={}", self.detail.dsn, self.action.as_str());
        for (name, value, pair) in [
            ("diag_type", "diag_text", &self.detail.diagnostic),
            ("mta_type", "mta_mname", &self.detail.remote_mta),
        ] {
            if let Some((kind, text)) = pair
                && !kind.is_empty()
                && !text.is_empty()
            {
                let _ = writeln!(out, "{name}={}\n{value}={}", clean(kind), clean(text));
            }
        }
        let _ = writeln!(out, "reason={reason}\n");
        out
    }

    /// Takes a line; what is wrong with it, if it is not understood.
    fn take_line(&mut self, line: &str) -> Option<String> {
        if let Some(old) = line.strip_prefix('<') {
            if let Some((address, reason)) = old.split_once(">: ") {
                address.clone_into(&mut self.recipient);
                if !reason.is_empty() {
                    reason.clone_into(&mut self.detail.reason);
                }
            }
            return None;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Some("malformed record: missing '=' after attribute name".to_owned());
        };
        let (name, value) = (name.trim(), value.trim_start());
        match name {
            "recipient" => value.clone_into(&mut self.recipient),
            "original_recipient" => value.clone_into(&mut self.original_recipient),
            "offset" => self.offset = value.parse().unwrap_or(0),
            "dsn_orig_rcpt" => value.clone_into(&mut self.dsn_orig_rcpt),
            "notify_flags" => self.notify = Notify(value.parse().unwrap_or(0)),
            "status" => self.detail.dsn = value.parse().unwrap_or(self.detail.dsn),
            "action" => self.action = value.parse().unwrap_or(self.action),
            "diag_type" => self.detail.diagnostic = Some((value.to_owned(), String::new())),
            "diag_text" => set_second(&mut self.detail.diagnostic, value),
            "mta_type" => self.detail.remote_mta = Some((value.to_owned(), String::new())),
            "mta_mname" => set_second(&mut self.detail.remote_mta, value),
            "reason" if value.is_empty() => {}
            "reason" => value.clone_into(&mut self.detail.reason),
            _unknown => return Some(format!("unknown attribute name: {}, ignored", clean(name))),
        }
        None
    }
}

fn set_second(pair: &mut Option<(String, String)>, value: &str) {
    if let Some((_, second)) = pair {
        value.clone_into(second);
    }
}

/// Addresses and texts cannot break the line format: non-printables become `?`.
fn clean(text: &str) -> String {
    printable(text.as_bytes(), true)
}

impl<D: Disk> Spool<D> {
    /// Adds an entry, on stable storage when this returns; on failure the log is as it was.
    ///
    /// # Errors
    /// Those of the calls; `WouldBlock` when the log stays locked.
    pub fn append_log(&self, log: DeliveryLog, id: &QueueId, entry: &LogEntry) -> io::Result<()> {
        let file = self.open_log_locked(log, id)?;
        let end = file.metadata()?.len();
        let text = entry.to_text(self.log_settings().backwards_compatible);
        let result = self.disk().write(&file, end, text.as_bytes()).and_then(|()| self.disk().sync(&file));
        if result.is_err() {
            let _ = self.disk().truncate(&file, end);
        }
        result
    }

    /// All entries; none when there is no log.
    ///
    /// # Errors
    /// Those of open(2) and read(2).
    pub fn read_log(&self, log: DeliveryLog, id: &QueueId) -> io::Result<Vec<LogEntry>> {
        match File::open(self.log_path(log, id)) {
            Ok(file) => {
                Entries { log, id: id.as_str(), lines: BufReader::with_capacity(64 * 1024, file) }.collect()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Length of a log in bytes; `None`: there is none.
    ///
    /// # Errors
    /// Those of lstat(2).
    pub fn log_length(&self, log: DeliveryLog, id: &QueueId) -> io::Result<Option<u64>> {
        match std::fs::symlink_metadata(self.log_path(log, id)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a log; `false`: there was none.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove_log(&self, log: DeliveryLog, id: &QueueId) -> io::Result<bool> {
        // unlink(2) locks the directory even when there is nothing to remove, which is the rule.
        if self.log_length(log, id)?.is_none() {
            return Ok(false);
        }
        match self.disk().unlink(&self.log_path(log, id)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn open_log_locked(&self, log: DeliveryLog, id: &QueueId) -> io::Result<File> {
        let path = self.log_path(log, id);
        for _ in 0..REOPEN_LIMIT {
            let file = match self.disk().open_or_create(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.make_parents(&path)? => {
                    self.disk().open_or_create(&path)?
                }
                result => result?,
            };
            self.lock_log(&file)?;
            if file.metadata()?.nlink() > 0 {
                return Ok(file);
            }
        }
        Err(io::Error::from(io::ErrorKind::WouldBlock))
    }

    fn lock_log(&self, file: &File) -> io::Result<()> {
        let settings = self.log_settings();
        for attempt in 1.. {
            if os_sys::lock::try_flock(file, os_sys::lock::Mode::Exclusive)? {
                return Ok(());
            }
            if attempt >= settings.lock_attempts {
                break;
            }
            std::thread::sleep(settings.lock_delay);
        }
        Err(io::Error::from(io::ErrorKind::WouldBlock))
    }
}

struct Entries<'a, R> {
    log: DeliveryLog,
    id: &'a str,
    lines: R,
}

impl<R: BufRead> Entries<'_, R> {
    /// The next line without its line feed; `None` at the end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.lines.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    /// The next entry. One that is not followed by an empty line was never completed, and does not count.
    fn entry(&mut self) -> io::Result<Option<LogEntry>> {
        let mut entry = None;
        while let Some(line) = self.line()? {
            if !line.is_empty() {
                let entry = entry.get_or_insert_with(|| LogEntry::empty(self.log));
                if let Some(problem) = entry.take_line(&line) {
                    os_log::warning!("{}/{}: {problem}", self.log.name(), self.id);
                }
            } else if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Entries<'_, R> {
    type Item = io::Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entry().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LogEntry {
        LogEntry {
            recipient: "a@far.example".to_owned(),
            original_recipient: "A@far.example".to_owned(),
            offset: 701,
            dsn_orig_rcpt: "rfc822;A+X@far.example".to_owned(),
            notify: Notify(6),
            action: Action::Delayed,
            detail: Detail {
                dsn: Dsn::new(4, 2, 1),
                reason: "host 127.0.0.1[127.0.0.1] said: 450 4.2.1 try later".to_owned(),
                diagnostic: Some(("smtp".to_owned(), "450 4.2.1 try later".to_owned())),
                remote_mta: Some(("dns".to_owned(), "127.0.0.1".to_owned())),
            },
        }
    }

    #[test]
    fn the_text_is_that_of_the_facts() {
        let expected = "\n<a@far.example>: host 127.0.0.1[127.0.0.1] said: 450 4.2.1 try later\n\
            recipient=a@far.example\noffset=701\ndsn_orig_rcpt=rfc822;A+X@far.example\nnotify_flags=6\n\
            status=4.2.1\naction=delayed\ndiag_type=smtp\ndiag_text=450 4.2.1 try later\nmta_type=dns\n\
            mta_mname=127.0.0.1\nreason=host 127.0.0.1[127.0.0.1] said: 450 4.2.1 try later\n\n";
        assert_eq!(sample().to_text(true), expected);
    }

    #[test]
    fn entries_come_back_and_old_ones_are_completed() {
        let mut text = sample().to_text(true);
        text.push_str(&sample().to_text(false));
        text.push_str("\n<b@x.example>: an old reason\n\n");
        let found: Vec<_> = Entries { log: DeliveryLog::Defer, id: "ID", lines: text.as_bytes() }
            .collect::<Result<_, _>>()
            .unwrap();
        let mut first = sample();
        first.original_recipient.clear();
        assert_eq!(found.len(), 3);
        assert_eq!(found.first(), Some(&first));
        assert_eq!(found.get(1), Some(&first));
        let old = found.get(2).unwrap();
        assert_eq!((old.recipient.as_str(), old.detail.reason.as_str()), ("b@x.example", "an old reason"));
        assert_eq!((old.action, old.detail.dsn), (Action::Delayed, Dsn::new(4, 0, 0)));
    }
}
