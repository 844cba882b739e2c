//! What can be decided in the event loop, because nobody else has to be asked.

use std::collections::HashMap;

use engine_restrict::{Class, Policy};
use host_config::{Config, param as p};
use host_daemon::Error;

use crate::services::{Services, is_table};

/// Table types that are in this process and never wait.
const QUICK: [&str; 12] =
    ["hash", "btree", "cdb", "lmdb", "dbm", "sdbm", "texthash", "regexp", "pcre", "cidr", "static", "inline"];

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
        for parameter in RESOLVING {
            texts.push(config.str(parameter)?);
        }
        let in_process = config.str(p::POSTINO_REWRITE_SERVICE)? == "in-process";
        let lists = in_process && texts.iter().all(|text| asks_nobody(text) && is_quick(text));
        let quick = |parameter: p::Str| -> Result<bool, Error> { Ok(is_quick(&config.str(parameter)?)) };
        let local = quick(p::LOCAL_RECIPIENT_MAPS)?;
        let mailboxes = quick(p::VIRTUAL_MAILBOX_MAPS)?;
        let relay = quick(p::RELAY_RECIPIENT_MAPS)?;
        let all = local && mailboxes && relay;
        let last = policy.end_of_data.words();
        Ok(Self {
            lists,
            end_of_data: last.is_empty()
                || lists && all && last.iter().all(|text| asks_nobody(text) && is_quick(text)),
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

/// Tables that say where an address belongs.
const RESOLVING: [p::Str; 13] = [
    p::TRANSPORT_MAPS,
    p::RELOCATED_MAPS,
    p::SENDER_DEPENDENT_RELAYHOST_MAPS,
    p::SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
    p::RECIPIENT_CANONICAL_MAPS,
    p::SENDER_CANONICAL_MAPS,
    p::CANONICAL_MAPS,
    p::VIRTUAL_ALIAS_MAPS,
    p::MYDESTINATION,
    p::RELAY_DOMAINS,
    p::VIRTUAL_ALIAS_DOMAINS,
    p::VIRTUAL_MAILBOX_DOMAINS,
    p::MYNETWORKS,
];

fn asks_nobody(restriction: &str) -> bool {
    let restriction = restriction.to_ascii_lowercase();
    !SLOW.iter().any(|part| restriction.contains(part))
}

fn is_quick(text: &str) -> bool {
    mail_text::list::words_with_groups(text).into_iter().filter(|word| is_table(word)).all(|word| {
        word.split_once(':').is_some_and(|(kind, _)| QUICK.contains(&kind.to_ascii_lowercase().as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_in_other_processes_are_slow() {
        for (text, quick) in [
            ("hash:/a, inline:{{a=b}}", true),
            ("proxy:unix:passwd.byname hash:/x", false),
            ("example.com, !10.0.0.0/8", true),
            ("ldap:/etc/x", false),
        ] {
            assert_eq!(is_quick(text), quick, "{text}");
        }
    }
}
