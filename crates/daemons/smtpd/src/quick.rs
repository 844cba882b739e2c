//! What can be decided in the event loop, because nobody else has to be asked.

use std::collections::HashMap;

use engine_restrict::{Class, Policy};
use host_config::{Config, param as p};
use host_daemon::Error;
use host_tables::asks_no_server;

use crate::services::Services;

/// Parts of the names of restrictions that ask a server.
const SLOW: [&str; 11] = [
    "unknown_",
    "unverified_",
    "_mx_",
    "_ns_",
    "_a_access",
    "sleep",
    "policy",
    "rbl",
    "rhsbl",
    "dnswl",
    "rhswl",
];

/// Which decisions can be made without another server, and so without a thread: their restrictions ask none, and their
/// tables are in this process.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(crate) struct Quick {
    /// The lists up to DATA, and how addresses are resolved.
    pub lists: bool,
    /// `smtpd_end_of_data_restrictions`
    pub end_of_data: bool,
    /// Whether a sender exists, where that is asked.
    pub senders: bool,
    /// `local_recipient_maps`
    local: bool,
    /// `virtual_mailbox_maps`
    mailboxes: bool,
    /// `relay_recipient_maps`
    relay: bool,
}

impl Quick {
    pub fn new(config: &Config, policy: &Policy, classes: &HashMap<String, String>) -> Result<Self, Error> {
        let lists =
            [&policy.client, &policy.helo, &policy.sender, &policy.relay, &policy.recipient, &policy.data];
        let mut texts: Vec<String> = lists
            .iter()
            .flat_map(|list| list.words().iter().cloned())
            .chain(classes.values().cloned())
            .collect();
        let asks_senders = policy.reject_unlisted_sender
            || texts.iter().chain(policy.end_of_data.words()).any(|word| word.contains("unlisted_sender"));
        for parameter in [
            p::RELOCATED_MAPS,
            p::RECIPIENT_CANONICAL_MAPS,
            p::SENDER_CANONICAL_MAPS,
            p::CANONICAL_MAPS,
            p::VIRTUAL_ALIAS_MAPS,
            p::MYNETWORKS,
        ] {
            texts.push(config.str(parameter)?);
        }
        let lists = host_resolve::asks_nobody(config)?
            && texts.iter().all(|text| asks_nobody(text) && asks_no_server(text));
        let quick =
            |parameter: p::Str| -> Result<bool, Error> { Ok(asks_no_server(&config.str(parameter)?)) };
        let local = quick(p::LOCAL_RECIPIENT_MAPS)?;
        let mailboxes = quick(p::VIRTUAL_MAILBOX_MAPS)?;
        let relay = quick(p::RELAY_RECIPIENT_MAPS)?;
        let all = local && mailboxes && relay;
        let last = policy.end_of_data.words();
        Ok(Self {
            lists,
            end_of_data: last.is_empty()
                || lists && all && last.iter().all(|text| asks_nobody(text) && asks_no_server(text)),
            senders: !asks_senders || all,
            local,
            mailboxes,
            relay,
        })
    }
}

impl Services {
    /// Whether it can be said without another server what is to be done with mail for `recipient`.
    pub fn judges_quickly(&self, recipient: &str) -> bool {
        let quick = &self.quick;
        if !quick.lists || !quick.senders {
            return false;
        }
        if quick.local && quick.mailboxes && quick.relay {
            return true;
        }
        match self.resolve(recipient).class {
            Class::Local => quick.local,
            Class::VirtualMailbox => quick.mailboxes,
            Class::Relay => quick.relay,
            Class::VirtualAlias | Class::Default => true,
        }
    }
}

fn asks_nobody(restriction: &str) -> bool {
    let restriction = restriction.to_ascii_lowercase();
    !SLOW.iter().any(|part| restriction.contains(part))
}
