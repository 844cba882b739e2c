//! The anvil client: one connection for the whole process, made when needed.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use proto_ipc::anvil::{ConnectReply, PROTOCOL, Query, RateReply};
use proto_ipc::{Connection, Error, Format, StatusReply};
use serde::de::DeserializeOwned;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Message,
    Recipient,
}

impl Event {
    const fn request(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Recipient => "recipient",
        }
    }
}

/// Counts events of clients. Without the service nothing is limited, but a warning is logged.
pub(crate) struct Anvil {
    path: PathBuf,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
}

impl Anvil {
    pub fn new(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout, connection: Mutex::new(None) }
    }

    /// A client connected: simultaneous connections, and connections in the time unit.
    pub fn connect(&self, ident: &str) -> Option<(i64, i64)> {
        let reply: ConnectReply = self.ask("connect", ident)?;
        (reply.status == 0).then(|| (reply.count.into(), reply.rate.into()))
    }

    /// It is gone.
    pub fn disconnect(&self, ident: &str) {
        let _: Option<StatusReply> = self.ask("disconnect", ident);
    }

    /// Events of this kind in the time unit, this one included.
    pub fn count(&self, event: Event, ident: &str) -> Option<i64> {
        let reply: RateReply = self.ask(event.request(), ident)?;
        (reply.status == 0).then(|| reply.rate.into())
    }

    fn ask<T: DeserializeOwned>(&self, request: &str, ident: &str) -> Option<T> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection that anvil has closed meanwhile is noticed at the first try only.
        for again in [true, false] {
            match self.try_ask(&mut held, request, ident) {
                Ok(reply) => return Some(reply),
                Err(error) => {
                    *held = None;
                    if !again {
                        os_log::warning!("problem talking to service {}: {error}", self.path.display());
                    }
                }
            }
        }
        None
    }

    fn try_ask<T: DeserializeOwned>(
        &self,
        held: &mut Option<Connection>,
        request: &str,
        ident: &str,
    ) -> Result<T, Error> {
        let connection = match held {
            Some(connection) => connection,
            None => {
                let mut connection = Connection::connect(&self.path, Format::plain(), self.timeout)?;
                connection.expect_announcement(PROTOCOL)?;
                held.insert(connection)
            }
        };
        connection.send(&Query { request: request.to_owned(), ident: ident.to_owned() })?;
        connection.flush()?;
        connection.receive()
    }
}
