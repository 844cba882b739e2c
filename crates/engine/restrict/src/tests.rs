//! Lists against a small world: what the client is told, what is logged.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use mail_lookup::LookupError;

use super::*;

#[derive(Default)]
struct Town {
    tables: HashMap<(&'static str, &'static str), &'static str>,
    log: Vec<String>,
    trusted: bool,
    probe: Option<Probe>,
}

impl World for Town {
    fn lookup(&mut self, table: &str, key: &str) -> Result<Option<String>, LookupError> {
        if table.ends_with("broken") {
            return Err(LookupError::Temporary("no".into()));
        }
        Ok(self
            .tables
            .iter()
            .find(|((t, k), _)| *t == table && *k == key)
            .map(|(_, value)| (*value).to_owned()))
    }
    fn is_probe_sender(&mut self, address: &str) -> bool {
        address == "double-bounce@localhost"
    }
    fn is_pattern(&mut self, table: &str) -> bool {
        table.starts_with("regexp:")
    }
    fn class(&mut self, name: &str) -> Option<String> {
        (name == "strict").then(|| "check_sender_access hash:none, reject".to_owned())
    }
    fn resolve(&mut self, address: &str) -> Resolved {
        let domain = mail_address::split(address).1.unwrap_or("here.example");
        let class = match domain {
            "here.example" => Class::Local,
            "relay.example" => Class::Relay,
            _ => Class::Default,
        };
        Resolved {
            transport: if address.starts_with("moved@") { "error".into() } else { "smtp".into() },
            nexthop: "5.1.6 User has moved".into(),
            recipient: address.to_owned(),
            class,
            routed: address.contains('%'),
            bad: false,
            failed: false,
        }
    }
    fn in_mynetworks(&mut self) -> Result<bool, LookupError> {
        Ok(self.trusted)
    }
    fn is_own_address(&mut self) -> bool {
        false
    }
    fn find(&mut self, map: Map, address: &str) -> Result<Option<String>, LookupError> {
        Ok((map == Map::LocalRecipient && address.starts_with("known@")).then(|| "x".to_owned()))
    }
    fn is_empty(&mut self, map: Map) -> bool {
        map != Map::LocalRecipient
    }
    fn hosts(&mut self, name: &str, kind: Record) -> Dns<String> {
        match (name, kind) {
            ("null.example", Record::Mx) => Dns::NullMx,
            ("slow.example", _) => Dns::Temporary("timeout".into()),
            ("good.example", Record::Mx) => Dns::Found(vec!["mx.good.example".into()]),
            (_, _) => Dns::NotFound("Host not found".into()),
        }
    }
    fn host_addresses(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        match self.addresses(name) {
            Dns::Found(addresses) => Ok(addresses),
            Dns::NotFound(reason) | Dns::Temporary(reason) => Err(reason),
            Dns::NullMx => Err("no".into()),
        }
    }

    fn addresses(&mut self, name: &str) -> Dns<IpAddr> {
        if name == "mx.good.example" {
            Dns::Found(vec![IpAddr::from([192, 0, 2, 9])])
        } else {
            Dns::NotFound("Host not found".into())
        }
    }
    fn verify(&mut self, _address: &str) -> Probe {
        self.probe.clone().unwrap_or(Probe::Down)
    }
    fn decision(&mut self, kind: &str, text: &str) {
        self.log.push(format!("{kind}: {text}"));
    }
    fn warn(&mut self, text: String) {
        self.log.push(format!("warning: {text}"));
    }
    fn info(&mut self, text: String) {
        self.log.push(text);
    }
    fn table_warning(&mut self, table: &str, key: &str, _error: &LookupError) {
        self.log.push(format!("warning: {table} lookup error for \"{key}\""));
    }
    fn sleep(&mut self, _time: Duration) {}
}

fn client() -> Client {
    Client {
        name: "mail.client.example".into(),
        reverse_name: "mail.client.example".into(),
        address: "192.0.2.7".into(),
        namaddr: "mail.client.example[192.0.2.7]".into(),
        name_status: NameStatus::Ok,
        reverse_status: NameStatus::Ok,
    }
}

struct Case {
    policy: Policy,
    town: Town,
    helo: &'static str,
    sender: &'static str,
    state: State,
}

