//! Command lines out of the input, and input that comes too early.

use std::time::Instant;

use super::output::{Reply, escape};
use super::session::Session;
use crate::transcript::ErrorClass;

/// Bytes of the peer shown in a log line.
const SHOWN: usize = 100;

/// What the input has.
pub(crate) enum Line {
    /// No whole line yet.
    None,
    /// A line longer than the limit; it was dropped.
    TooLong,
    /// Without its LF; whether a CR stands before it.
    Whole(Vec<u8>, bool),
}

impl Session {
    pub(crate) fn read_line(&mut self) -> Line {
        let limit = self.settings.line_length_limit;
        let unread = self.unread();
        let end = unread.iter().take(limit + 1).position(|&b| b == b'\n');
        let Some(end) = end else {
            let long = unread.len() > limit;
            if !long {
                return Line::None;
            }
            self.consume(limit);
            if std::mem::replace(&mut self.skipping, true) {
                // It gets its reply; nothing is read after that.
                self.skipping = false;
                self.shut_input();
                return Line::TooLong;
            }
            return self.read_rest_of_long_line();
        };
        let line = unread.get(..end).unwrap_or_default().to_vec();
        self.consume(end + 1);
        if std::mem::take(&mut self.skipping) {
            return Line::TooLong;
        }
        let crlf = line.last() == Some(&b'\r');
        Line::Whole(line, crlf)
    }

    /// The start of a line that is too long was dropped; its warning shows that start.
    fn read_rest_of_long_line(&mut self) -> Line {
        let start = self.consumed.saturating_sub(self.settings.line_length_limit);
        let shown: Vec<u8> = self.input.get(start..).unwrap_or_default().iter().take(30).copied().collect();
        let shown = mail_text::printable::printable(&shown, true);
        self.warn(format!(
            "{}: request longer than {}: {shown}...",
            self.namaddr(),
            self.settings.line_length_limit
        ));
        self.read_line()
    }

    pub(crate) fn too_long(&mut self, now: Instant) {
        let text = format!("500 5.5.2 {} Error: command too long", self.settings.myhostname);
        self.say(&Reply::new(text).because_of(ErrorClass::Protocol), now);
    }

    /// Whether input waits that should not; logged once (postconf(5) smtpd_forbid_unauth_pipelining). `true`: refused.
    pub(crate) fn pipelining_violation(&mut self, after: &str, now: Instant) -> bool {
        if self.unread().is_empty() || self.pipelined || !self.settings.notices_pipelining {
            return false;
        }
        self.pipelined = true;
        let shown = escape(self.unread().get(..SHOWN).unwrap_or(self.unread()));
        self.note(format!("improper command pipelining after {after} from {}: {shown}", self.namaddr()));
        if !self.settings.forbid_unauth_pipelining {
            return false;
        }
        self.say(&Reply::new("554 5.5.0 Error: SMTP protocol synchronization"), now);
        self.close();
        true
    }
}
