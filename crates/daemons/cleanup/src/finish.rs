//! The end of a message: queued, discarded, returned or refused.

use mail_record::Kind;
use mail_status::{Detail, Dsn};
use proto_ipc::cleanup::{Reply, flags, status};

use crate::message::{Message, Written};

/// Errors that this program can return to the sender itself, the weightiest first, with their texts.
const RETURNABLE: [(i32, Dsn, &str); 3] = [
    (status::HOPS, Dsn::new(5, 4, 0), "too many hops"),
    (status::SIZE, Dsn::new(5, 3, 4), "message file too big"),
    (status::CONTENT, Dsn::new(5, 7, 1), "message content rejected"),
];

/// What became of a message.
#[derive(Debug)]
pub(crate) struct Finished {
    pub reply: Reply,
    /// What the queue manager has to look at.
    pub queued: Option<String>,
    /// The message went to the hold queue.
    pub held: bool,
}

impl Message<'_> {
    /// The stream ended with `E`: makes the file complete and durable, or gets rid of it.
    pub(crate) fn finish(mut self) -> Finished {
        if self.errors == 0 && !self.any_recipient {
            self.errors |= status::RECIPIENTS;
        }
        if self.errors == 0 && self.has(flags::DISCARD) {
            os_log::info!("{}: removed (discarded)", self.id);
            return self.dropped();
        }
        if self.errors == 0 {
            return self.commit();
        }
        if self.has(flags::BOUNCE) && !self.settings.soft_bounce && self.returned() {
            os_log::info!("{}: removed (discarded)", self.id);
            self.errors = 0;
            self.reason.clear();
            return self.dropped();
        }
        os_log::info!("{}: removed (canceled)", self.id);
        self.dropped()
    }

    /// The client went away before `E`, or sent what is no record.
    pub(crate) fn cancel(mut self) -> Finished {
        self.errors |= status::BAD;
        os_log::info!("{}: removed (canceled)", self.id);
        self.dropped()
    }

    fn commit(mut self) -> Finished {
        let held = self.has(flags::HOLD);
        self.size.send_options = i64::from(self.send_options);
        let payload = self.size.to_payload();
        let result = self.draft().overwrite_record(0, Kind::Size, payload.as_bytes());
        let result = result.and_then(|()| if held { self.draft().move_to_hold() } else { Ok(()) });
        let (id, reason) = (self.id.clone(), std::mem::take(&mut self.reason));
        match result.and_then(|()| self.into_draft().commit()) {
            Ok(()) => {
                let queued = (!held).then_some(id);
                Finished { reply: Reply { status: 0, reason }, queued, held }
            }
            Err(error) => {
                os_log::warning!("{id}: write queue file: {error}");
                let reply = Reply { status: status::WRITE, reason: String::new() };
                Finished { reply, queued: None, held: false }
            }
        }
    }

    fn dropped(self) -> Finished {
        let reply = Reply { status: self.errors, reason: self.reason.clone() };
        let id = self.id.clone();
        if let Err(error) = self.into_draft().abandon() {
            os_log::warning!("remove incoming/{id}: {error}");
        }
        Finished { reply, queued: None, held: false }
    }

    /// Returns the message to its sender if all that is wrong allows it; `true`: done, the file may go.
    fn returned(&mut self) -> bool {
        let all = RETURNABLE.iter().fold(0, |bits, (bit, ..)| bits | bit);
        let Some((bit, dsn, text)) = RETURNABLE.iter().find(|(bit, ..)| self.errors & bit != 0) else {
            return false;
        };
        if self.errors & !all != 0 {
            return false;
        }
        let mut detail = Detail::new(*dsn, *text);
        if *bit == status::CONTENT
            && let Some((dsn, text)) = Dsn::split(&self.reason)
        {
            detail = Detail::new(dsn, text);
        }
        if self.size.data_size == 0 && self.size.data_offset > 0 {
            // Cut off by the size limit: tell the bounce service that it is too large to be returned whole.
            self.size.data_size = i64::try_from(self.position()).unwrap_or(0) - self.size.data_offset;
            self.size.content_length = self.size.data_size;
        }
        let payload = self.size.to_payload();
        let result = self.draft().overwrite_record(0, Kind::Size, payload.as_bytes());
        if let Err(error) = result.and_then(|()| self.draft().flush()) {
            os_log::warning!("{}: write queue file: {}", self.id, os_sys::error_text(&error));
        }
        let mut recipients = std::mem::take(&mut self.written);
        if recipients.is_empty() {
            recipients.push(Written {
                recipient: "unknown".to_owned(),
                original: String::new(),
                dsn_original: String::new(),
                notify: 0,
                offset: 0,
            });
        }
        match self.return_to_sender(&recipients, &detail) {
            Ok(()) => true,
            Err(error) => {
                os_log::warning!("{}: bounce message failed: {error}", self.id);
                self.errors = status::WRITE;
                false
            }
        }
    }
}
