//! SMTP and LMTP without IO: server session, client dialogue, replies.
#![deny(clippy::indexing_slicing)]

pub mod client;
pub mod keywords;
pub mod server;
pub mod transcript;