impl Case {
    fn new(recipient_list: &str) -> Self {
        let policy = Policy {
            relay: List::default(),
            recipient: List::parse(recipient_list),
            ..Policy::with_defaults()
        };
        Self {
            policy,
            town: Town::default(),
            helo: "helo.example",
            sender: "s@good.example",
            state: State::default(),
        }
    }

    fn with(mut self, table: &'static str, key: &'static str, value: &'static str) -> Self {
        self.town.tables.insert((table, key), value);
        self
    }

    fn rcpt(&mut self, recipient: &str) -> String {
        let client = client();
        let facts = Facts {
            client: &client,
            helo: Some(self.helo),
            sender: Some(self.sender),
            recipient: Some(recipient),
            etrn: None,
            recipients: 0,
            pipelined: false,
            has_message: true,
            at_end_of_data: false,
        };
        match Evaluator::new(&self.policy, facts, &mut self.town, &mut self.state).recipient() {
            Verdict::Accept => "ok".into(),
            Verdict::Reject(text, _) => text,
            Verdict::Hangup => "hangup".into(),
        }
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_restriction_has_its_reply() {
    for (list, recipient, reply) in [
        ("reject_unauth_destination", "x@far.example", "554 5.7.1 <x@far.example>: Relay access denied"),
        ("defer_unauth_destination", "x@far.example", "454 4.7.1 <x@far.example>: Relay access denied"),
        (
            "reject_unauth_destination",
            "x%far.example@here.example",
            "554 5.7.1 <x%far.example@here.example>: Relay access denied",
        ),
        ("reject_unauth_destination", "x@relay.example", "ok"),
        (
            "reject",
            "known@here.example",
            "554 5.7.1 <known@here.example>: Recipient address rejected: Access denied",
        ),
        (
            "defer",
            "known@here.example",
            "450 4.3.2 <known@here.example>: Recipient address rejected: Try again later",
        ),
        ("permit, reject", "known@here.example", "ok"),
        (
            "",
            "unknown@here.example",
            "550 5.1.1 <unknown@here.example>: Recipient address rejected: User unknown in local recipient table",
        ),
        (
            "",
            "moved@here.example",
            "550 5.1.6 <moved@here.example>: Recipient address rejected: User has moved",
        ),
        ("reject", "postmaster", "ok"),
        (
            "strict",
            "known@here.example",
            "554 5.7.1 <known@here.example>: Recipient address rejected: Access denied",
        ),
        (
            "reject_non_fqdn_recipient",
            "x@short",
            "504 5.5.2 <x@short>: Recipient address rejected: need fully-qualified address",
        ),
        (
            "reject_unknown_recipient_domain",
            "x@null.example",
            "556 5.1.10 <x@null.example>: Recipient address rejected: Domain null.example does not accept mail (nullMX)",
        ),
        (
            "reject_unknown_recipient_domain",
            "x@none.example",
            "450 4.1.2 <x@none.example>: Recipient address rejected: Domain not found",
        ),
        (
            "reject_unknown_recipient_domain",
            "x@slow.example",
            "450 4.1.2 <x@slow.example>: Recipient address rejected: Domain not found",
        ),
        ("nonsense", "known@here.example", "451 4.3.5 Server configuration error"),
        ("reject_rbl_client zen.example", "known@here.example", "451 4.3.5 Server configuration error"),
        ("check_recipient_access", "known@here.example", "451 4.3.5 Server configuration error"),
        (
            "hash:broken",
            "known@here.example",
            "451 4.3.5 <known@here.example>: Recipient address rejected: Server configuration error",
        ),
        (
            "defer_if_permit, permit",
            "known@here.example",
            "450 4.7.0 <known@here.example>: Recipient address rejected: defer_if_permit requested",
        ),
        (
            "defer_if_reject, reject",
            "known@here.example",
            "450 4.7.0 <known@here.example>: Recipient address rejected: defer_if_reject requested",
        ),
    ] {
        assert_eq!(Case::new(list).rcpt(recipient), reply, "{list} {recipient}");
    }
}

#[test]
fn tables_are_searched_from_the_whole_to_the_parts() {
    for (list, key, found) in [
        ("check_client_access hash:t", "client.example", true),
        ("check_client_access hash:t", "192.0.2", true),
        ("check_client_access regexp:t", "192.0.2", false),
        ("check_helo_access hash:t", "example", true),
        ("check_sender_access hash:t", "good.example", true),
        ("check_sender_access hash:t", "s@", true),
        ("hash:t", "known@here.example", true),
        ("check_sender_mx_access hash:t", "192.0.2.9", true),
        ("check_sender_mx_access hash:t", "mx.good.example", true),
    ] {
        let table = if list.contains("regexp") { "regexp:t" } else { "hash:t" };
        let mut case = Case::new(list).with(table, key, "REJECT");
        assert_eq!(case.rcpt("known@here.example") != "ok", found, "{list} {key}");
    }
}

#[test]
fn each_action_of_a_table() {
    for (value, reply) in [
        ("OK", "ok"),
        ("550", "ok"),
        ("DUNNO", "ok"),
        ("REJECT go away", "554 5.7.1 <known@here.example>: Recipient address rejected: go away"),
        ("REJECT 5.1.7 gone", "554 5.1.3 <known@here.example>: Recipient address rejected: gone"),
        ("550 4.1.1 no", "550 5.1.1 <known@here.example>: Recipient address rejected: no"),
        ("DEFER", "450 4.7.1 <known@here.example>: Recipient address rejected: Access denied"),
        ("DEFER_IF_PERMIT later", "450 4.7.1 <known@here.example>: Recipient address rejected: later"),
        ("HANGUP", "hangup"),
        ("hash:other", "451 4.3.5 Server configuration error"),
    ] {
        let mut case = Case::new("hash:t").with("hash:t", "known@here.example", value);
        assert_eq!(case.rcpt("known@here.example"), reply, "{value}");
    }
    let mut case = Case::new("hash:t, check_client_access hash:u")
        .with("hash:t", "known@here.example", "FILTER smtp:[x]")
        .with("hash:u", "192.0.2.7", "PREPEND X: y");
    assert_eq!(case.rcpt("known@here.example"), "ok");
    assert_eq!(
        (case.state.effects.filter.as_deref(), case.state.effects.prepend.len()),
        (Some("smtp:[x]"), 1)
    );
    let mut case = Case::new("check_sender_mx_access hash:t").with("hash:t", "192.0.2.9", "OK");
    assert_eq!(case.rcpt("known@here.example"), "451 4.3.5 Server configuration error");
}

#[test]
fn warn_if_reject_only_warns_about_the_next_word() {
    let mut case = Case::new("warn_if_reject reject_unauth_destination, defer_unauth_destination");
    assert_eq!(case.rcpt("x@far.example"), "454 4.7.1 <x@far.example>: Relay access denied");
    assert_eq!(
        case.town.log,
        [
            "reject_warning: 554 5.7.1 <x@far.example>: Relay access denied",
            "reject: 454 4.7.1 <x@far.example>: Relay access denied"
        ]
    );
}

#[test]
fn permissions_end_one_list_only() {
    let mut case = Case::new("reject");
    case.policy.relay = List::parse("permit_mynetworks, reject_unauth_destination");
    case.town.trusted = true;
    assert_eq!(
        case.rcpt("x@far.example"),
        "554 5.7.1 <x@far.example>: Recipient address rejected: Access denied"
    );
    let mut case = Case::new("permit_mynetworks, reject_unauth_destination");
    case.town.trusted = true;
    assert_eq!(case.rcpt("x@far.example"), "ok");
}

#[test]
fn verification_defers_until_it_knows() {
    for (probe, reply) in [
        (Some(Probe::Deliverable), "ok"),
        (
            Some(Probe::Deferred("wait".into())),
            "450 4.1.1 <known@here.example>: Recipient address rejected: unverified address: wait",
        ),
        (
            Some(Probe::Undeliverable("no".into())),
            "450 4.1.1 <known@here.example>: Recipient address rejected: undeliverable address: no",
        ),
        (None, "450 4.1.1 <known@here.example>: Recipient address rejected: address verification problem"),
    ] {
        let mut case = Case::new("reject_unverified_recipient");
        case.town.probe = probe;
        assert_eq!(case.rcpt("known@here.example"), reply);
    }
}
