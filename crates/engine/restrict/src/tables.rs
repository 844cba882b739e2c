//! check_*_access: which keys are tried in which table.

use std::net::IpAddr;

use mail_lookup::LookupError;

use crate::evaluate::{Evaluator, Flow, Scope, Verdict};
use crate::facts::{Dns, Record};

/// Addresses tried for one name.
const ADDRESS_LIMIT: usize = 100;

/// What a table is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Datum {
    Client,
    ReverseClient,
    Helo,
    Sender,
    Recipient,
    Etrn,
}

/// Through which detour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    Direct,
    Mx,
    Ns,
    Address,
}

impl Via {
    const fn record(self) -> Option<Record> {
        match self {
            Self::Direct | Self::Address => None,
            Self::Mx => Some(Record::Mx),
            Self::Ns => Some(Record::Ns),
        }
    }

    /// What warnings call the servers; nothing is said about names whose own addresses are looked up.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Direct | Self::Address => None,
            Self::Mx => Some("MX"),
            Self::Ns => Some("NS"),
        }
    }
}

fn parse(name: &str) -> Option<(Datum, Via)> {
    let name = name.strip_prefix("check_")?.strip_suffix("_access")?;
    let (name, via) = [("_mx", Via::Mx), ("_ns", Via::Ns), ("_a", Via::Address)]
        .into_iter()
        .find_map(|(suffix, via)| Some((name.strip_suffix(suffix)?, via)))
        .unwrap_or((name, Via::Direct));
    let datum = match name {
        "client" => Datum::Client,
        "reverse_client_hostname" => Datum::ReverseClient,
        "helo" => Datum::Helo,
        "sender" => Datum::Sender,
        "recipient" => Datum::Recipient,
        "etrn" if via == Via::Direct => Datum::Etrn,
        _ => return None,
    };
    Some((datum, via))
}

/// Whether this is the name of a table check.
pub(crate) fn is_check(name: &str) -> bool {
    parse(name).is_some() || matches!(name, "check_sasl_access" | "check_ccert_access")
}

/// Restrictions that take an argument and ask servers outside: not in this release.
pub(crate) fn is_later(name: &str) -> bool {
    matches!(
        name,
        "check_policy_service"
            | "reject_rbl_client"
            | "reject_rbl"
            | "reject_rhsbl_client"
            | "reject_rhsbl_reverse_client"
            | "reject_rhsbl_helo"
            | "reject_rhsbl_sender"
            | "reject_rhsbl_recipient"
            | "permit_dnswl_client"
            | "permit_rhswl_client"
    ) || name == "permit_mx_backup"
}

/// Why a search has no result.
enum Failure {
    /// The table could not tell about this key.
    Table(String, LookupError),
    /// An entry without a value; already logged.
    Empty,
}

/// Result of a search: the value and the key that was found.
type Hit = Result<Option<(String, String)>, Failure>;

