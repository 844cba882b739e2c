//! showq: the queue listing. One list a message; an empty list ends the listing.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Announced protocol name.
pub const PROTOCOL: &str = "mail_queue_list_protocol";

/// A message with its recipients (3.11 dialect).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// maildrop, active, incoming, deferred, hold.
    pub queue_name: String,
    /// Queue ID.
    pub queue_id: String,
    /// Arrival, seconds since the epoch.
    pub time: i64,
    /// Bytes.
    pub size: i64,
    /// 0 or 1.
    pub forced_expire: i32,
    /// External form, printable.
    pub sender: String,
    /// Recipients still to deliver.
    pub recipients: Vec<Recipient>,
}

/// A recipient (3.11 dialect).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Original recipient or empty.
    pub original_recipient: String,
    /// Recipient.
    pub recipient: String,
    /// `defer`, `bounce` or empty.
    pub log_class: String,
    /// Why it is still there, or empty.
    pub reason: String,
}

/// A message with its recipients (3.7 dialect).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message37 {
    /// As in [`Message`].
    pub queue_name: String,
    /// As in [`Message`].
    pub queue_id: String,
    /// As in [`Message`].
    pub time: i64,
    /// As in [`Message`].
    pub size: i64,
    /// As in [`Message`].
    pub forced_expire: i32,
    /// As in [`Message`].
    pub sender: String,
    /// Recipients.
    pub recipients: Vec<Recipient37>,
}

/// A recipient (3.7 dialect).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient37 {
    /// Recipient.
    pub recipient: String,
    /// Reason or empty.
    pub reason: String,
}

/// The empty list at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfListing {}

/// One step of a listing as a client reads it: a message of any number of recipients needs no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message starts; its `recipients` are empty, they follow one by one.
    Message(Message),
    /// A recipient of that message.
    Recipient(Recipient),
    /// That message ends.
    EndOfMessage,
    /// The listing ends.
    EndOfListing,
}

/// The client's side of a listing, in either dialect.
#[derive(Debug)]
pub struct Listing<R> {
    input: R,
    pending: Option<Vec<u8>>,
    in_message: bool,
}

impl<R: std::io::BufRead> Listing<R> {
    /// Longest name or value in bytes.
    const TOKEN_LIMIT: u64 = 100_000;

    /// Reads the announcement.
    ///
    /// # Errors
    /// Those of a read; another protocol.
    pub fn new(input: R) -> Result<Self, Error> {
        let mut listing = Self { input, pending: None, in_message: false };
        let protocol = listing.value("protocol")?;
        if protocol != PROTOCOL.as_bytes() || !listing.token()?.is_empty() {
            return Err(Error::Malformed("unexpected protocol".into()));
        }
        Ok(listing)
    }

    /// The next step.
    ///
    /// # Errors
    /// Those of a read; anything unexpected.
    pub fn next_event(&mut self) -> Result<Event, Error> {
        let name = self.token()?;
        match (self.in_message, name.as_slice()) {
            (false, b"") => Ok(Event::EndOfListing),
            (true, b"") => {
                self.in_message = false;
                Ok(Event::EndOfMessage)
            }
            (false, _) => {
                self.pending = Some(name);
                self.in_message = true;
                Ok(Event::Message(self.message()?))
            }
            (true, b"original_recipient") => {
                let original_recipient = self.raw_text()?;
                Ok(Event::Recipient(Recipient {
                    original_recipient,
                    recipient: self.text("recipient")?,
                    log_class: self.text("log_class")?,
                    reason: self.text("reason")?,
                }))
            }
            (true, _) => {
                self.pending = Some(name);
                let recipient = self.text("recipient")?;
                let reason = self.text("reason")?;
                let log_class = if reason.is_empty() { "" } else { "defer" };
                Ok(Event::Recipient(Recipient {
                    original_recipient: String::new(),
                    recipient,
                    log_class: log_class.to_owned(),
                    reason,
                }))
            }
        }
    }

    fn message(&mut self) -> Result<Message, Error> {
        Ok(Message {
            queue_name: self.text("queue_name")?,
            queue_id: self.text("queue_id")?,
            time: self.number("time")?,
            size: self.number("size")?,
            forced_expire: i32::try_from(self.number("forced_expire")?).unwrap_or(0),
            sender: self.text("sender")?,
            recipients: Vec::new(),
        })
    }

    fn number(&mut self, name: &str) -> Result<i64, Error> {
        self.text(name)?.parse().map_err(|_| Error::Malformed(format!("bad number in attribute {name}")))
    }

    fn text(&mut self, name: &str) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.value(name)?).into_owned())
    }

    fn raw_text(&mut self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.token()?).into_owned())
    }

    fn value(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        if self.token()? != name.as_bytes() {
            return Err(Error::Malformed(format!("missing attribute {name}")));
        }
        self.token()
    }

    /// The bytes up to the next NUL.
    fn token(&mut self) -> Result<Vec<u8>, Error> {
        use std::io::{BufRead, Read};
        if let Some(pending) = self.pending.take() {
            return Ok(pending);
        }
        let mut token = Vec::new();
        self.input.by_ref().take(Self::TOKEN_LIMIT).read_until(0, &mut token)?;
        match token.pop() {
            Some(0) => Ok(token),
            Some(_) if token.len() as u64 + 1 >= Self::TOKEN_LIMIT => Err(Error::TooLarge),
            Some(_) | None => Err(Error::Closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_of_either_dialect_is_read() {
        let head = "protocol\0mail_queue_list_protocol\0\0queue_name\0deferred\0queue_id\0AB\0time\x0012\0size\x003\0\
            forced_expire\x000\0sender\0s@x\0";
        let old = "recipient\0r@x\0reason\0why\0\0\0";
        let new = "original_recipient\0\0recipient\0r@x\0log_class\0defer\0reason\0why\0\0\0";
        for tail in [old, new] {
            let text = format!("{head}{tail}");
            let mut listing = Listing::new(text.as_bytes()).unwrap();
            let Event::Message(message) = listing.next_event().unwrap() else { panic!("no message") };
            assert_eq!((message.queue_id.as_str(), message.time, message.size), ("AB", 12, 3));
            let Event::Recipient(recipient) = listing.next_event().unwrap() else { panic!("no recipient") };
            assert_eq!((recipient.recipient.as_str(), recipient.reason.as_str()), ("r@x", "why"));
            assert_eq!(recipient.log_class, "defer");
            assert_eq!(listing.next_event().unwrap(), Event::EndOfMessage);
            assert_eq!(listing.next_event().unwrap(), Event::EndOfListing);
        }
        assert!(Listing::new(&b"protocol\0other\0\0"[..]).is_err());
    }
}
