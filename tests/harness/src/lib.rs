//! Test instances of the mail system with scripted peers around them.
//!
//! The same test runs against the reference (`MTA_UNDER_TEST=theirs`), against ours (the default), against the
//! reference with one of our daemons in it (`chimera:NAME`) and against ours with one of theirs (`reverse:NAME`).
//!
//! ```no_run
//! harness::isolated(|world| {
//!     let mta = world.mta("mail").main("append_dot_mydomain = no").start();
//!     let mut client = mta.smtp();
//!     assert_eq!(client.banner(), "220 mail.example.com ESMTP Postfix");
//! });
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failure here is a failed test, said loudly

mod attributes;
mod client;
mod dns;
mod golden;
mod images;
mod layout;
mod mailbox;
mod mta;
mod needs;
mod normal;
mod procs;
mod random;
mod recorder;
mod sink;
mod spool;
mod target;
mod wait;
mod world;

pub use attributes::Attributes;
pub use client::Client;
pub use dns::DnsServer;
pub use golden::{Change, golden, talk};
pub use mailbox::{maildir, mbox};
pub use mta::{Builder, Mta, Run, write_aged};
pub use needs::{needs_default_configuration, needs_program, needs_reference, needs_root, skip};
pub use normal::{normal, normal_dsn, normal_log};
pub use random::Random;
pub use recorder::{Recorder, Request, stream_services};
pub use sink::{Received, Sink, SinkBuilder};
pub use spool::QUEUES;
pub use target::Target;
pub use wait::{DEADLINE, until};
pub use world::{World, free_port, isolated, isolated_dns, source, temporary};