impl Evaluator<'_> {
    /// Looks the datum of `check` up in `table` and carries the result out.
    pub(crate) fn table_check(&mut self, check: &str, table: &str) -> Flow {
        // Nobody has logged in and no certificate was shown: nothing to look up.
        let Some((datum, via)) = parse(check) else { return Flow::Next };
        let Some(own) = self.scope_of(datum) else { return Flow::Next };
        let hit = match via {
            Via::Direct => self.direct(datum, table, &own),
            Via::Mx | Via::Ns | Via::Address => self.servers(datum, via, table, &own),
        };
        let (value, key) = match hit {
            Ok(Some(found)) => found,
            Ok(None) => return Flow::Next,
            Err(failure) => {
                if let Failure::Table(key, error) = failure {
                    self.world.table_warning(table, &key, &error);
                }
                ("451 4.3.5 Server configuration error".to_owned(), own.name.clone())
            }
        };
        let strict = via != Via::Direct || datum == Datum::ReverseClient;
        let flow = self.action(table, &value, &key, &own);
        match flow {
            Flow::Permit if strict => self.must_not_permit(check, &own.name),
            Flow::Permit if datum == Datum::Recipient && self.is_routed() => Flow::Next,
            Flow::Next
            | Flow::Permit
            | Flow::PermitAll
            | Flow::Stop(Verdict::Accept | Verdict::Reject(..) | Verdict::Hangup) => flow,
        }
    }

    fn must_not_permit(&mut self, check: &str, name: &str) -> Flow {
        self.world.warn(format!("restriction {check} returns OK for {name}"));
        self.world.warn("this is not allowed for security reasons".to_owned());
        self.world.warn("use DUNNO instead of OK if you want to make an exception".to_owned());
        self.configuration_error()
    }

    fn is_routed(&mut self) -> bool {
        match self.facts.recipient {
            Some(recipient) => self.world.resolve(recipient).routed && !self.policy.allow_untrusted_routing,
            None => false,
        }
    }

    fn scope_of(&self, datum: Datum) -> Option<Scope> {
        match datum {
            Datum::Client | Datum::ReverseClient => Some(self.client_scope()),
            Datum::Helo => self.helo_scope(),
            Datum::Sender => self.sender_scope(),
            Datum::Recipient => self.facts.recipient.map(|_| self.recipient_scope()),
            Datum::Etrn => {
                let name = self.facts.etrn?.to_owned();
                Some(Scope { name, class: "Etrn command", default_table: None })
            }
        }
    }

    fn direct(&mut self, datum: Datum, table: &str, scope: &Scope) -> Hit {
        let client = self.facts.client;
        match datum {
            Datum::Client => self.name_then_address(table, &client.name, &client.address),
            Datum::ReverseClient => self.domain(table, &client.reverse_name),
            Datum::Helo | Datum::Etrn => self.domain(table, &scope.name),
            Datum::Sender if scope.name.is_empty() => {
                let key = self.policy.null_sender_key.clone();
                self.key(table, &key)
            }
            Datum::Sender | Datum::Recipient => self.mail_address(table, &scope.name),
        }
    }

    fn key(&mut self, table: &str, key: &str) -> Hit {
        let found = self.world.lookup(table, key).map_err(|error| Failure::Table(key.to_owned(), error))?;
        if found.as_ref().is_some_and(String::is_empty) {
            self.world.warn(format!("{table} lookup of {key} returns an empty string result"));
            self.world.warn(format!("{table} should return NO RESULT in case of NOT FOUND"));
            return Err(Failure::Empty);
        }
        Ok(found.map(|value| (value, key.to_owned())))
    }

    fn name_then_address(&mut self, table: &str, name: &str, address: &str) -> Hit {
        if let Some(hit) = self.domain(table, name)? {
            return Ok(Some(hit));
        }
        self.network(table, address)
    }

    /// The name, then its parent domains.
    fn domain(&mut self, table: &str, name: &str) -> Hit {
        if name.is_empty() {
            return Ok(None);
        }
        if let Some(hit) = self.key(table, name)? {
            return Ok(Some(hit));
        }
        let is_address = name.parse::<IpAddr>().is_ok() || name.starts_with('[');
        if is_address || self.world.is_pattern(table) {
            return Ok(None);
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            let key = if self.policy.parent_style { parent.to_owned() } else { format!(".{parent}") };
            if let Some(hit) = self.key(table, &key)? {
                return Ok(Some(hit));
            }
            rest = parent;
        }
        Ok(None)
    }

    /// The address, then its networks: cut at each last `.` or `:`.
    fn network(&mut self, table: &str, address: &str) -> Hit {
        let separator = if address.contains(':') { ':' } else { '.' };
        let mut key = address;
        loop {
            if let Some(hit) = self.key(table, key)? {
                return Ok(Some(hit));
            }
            if self.world.is_pattern(table) {
                return Ok(None);
            }
            match key.rsplit_once(separator) {
                Some((shorter, _)) => key = shorter.trim_end_matches(separator),
                None => return Ok(None),
            }
            if key.is_empty() {
                return Ok(None);
            }
        }
    }

    /// `user+ext@dom`, `user@dom`, `dom` and its parents, `user+ext@`, `user@`.
    fn mail_address(&mut self, table: &str, address: &str) -> Hit {
        let resolved = self.world.resolve(address);
        let full =
            mail_address::fold(if resolved.recipient.is_empty() { address } else { &resolved.recipient });
        let (local, domain) = mail_address::split(&full);
        let delimiters = self.policy.recipient_delimiter.clone();
        let base = mail_address::split_extension(local, &delimiters, self.policy.owner_request_special)
            .map(|(user, _)| user);
        let mut locals = vec![local];
        locals.extend(base);
        if let Some(domain) = domain {
            for user in &locals {
                if let Some(hit) = self.quoted_then_plain(table, &format!("{user}@{domain}"))? {
                    return Ok(Some(hit));
                }
                if self.world.is_pattern(table) {
                    return Ok(None);
                }
            }
            if let Some(hit) = self.domain(table, domain)? {
                return Ok(Some(hit));
            }
        }
        for user in &locals {
            if let Some(hit) = self.quoted_then_plain(table, &format!("{user}@"))? {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    fn quoted_then_plain(&mut self, table: &str, internal: &str) -> Hit {
        let external = mail_address::to_external(internal);
        if external != internal
            && let Some(hit) = self.key(table, &external)?
        {
            return Ok(Some(hit));
        }
        self.key(table, internal)
    }

    /// Host names and addresses of the servers behind a name.
    fn servers(&mut self, datum: Datum, via: Via, table: &str, scope: &Scope) -> Hit {
        let client = self.facts.client;
        let name = match datum {
            Datum::Client => client.name.clone(),
            Datum::ReverseClient => client.reverse_name.clone(),
            Datum::Helo | Datum::Etrn => scope.name.clone(),
            Datum::Sender | Datum::Recipient => {
                mail_address::fold(mail_address::split(&scope.name).1.unwrap_or(&scope.name))
            }
        };
        if name.is_empty() || name == "unknown" {
            return Ok(None);
        }
        if let Some(address) = mail_address::hostname::literal(&name) {
            return if via == Via::Ns { Ok(None) } else { self.network(table, &address.to_string()) };
        }
        if name.starts_with('[') {
            return Ok(None);
        }
        for host in self.server_names(&name, via, scope) {
            if let Some(hit) = self.server(table, &host, via, scope)? {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    fn server(&mut self, table: &str, host: &str, via: Via, scope: &Scope) -> Hit {
        if let Some(hit) = self.domain(table, host)? {
            return Ok(Some(hit));
        }
        let addresses = match self.world.host_addresses(host) {
            Ok(addresses) => addresses,
            Err(reason) => {
                if let Some(word) = via.word() {
                    let (class, name) = (scope.class, &scope.name);
                    self.world
                        .warn(format!("Unable to look up {word} host {host} for {class} {name}: {reason}"));
                }
                return Ok(None);
            }
        };
        for address in addresses.iter().take(ADDRESS_LIMIT) {
            if let Some(hit) = self.network(table, &address.to_string())? {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    fn server_names(&mut self, name: &str, via: Via, scope: &Scope) -> Vec<String> {
        let (Some(word), Some(kind)) = (via.word(), via.record()) else { return vec![name.to_owned()] };
        let mut domain = name;
        loop {
            match self.world.hosts(domain, kind) {
                Dns::Found(hosts) => return hosts,
                Dns::NullMx => return Vec::new(),
                Dns::NotFound(_) if kind == Record::Mx => return vec![name.to_owned()],
                Dns::NotFound(reason) => match domain.split_once('.') {
                    Some((_, parent)) if !parent.is_empty() => domain = parent,
                    Some(_) | None => {
                        let name = &scope.name;
                        self.world.warn(format!("Unable to look up {word} host for {name}: {reason}"));
                        return Vec::new();
                    }
                },
                Dns::Temporary(reason) => {
                    self.world.warn(format!("Unable to look up {word} host for {domain}: {reason}"));
                    return Vec::new();
                }
            }
        }
    }
}
