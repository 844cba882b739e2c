//! The server side of SMTP without IO (RFC 5321): bytes and the time in, steps out.
//!
//! [`Session`] is the whole protocol: lines, verbs, syntax, limits, content decoding, statistics. What needs tables, names,
//! files or other servers is a [`Question`]; its [`Answer`] may come from any thread. The driver reads, writes, waits and logs.

mod address;
mod bdat;
mod client;
mod command;
mod content;
mod extensions;
mod footer;
mod lines;
mod message;
mod notices;
mod output;
mod parameters;
mod session;
mod settings;
mod statistics;
mod transaction;
mod xclient;

pub use address::{BadAddress, extract};
pub use client::{Client, NameStatus, Protocol};
pub use command::Verb;
pub use output::Reply;
pub use session::{Answer, Note, Profile, Question, Session, Step};
pub use settings::{BareNewline, Clock, Filter, Keywords, Matcher, Settings};
pub use transaction::{Encoding, MailCommand, RcptCommand, Ret, Transaction};
pub use xclient::Forwarded;

#[cfg(test)]
mod tests;
