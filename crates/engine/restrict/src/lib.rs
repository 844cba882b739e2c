//! Access restriction lists (`postconf(5) smtpd_recipient_restrictions` and its sisters), evaluated over facts that are
//! passed in and a [`World`] that answers for tables, names, addresses and verification. No IO, no clock.
#![deny(clippy::indexing_slicing)]

mod access;
mod evaluate;
mod facts;
mod list;
mod names;
mod policy;
mod stages;
mod tables;
mod validate;

pub use evaluate::{Cause, Evaluator, Verdict};
pub use facts::{Class, Client, Dns, Facts, Map, NameStatus, Probe, Record, Resolved, World};
pub use list::{List, has_safe_recipient_list};
pub use policy::{Policy, TempfailAction};
pub use stages::{Effects, State};

#[cfg(test)]
mod tests;
