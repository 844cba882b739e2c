//! Resolving, over tables in memory. The whole table of odd addresses is in `tests/conformance`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use mail_lookup::{Found, LookupError, MapsLookup};

use crate::{
    AddressClass, Classes, DomainList, ResolveError, ResolveSettings, Resolved, Resolver, RewriteSettings,
    Routing,
};

/// Domains; `!` among them: the table cannot tell.
struct Domains(&'static [&'static str]);

impl DomainList for Domains {
    fn contains(&self, domain: &str) -> Result<bool, LookupError> {
        if self.0.contains(&"!") {
            return Err(LookupError::Temporary("list".into()));
        }
        Ok(self.0.contains(&domain))
    }
}

#[derive(Default)]
struct Map(HashMap<&'static str, &'static str>);

impl MapsLookup for Map {
    fn find(&self, key: &str, _partial: bool) -> Found {
        match self.0.get(key) {
            Some(&"!") => Err(LookupError::Temporary("map".into())),
            found => Ok(found.map(|&value| value.to_owned())),
        }
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn map(entries: &[(&'static str, &'static str)]) -> Box<Map> {
    Box::new(Map(entries.iter().copied().collect()))
}

fn routing(transport_maps: &[(&'static str, &'static str)]) -> Routing {
    Routing {
        local_transport: "local:mail.example".into(),
        virtual_transport: "virtual".into(),
        relay_transport: "relay".into(),
        default_transport: "smtp".into(),
        relayhost: String::new(),
        sender_relayhost: map(&[("s@s", "[hub]"), ("broken@s", "!")]),
        sender_transport: map(&[("error@s", "error"), ("none@s", ":hop")]),
        transport_maps: map(transport_maps),
    }
}

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn resolver() -> Resolver {
    Resolver {
        settings: ResolveSettings {
            myorigin: "origin".into(),
            myhostname: "mail.example".into(),
            empty_address_recipient: "MAILER-DAEMON".into(),
            recipient_delimiter: "+".into(),
            owner_request_special: true,
            rewrite: RewriteSettings {
                origin: Some("origin".into()),
                dot_domain: None,
                swap_bangpath: true,
                percent_hack: true,
            },
            main_cf: "/etc/main.cf".into(),
            null_domain: false,
            numeric_domain: false,
            dequoted: true,
            allow_min_user: false,
            show_table_name: true,
            transport_parent_style: false,
            empty_relayhost_key: "<>".into(),
            empty_transport_key: "<>".into(),
            relocated_prefix: false,
        },
        classes: Classes {
            local: Box::new(Domains(&["here", "mail.example"])),
            own_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            virtual_alias: Box::new(Domains(&["alias", "both"])),
            virtual_mailbox: Box::new(Domains(&["vmail", "both"])),
            relay: Box::new(Domains(&["relayed"])),
        },
        routing: routing(&[("fails", "!"), ("bare", "error"), ("hop", ":[next]")]),
        verify_routing: routing(&[]),
        relocated: map(&[("moved@x", "5.1.6 to y"), ("odd@x", "gone")]),
        warn: |text| WARNINGS.lock().unwrap().push(text.to_owned()),
    }
}

/// `class transport nexthop recipient [flags]`
fn shown(found: &Resolved) -> String {
    let class = found.class.map_or("none", |class| match class {
        AddressClass::Local => "local",
        AddressClass::VirtualAlias => "alias",
        AddressClass::VirtualMailbox => "vmail",
        AddressClass::Relay => "relay",
        AddressClass::Default => "default",
    });
    let error = match found.error {
        Some(ResolveError::Bad) => " bad",
        Some(ResolveError::Fail) => " fail",
        None => "",
    };
    let routed = if found.routed { " routed" } else { "" };
    format!("{class} {} {} {}{error}{routed}", found.transport, found.nexthop, found.recipient)
}

#[test]
fn addresses_get_class_route_and_recipient() {
    let resolver = resolver();
    for (sender, address, want) in [
        ("", "", "local local mail.example MAILER-DAEMON@mail.example"),
        ("", "user", "local local mail.example user@mail.example"),
        ("", "user@x", "default smtp x user@x"),
        ("", "user@x.", "default smtp x user@x"),
        ("", "user@[127.0.0.1]", "local local mail.example user@[127.0.0.1]"),
        ("", "@here", "local local mail.example MAILER-DAEMON@here"),
        ("", "@x", "default smtp x @x"),
        ("", "user@alias", "alias error 5.1.1 User unknown in virtual alias table user@alias"),
        ("", "user@vmail", "vmail virtual vmail user@vmail"),
        ("s@s", "user@relayed", "relay relay [hub] user@relayed"),
        ("s@s", "user@x", "default smtp [hub] user@x"),
        ("error@s", "user@x", "default error x user@x"),
        ("", "a!b@here", "default smtp a b@a"),
        ("", "a%b@here", "default smtp b a@b"),
        ("", "a@b@here", "default smtp b a@b"),
        ("", "a!b@x", "default smtp x a!b@x routed"),
        ("", "-a@x", "default smtp x -a@x bad"),
        ("", "user@bare", "default error Address is undeliverable user@bare"),
        ("", "user@hop", "default smtp [next] user@hop"),
        ("", "moved@x", "default error 5.1.6 to y moved@x"),
        ("", "odd@x", "default error 5.2.0 Mailbox is unavailable odd@x"),
        ("", "user@a..b", "default CHANNEL NOT UPDATED NEXTHOP NOT UPDATED user@a..b bad"),
        ("", "user@[1.2]", "default CHANNEL NOT UPDATED NEXTHOP NOT UPDATED user@[1.2] bad"),
        ("", "user@fails", "default smtp fails user@fails fail"),
        ("broken@s", "user@x", "default smtp NEXTHOP NOT UPDATED user@x fail"),
        ("none@s", "user@x", "default  hop user@x fail"),
    ] {
        assert_eq!(shown(&resolver.resolve(sender, address, false)), want, "{sender} {address}");
    }
    let told = WARNINGS.lock().unwrap().join("\n");
    for text in [
        "transport_maps lookup failure",
        "sender_dependent_relayhost_maps lookup failure",
        "file /etc/main.cf: parameter sender_dependent_default_transport_maps: null transport is not allowed",
        "valid_ipv4_hostaddr: invalid octet count: 1.2",
        "relocated_maps: expected enhanced status code and text instead of \"gone\"",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
}

#[test]
fn a_list_that_cannot_tell_leaves_the_class_open() {
    let mut resolver = resolver();
    resolver.classes.relay = Box::new(Domains(&["!"]));
    let want = "none CHANNEL NOT UPDATED NEXTHOP NOT UPDATED user@x fail";
    assert_eq!(shown(&resolver.resolve("", "user@x", false)), want);
    assert_eq!(shown(&resolver.resolve("", "user@vmail", false)), "vmail virtual vmail user@vmail");
    resolver.classes.local = Box::new(Domains(&["!"]));
    let want = "none CHANNEL NOT UPDATED NEXTHOP NOT UPDATED NEXTRCPT NOT UPDATED fail";
    assert_eq!(shown(&resolver.resolve("", "user@x", false)), want);
}

#[test]
fn no_nesting_of_local_domains_goes_on_for_ever() {
    let resolver = resolver();
    let address = format!("user{}", "@here".repeat(10_000));
    assert_eq!(resolver.resolve("", &address, false).class, Some(AddressClass::Local));
}
