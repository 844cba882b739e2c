//! Transcripts of SMTP sessions for the postmaster (`postconf(5) notify_classes`).

use std::path::PathBuf;
use std::time::Duration;

use host_config::{Config, ConfigError, param};
use proto_ipc::{Dialect, Error, Format};
use proto_smtp::transcript::Notice;

use crate::post::{MailSystem, Post, PostEnvelope, header_date};

/// Columns of a line that has blanks to break at.
const WIDTH: usize = 78;

/// Who hears of errors in SMTP sessions, and how mail reaches them.
#[derive(Clone, Debug)]
pub struct Postmaster {
    /// `error_notice_recipient`
    pub error_recipient: String,
    /// `bounce_notice_recipient`
    pub bounce_recipient: String,
    myhostname: String,
    mail_name: String,
    /// Sender whose undeliverable mail is dropped.
    sender: String,
    cleanup: PathBuf,
    format: Format,
    timeout: Duration,
}

/// What stands above a transcript.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// Recipient.
    pub to: &'a str,
    /// Of the subject, all after the name of the mail system.
    pub subject: &'a str,
    /// A line above the transcript; with none below it stands why the session ended early.
    pub opening: Option<&'a str>,
}

impl Postmaster {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] for a bad value.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let myhostname = config.str(param::MYHOSTNAME)?;
        let double_bounce = config.str(param::DOUBLE_BOUNCE_SENDER)?;
        let dialect = Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default();
        Ok(Self {
            error_recipient: config.str(param::ERROR_NOTICE_RECIPIENT)?,
            bounce_recipient: config.str(param::BOUNCE_NOTICE_RECIPIENT)?,
            sender: format!("{}@{myhostname}", mail_address::split(&double_bounce).0),
            myhostname,
            mail_name: config.str(param::MAIL_NAME)?,
            cleanup: PathBuf::from("public").join(config.str(param::CLEANUP_SERVICE_NAME)?),
            format: Format::null(dialect),
            timeout: config.time(param::IPC_TIMEOUT)?,
        })
    }

    /// Whether mail from this sender, in internal form, is about errors itself: nobody is told of errors in its delivery.
    #[must_use]
    pub fn is_own_sender(&self, sender: &str) -> bool {
        sender.is_empty() || sender.eq_ignore_ascii_case(&self.sender)
    }

    /// Queues the transcript as mail; a failure is logged, and the notice then lost. May block.
    pub fn send(&self, heading: Heading<'_>, notice: &Notice) {
        if let Err(error) = self.try_send(heading, notice) {
            os_log::warning!("postmaster notification failed to {}: {error}", heading.to);
        }
    }

    fn try_send(&self, heading: Heading<'_>, notice: &Notice) -> Result<(), Error> {
        let envelope = PostEnvelope { sender: &self.sender, recipient: heading.to, trace_flags: 0, flags: 0 };
        let mail = MailSystem { myhostname: &self.myhostname, mail_name: &self.mail_name };
        let mut post = Post::begin(&self.cleanup, self.format, self.timeout, envelope, mail)?;
        let date = header_date(os_sys::time::now().as_secs().cast_signed());
        for line in self.lines(heading, notice, &date) {
            post.line(line.as_bytes())?;
        }
        post.finish()
    }

    fn lines(&self, heading: Heading<'_>, notice: &Notice, date: &str) -> Vec<String> {
        let mut lines = vec![
            format!("Date: {date}"),
            format!("From: Mail Delivery System <MAILER-DAEMON@{}>", self.myhostname),
            // Always the one for errors, whoever gets the mail.
            format!("To: Postmaster <{}>", mail_address::to_external(&self.error_recipient)),
            format!("Subject: {} {}", self.mail_name, heading.subject),
            String::new(),
        ];
        lines.extend(heading.opening.into_iter().flat_map(|line| [line.to_owned(), String::new()]));
        lines.extend(["Transcript of session follows.".to_owned(), String::new()]);
        for line in notice.text.lines() {
            let wrapped = mail_text::wrap(line, WIDTH, "    ");
            lines.extend(wrapped.into_iter().map(|line| format!(" {line}")));
        }
        if heading.opening.is_none() {
            lines.push(String::new());
            lines.extend(notice.aborted.map(|reason| format!("Session aborted, reason: {reason}")));
        }
        lines.extend([String::new(), "For other details, see the local mail logfile".to_owned()]);
        lines
    }
}
