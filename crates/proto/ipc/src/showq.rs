//! showq: the queue listing. One list a message; an empty list ends the listing.

use serde::{Deserialize, Serialize};

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
