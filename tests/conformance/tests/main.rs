//! Conformance: what an administrator or a peer sees, the same for the reference and for ours.
//!
//! Expected texts were recorded from runs of the reference (`MTA_UNDER_TEST=theirs`). Where the target (3.11)
//! differs from the reference that can be installed (3.7.11), a test carries both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

mod access;
mod bounce;
mod cleanup;
mod commands;
mod delivery;
mod endurance;
mod flow;
mod garbage;
mod generic;
mod limits;
mod lists;
mod local;
mod mailboxes;
mod maps;
mod notices;
mod owner;
mod postconf;
mod queue;
mod relay;
mod restrictions;
mod rewriting;
mod servers;
mod smtpd;
mod system;
mod tables;
mod verify;
