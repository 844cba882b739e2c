//! What restriction lists see: tables, names, addresses, the verification service, the log.

use std::net::IpAddr;
use std::time::Duration;

use engine_restrict as restrict;
use engine_restrict::{Dns, Map, Probe, Record, Resolved, World};
use mail_lookup::{KeyClass, LookupError};
use proto_smtp::server::{Client, NameStatus, Session};

use crate::backend::Given;
use crate::connect;
use crate::services::Services;

/// One decision of one session.
pub(crate) struct Scene<'a> {
    services: &'a Services,
    session: &'a Session,
    given: Given<'a>,
    peer: &'a Client,
}

impl<'a> Scene<'a> {
    pub fn new(services: &'a Services, session: &'a Session, given: Given<'a>) -> Self {
        Self { services, session, given, peer: given.client.unwrap_or_else(|| session.client()) }
    }

    /// The client as the engine sees it.
    pub fn client(&self) -> restrict::Client {
        restrict::Client {
            name: self.peer.name.clone(),
            reverse_name: self.peer.reverse_name.clone(),
            address: self.peer.address.clone(),
            namaddr: self.namaddr(),
            name_status: status(self.peer.name_status),
            reverse_status: status(self.peer.reverse_status),
        }
    }

    fn namaddr(&self) -> String {
        self.peer.text(self.services.settings.port_logging)
    }
}

const fn status(status: NameStatus) -> restrict::NameStatus {
    match status {
        NameStatus::Ok => restrict::NameStatus::Ok,
        NameStatus::Temporary => restrict::NameStatus::Temporary,
        NameStatus::Permanent => restrict::NameStatus::Permanent,
        NameStatus::Forged => restrict::NameStatus::Forged,
    }
}

impl World for Scene<'_> {
    fn lookup(&mut self, table: &str, key: &str) -> Result<Option<String>, LookupError> {
        self.services.access_table(table).lookup(key)
    }

    fn is_pattern(&mut self, table: &str) -> bool {
        self.services.access_table(table).class() == KeyClass::Pattern
    }

    fn is_probe_sender(&mut self, address: &str) -> bool {
        self.services.is_probe_sender(address)
    }

    fn class(&mut self, name: &str) -> Option<String> {
        self.services.classes.get(name).cloned()
    }

    fn resolve(&mut self, address: &str) -> Resolved {
        let resolved = self.services.resolve(address);
        Resolved { recipient: mail_address::fold(&resolved.recipient), ..resolved }
    }

    fn in_mynetworks(&mut self) -> Result<bool, LookupError> {
        self.services.mynetworks.matches_host(&self.peer.name, self.peer.address.parse().ok())
    }

    fn is_own_address(&mut self) -> bool {
        self.services.is_own_address(self.peer)
    }

    fn find(&mut self, map: Map, address: &str) -> Result<Option<String>, LookupError> {
        self.services.find(map, address)
    }

    fn is_empty(&mut self, map: Map) -> bool {
        use mail_lookup::MapsLookup;
        self.services.maps(map).is_empty()
    }

    fn hosts(&mut self, name: &str, kind: Record) -> Dns<String> {
        let (kind, is_mx) = match kind {
            Record::Mx => (proto_dns::Kind::Mx, true),
            Record::Ns => (proto_dns::Kind::Ns, false),
        };
        if !mail_address::hostname::is_hostname(name) {
            return Dns::NotFound(proto_dns::Cause::NotFound.as_str().to_owned());
        }
        match self.services.resolver.lookup(name, kind) {
            Err(failure) => dns_failure(&failure),
            Ok(answers) => {
                let names: Vec<String> = answers
                    .into_iter()
                    .filter_map(|answer| match answer.value {
                        proto_dns::Value::Exchange(_, host) | proto_dns::Value::Name(host) => Some(host),
                        proto_dns::Value::Address(_) | proto_dns::Value::Text(_) => None,
                    })
                    .collect();
                if is_mx && names.iter().all(String::is_empty) { Dns::NullMx } else { Dns::Found(names) }
            }
        }
    }

    fn addresses(&mut self, name: &str) -> Dns<IpAddr> {
        match self.services.resolver.addresses(name, &[proto_dns::Kind::A, proto_dns::Kind::Aaaa]) {
            Ok(found) => Dns::Found(found.into_iter().map(|(ip, _)| ip).collect()),
            Err(failure) => dns_failure(&failure),
        }
    }

    fn host_addresses(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        os_sys::net::host_addresses(name)
    }

    fn verify(&mut self, address: &str) -> Probe {
        self.services.verify(address)
    }

    fn decision(&mut self, kind: &str, text: &str) {
        let transaction = self.session.transaction();
        let sender = self.given.sender.or_else(|| transaction.map(|t| t.mail.sender.as_str()));
        let recipient =
            self.given.recipient.or_else(|| transaction.and_then(|t| t.only_recipient.as_deref()));
        let tail = self.session.decision_tail_of(sender, recipient, self.given.helo);
        os_log::info!(
            "{}: {kind}: {} from {}: {text}{tail}",
            self.session.queue_id_text(),
            self.session.place(),
            self.namaddr()
        );
    }

    fn warn(&mut self, text: String) {
        os_log::warning!("{text}");
    }

    fn info(&mut self, text: String) {
        os_log::info!("{text}");
    }

    fn table_warning(&mut self, table: &str, key: &str, _error: &LookupError) {
        // The table has said why; this is what it was asked for.
        os_log::warning!("{table} lookup error for \"{key}\"");
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

fn dns_failure<T>(failure: &proto_dns::LookupFailure) -> Dns<T> {
    let text = failure.cause.as_str().to_owned();
    if failure.cause.is_temporary() { Dns::Temporary(text) } else { Dns::NotFound(text) }
}

impl Services {
    /// Whether mail of this client gets local header rewriting (`postconf(5) local_header_rewrite_clients`).
    pub fn rewrites_locally(&self, client: &Client) -> bool {
        for word in &self.rewrite_clients {
            let yes = match word.to_ascii_lowercase().as_str() {
                "permit_inet_interfaces" => self.is_own_address(client),
                "permit_mynetworks" => connect::listed(&self.mynetworks, client),
                "permit_sasl_authenticated"
                | "permit_tls_clientcerts"
                | "permit_tls_all_clientcerts"
                | "check_address_map" => false,
                _ if word.contains(':') => {
                    matches!(self.access_table(word).lookup(&client.address), Ok(Some(_)))
                }
                _ => {
                    os_log::warning!("unknown local_header_rewrite_clients restriction: \"{word}\"");
                    false
                }
            };
            if yes {
                return true;
            }
        }
        false
    }

    /// The client comes from one of our own addresses.
    pub fn is_own_address(&self, client: &Client) -> bool {
        client.address.parse::<IpAddr>().is_ok_and(|ip| self.own_addresses.contains(&ip))
    }
}
