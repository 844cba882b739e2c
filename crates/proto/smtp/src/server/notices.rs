//! The transcript of the session, and who is to hear of it.

use super::session::Session;
use crate::transcript::Notice;

impl Session {
    /// Whether the driver is to tell somebody of errors: for a session that is over, or after [`super::Question::Notices`].
    #[must_use]
    pub fn has_notices(&self) -> bool {
        self.transcript
            .as_ref()
            .is_some_and(|transcript| transcript.has_part() || (self.is_closed() && transcript.is_due()))
    }

    /// What somebody is to be told, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let closed = self.is_closed();
        let Some(transcript) = &mut self.transcript else { return Vec::new() };
        let mut notices = transcript.take_parts();
        if closed {
            notices.extend(transcript.close());
        }
        notices
    }

    /// The session ends before its time.
    pub(crate) fn abort(&mut self, why: &'static str) {
        self.transcript.iter_mut().for_each(|transcript| transcript.abort(why));
        self.close();
    }

    /// EHLO, RSET or the end of a message: a long transcript begins anew (`postconf(5) smtpd_history_flush_threshold`).
    pub(crate) fn turn_page(&mut self) {
        let limit = self.settings.history_limit;
        self.transcript.iter_mut().for_each(|transcript| transcript.turn_page(limit));
    }
}
