//! The rewrite service: what it answers, and logs, to one client that asks it about many odd addresses.

use harness::{Attributes, Mta, golden, isolated, normal_log};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Addresses in external form, for `rewrite`.
const EXTERNAL: &[&str] = &[
    "user",
    "user@host",
    "user@host.",
    "user@host..",
    "user@a.b",
    "user@a.b.",
    "user@",
    "@",
    "@a.b",
    "@a.b:user@c.d",
    "@a.b,@c.d:user@e.f",
    "a!b",
    "a!b!c",
    "a!b@x.example",
    "!b",
    "a!",
    "a.b!c",
    "a!b%c.d",
    "a%b",
    "a%b.c",
    "a%b%c.d",
    "a%b@x.example",
    "%b",
    "a%",
    "a@b@c.d",
    "a@b%c.d",
    "\"a b\"",
    "\"a b\"@c.d",
    "\"a@b\"",
    "\"a@b\"@c.d",
    "\"a\"",
    "\"a\"@c.d",
    "\"a!b\"@c.d",
    "\"a!b\"",
    "\"a%b\"",
    "a b@c.d",
    "a  b",
    "a\\ b@c.d",
    "a\\@b@c.d",
    "<user@a.b>",
    "<user>",
    "Name <user@a.b>",
    "user (comment)",
    "user@a.b (comment)",
    "user@[1.2.3.4]",
    "user@[ipv6:::1]",
    "user@1.2.3.4",
    "user@local.example",
    "user@.a.b",
    "user@a..b",
    ".user@a.b",
    "user.@a.b",
    "us..er@a.b",
    "a,b@c.d",
    "a:b@c.d",
    "a;b@c.d",
    "x:a@b.c;",
    "MAILER-DAEMON",
    "postmaster",
    "-a",
    "-a@b.c",
    "USER@HOST",
    "é@host",
    "user@é",
    "é",
    "user@host%x",
    "[1.2.3.4]!user",
    "user%[1.2.3.4]",
    "\"",
    "\"a",
    "a\\",
    "a@b.c,d@e.f",
    "a@b.c d@e.f",
    "a<b@c.d",
    "a>b@c.d",
    "a ; b@c.d",
    "a : b@c.d",
    "a . b@c.d",
    "a , b@c.d",
    "a,b,c",
    "\"a\" \"b\"@c.d",
    "\"a\"b@c.d",
    "a\"b\"@c.d",
    "\"a\".\"b\"@c.d",
    "a[1]b@c.d",
    "a(c)b@c.d",
    "a (c) b@c.d",
    "a@b (c) . d",
    "(c)a@b",
    "a@\"b\"",
    "a@b\"c\"",
    "a@b\\c",
    "a@ b . c",
    "a @ b",
    "a!\"b c\"",
    "a!b.\"c\"",
    "\"a b\"!c",
    "a.\"b!c\"",
    "a.\"b%c\"%d",
    "a@b!c",
    "@a:b",
    "@a:b!c",
    "@a:@b",
    "@a:b@c:d@e",
    "a@b:c@d",
    "a%\"b\"",
    "a!b%",
    "!a%b",
    "a@b@",
    "a@@b",
    "@@a",
    "a@[b@c]",
    "[a@b]@c",
    "a,",
    ",a",
    "a.@b",
    ".",
    ".@a",
    "a..",
    "a.",
    " a",
    "a ",
];

/// Addresses in internal form, for `resolve`.
const INTERNAL: &[&str] = &[
    "",
    "user",
    "user@a.b",
    "user@a.b.",
    "user@a.b..",
    "user@",
    "@",
    "@@",
    "@b.example",
    "@local.example",
    "@a.b:user@c.d",
    "a!b",
    "a!b@x.example",
    "a%b",
    "a%b@x.example",
    "a@b@x.example",
    "a@b@c@x.example",
    "a!b@local.example",
    "a%b@local.example",
    "a@b.example@local.example",
    "a@local.example@local.example",
    "a@b@local.example",
    "a b@x.example",
    "a b@local.example",
    "a@b c@local.example",
    "\"a@b\"@local.example",
    "!b@local.example",
    "a!@local.example",
    "%b@local.example",
    "a%@local.example",
    "a%b%c.d@local.example",
    "a!b!c@local.example",
    "a!b%c.d@local.example",
    "a.b!c@local.example",
    "a%b.c@local.example",
    "user@local.example",
    "user@LOCAL.example",
    "user@local.example.",
    "user+x@local.example",
    "user@sub.local.example",
    "user@alias.example",
    "user@vmail.example",
    "user@relay.example",
    "user@sub.relay.example",
    "user@both.example",
    "user@three.example",
    "user@two.example",
    "-a",
    "-a@b.example",
    "-a@local.example",
    "-a@alias.example",
    "-@x.example",
    "-a@b@x.example",
    "b@-x.example",
    "user@[127.0.0.1]",
    "user@[1.2.3.4]",
    "user@[1.2.3]",
    "user@[ipv6:::1]",
    "user@[IPv6:::1]",
    "user@[ipv6:2001:db8::1]",
    "user@[::1]",
    "user@[host]",
    "user@[",
    "user@[]",
    "user@1.2.3.4",
    "user@::1",
    "user@1",
    "user@1.2",
    "user@127.0.0.1",
    "user@a..b",
    "user@.a.b",
    "user@-a.b",
    "user@a-.b",
    "user@a_b.c",
    "user@a b.c",
    "user@host",
    "user@é.example",
    "é@x.example",
    "user@xn--9ca.example",
    "user@a,b",
    "user@a:b",
    ".user@x.example",
    "us..er@x.example",
    "user.@x.example",
    "a@b.",
    "a\\b@x.example",
    "a\"b@x.example",
    "postmaster",
    "MAILER-DAEMON",
    "mailer-daemon@x.example",
    "owner-x@local.example",
    "moved@local.example",
    "moved@x.example",
    "gone@local.example",
    "moved@alias.example",
    "user@listed.example",
    "user@sub.listed.example",
    "user+ext@x.example",
    "exact@x.example",
    "exact+ext@x.example",
    "user@hop.example",
    "user@hoponly.example",
    "user@null.example",
    "user@colon.example",
    "user@error.example",
    "user@errortext.example",
    "user@retry.example",
    "user@discard.example",
    "user@space.example",
    "odd one@x.example",
    "user@bracket.example",
    "user@[10.0.0.1]",
    "user@error.alias.example",
    "@@x.example",
    "a@@x.example",
    "a,b@local.example",
    "a(b)@local.example",
    "a:b@local.example",
    "@c.d:a@b.c@local.example",
    "@c.d:user@local.example",
    "@local.example:user@c.d",
    "a@b@[127.0.0.1]",
    "a.b!@local.example",
    "a!b@c.d@local.example",
    "a@b.c.@local.example",
    "@b.c@local.example",
    "-a@b.c@local.example",
    "b.c!-a",
    "a..b@b.c@local.example",
    ".",
    "..",
    "a@b.c..@local.example",
    "user@a.b@",
    "A B",
    "!",
    "%",
    "a!",
    "%b",
    "@local.example@local.example",
    "user@[127.0.0.1].",
    "user@[10.0.0.1].",
    "\"a\"",
    "(a)",
    "a@(b)",
    "<a>",
    "user@<b>",
    "user@[1.2.3.400]",
    "user@[1..2.3]",
    "user@[1.2.3.4.5]",
    "user@[01.2.3.4]",
    "user@[0.0.0.0]",
    "user@[0.1.2.3]",
    "user@[ipv6:1]",
    "user@[ipv6:::1:x]",
    "user@[ipv6:1::2::3]",
    "user@[ipv6:]",
    "user@[ipv6:1.2.3.4]",
    "user@[ipv6:::1.2.3.4]",
    "user@[a b]",
    "user@[1.2.3.4",
    "user@1.2.3.4]",
    "user@[1.2.3.4]x",
    "user@[ipv6:1:2:3:4:5:6:7:8:9]",
    "user@[ipv6:12345::]",
    "user@[.1.2.3]",
    "user@[1.2.3.]",
    "user@[1.2.3.4:25]",
    "user@a\"b\"",
    "user@a\\b",
    "user@(c)b",
    "user@b(c)",
];

const COMMON: &str = "\
relayhost =
mydestination = local.example, both.example, three.example, $myhostname
virtual_alias_domains = alias.example, both.example, two.example, three.example, error.alias.example
virtual_mailbox_domains = vmail.example, two.example, three.example
relay_domains = relay.example
virtual_alias_maps =
relocated_maps = inline:{ {moved@local.example=new@x.example}, {moved@x.example=new@y.example}, {moved@alias.example=z@y.example} }
recipient_delimiter = +
";

/// A rewrite service of its own for each of these settings.
const SERVICES: &[(&str, &str)] = &[
    ("plain", ""),
    ("bang", "-o swap_bangpath=no"),
    ("percent", "-o allow_percent_hack=no"),
    ("neither", "-o swap_bangpath=no -o allow_percent_hack=no"),
    ("quoted", "-o resolve_dequoted_address=no"),
    ("null", "-o resolve_null_domain=yes"),
    ("numeric", "-o resolve_numeric_domain=yes"),
    ("minus", "-o allow_min_user=yes"),
    ("bare", "-o append_at_myorigin=no -o append_dot_mydomain=no"),
    ("remote", "-o remote_header_rewrite_domain=invalid.example"),
    ("origin", "-o myorigin=x.example -o empty_address_recipient=nobody"),
    ("relayhost", "-o relayhost=[hub.example]:587"),
    ("badrelay", "-o {relayhost=a b}"),
    ("tables", "-o transport_maps=texthash:$CONFIG/transport"),
    ("star", "-o transport_maps=texthash:$CONFIG/star -o relayhost=hub.example"),
    ("notransport", "-o transport_maps=texthash:$CONFIG/bare"),
    ("failing", "-o transport_maps=hash:$CONFIG/nosuch"),
    ("failrelay", "-o sender_dependent_relayhost_maps=hash:$CONFIG/nosuch"),
    ("failsender", "-o sender_dependent_default_transport_maps=hash:$CONFIG/nosuch"),
    ("failmoved", "-o relocated_maps=hash:$CONFIG/nosuch"),
    ("failalias", "-o virtual_alias_domains=hash:$CONFIG/nosuch"),
    ("failvmail", "-o virtual_mailbox_domains=hash:$CONFIG/nosuch"),
    ("failrelayed", "-o relay_domains=hash:$CONFIG/nosuch"),
    ("faillocal", "-o mydestination=hash:$CONFIG/nosuch"),
    (
        "classes",
        "-o local_transport=error:local -o virtual_transport=lmtp:unix:/v -o relay_transport=relay:[r.example] -o default_transport=smtp:[d.example]",
    ),
    (
        "texts",
        "-o {local_transport=error:5.1.1 no local} -o {default_transport=error:5.7.1 closed  now} -o virtual_transport=error -o relay_transport=retry",
    ),
    ("errors", "-o default_transport=error -o relayhost=hub.example"),
    ("hidden", "-o show_user_unknown_table_name=no"),
    ("dots", "-o append_dot_mydomain=yes"),
    (
        "remotedots",
        "-o append_dot_mydomain=yes -o remote_header_rewrite_domain=invalid.example -o append_at_myorigin=no",
    ),
    ("foreign", "-o mydestination=local.example"),
];

/// Services whose settings change what `rewrite` answers.
const REWRITE_SERVICES: &[&str] =
    &["plain", "bang", "percent", "neither", "bare", "remote", "origin", "dots", "remotedots"];

/// Services that are asked about few addresses: their settings change the answer to most of them.
const TABLE_SERVICES: &[&str] = &[
    "relayhost",
    "badrelay",
    "star",
    "notransport",
    "failing",
    "failrelay",
    "failsender",
    "failmoved",
    "failalias",
    "failvmail",
    "failrelayed",
    "faillocal",
    "classes",
    "texts",
    "errors",
];

/// Addresses of each class, and the oddest ones.
const FEW: &[&str] = &[
    "",
    "user",
    "user@a.b",
    "user@a.b..",
    "user@",
    "@b.example",
    "@local.example",
    "a!b@x.example",
    "a@b@local.example",
    "user@local.example",
    "user@sub.local.example",
    "user@alias.example",
    "user@vmail.example",
    "user@relay.example",
    "user@both.example",
    "user@two.example",
    "-a@b.example",
    "user@[127.0.0.1]",
    "user@[1.2.3.4]",
    "user@host",
    "user@x.example",
    "user+ext@x.example",
    "moved@local.example",
    "moved@x.example",
    "moved@alias.example",
];

/// Shorter: the settings that depend on the sender.
const SENDERS: &[(&str, &str)] = &[
    ("s-relay", "-o relayhost=hub.example -o sender_dependent_relayhost_maps=texthash:$CONFIG/relays"),
    (
        "s-transport",
        "-o relayhost=hub.example -o sender_dependent_default_transport_maps=texthash:$CONFIG/senders",
    ),
    (
        "s-keys",
        "-o empty_address_relayhost_maps_lookup_key=none -o empty_address_default_transport_maps_lookup_key=none2 -o sender_dependent_relayhost_maps=texthash:$CONFIG/relays -o sender_dependent_default_transport_maps=texthash:$CONFIG/senders",
    ),
    (
        "s-verify",
        "-o address_verify_transport_maps=texthash:$CONFIG/bare -o address_verify_relayhost=vhub -o address_verify_default_transport=vsmtp -o address_verify_local_transport=vlocal -o address_verify_virtual_transport=vvirtual -o address_verify_relay_transport=vrelay -o address_verify_sender_dependent_relayhost_maps=texthash:$CONFIG/relays",
    ),
];

/// Name and content of each table.
const TABLES: &[(&str, &str)] = &[
    (
        "transport",
        "listed.example smtp:[l.example]\n.listed.example smtp:sub\nexact@x.example smtp:exact\nhop.example lmtp:unix:/a\nhoponly.example :[only]\nnull.example smtp:\ncolon.example :\nerror.example error:\nerrortext.example error:5.7.1 no\nretry.example retry:\ndiscard.example discard:\nspace.example error:a  b\n\"odd one\"@x.example smtp:odd\nbracket.example smtp:[a.b]:25\n[10.0.0.1] smtp:ten\nerror.alias.example smtp:no\n[ipv6:::1] smtp:six\n",
    ),
    ("star", "* smtp:star\nlocal.example :\nvmail.example :hop\n"),
    ("bare", "x.example smtp\na.b error\nlocal.example error\n"),
    ("dots", "-o append_dot_mydomain=yes"),
    (
        "remotedots",
        "-o append_dot_mydomain=yes -o remote_header_rewrite_domain=invalid.example -o append_at_myorigin=no",
    ),
    ("foreign", "-o mydestination=local.example"),
    (
        "relays",
        "a@s.example [one]\n@s.example two\ndunno@s.example DUNNO\n<> null\nb@s.example three:25\nnone [n]\n",
    ),
    (
        "senders",
        "a@s.example smtp:[one]\n@s.example relay\ndunno@s.example DUNNO\n<> error:null\nb@s.example error\nc@s.example error:5.1.1 text\nd@s.example :hop\ne@s.example retry\nf@s.example smtp:\nnone2 relay\n",
    ),
];

#[test]
fn each_odd_address_gets_the_answer_of_the_reference() {
    isolated(|world| {
        let mut builder = world.mta("mail").main(COMMON);
        for (name, content) in TABLES {
            builder = builder.table("texthash", name, content);
        }
        for (name, options) in SERVICES.iter().chain(SENDERS) {
            builder = builder.master(&format!("{name} unix - - n - - trivial-rewrite\n  {options}"));
        }
        let mta = builder.start();
        let mut text = String::new();
        let mut first = Answers::new();
        for (name, _) in SERVICES {
            let mut queries = resolve_queries(TABLE_SERVICES.contains(name));
            if REWRITE_SERVICES.contains(name) {
                queries.extend(rewrite_queries());
            }
            ask(&mta, &mut text, name, &queries, &mut first);
        }
        for (name, _) in SENDERS {
            ask(&mta, &mut text, name, &sender_queries(*name == "s-verify"), &mut Answers::new());
        }
        golden(&mta, "rewriting/answers", &text, &[]);
    });
}

/// A request: its kind, rule or sender, and address.
type Query = (&'static str, &'static str, &'static str);
type Answers = HashMap<Query, String>;

fn rewrite_queries() -> Vec<Query> {
    let rules = ["local", "remote"].into_iter();
    rules.flat_map(|rule| EXTERNAL.iter().map(move |address| ("rewrite", rule, *address))).collect()
}

fn resolve_queries(few: bool) -> Vec<Query> {
    let addresses = if few { FEW } else { INTERNAL };
    addresses.iter().map(|address| ("resolve", "s@s.example", *address)).collect()
}

fn sender_queries(verify: bool) -> Vec<Query> {
    let classes = [
        "user@x.example",
        "user@relay.example",
        "user@local.example",
        "user@vmail.example",
        "user@alias.example",
    ];
    let mut queries = Vec::new();
    for sender in [
        "",
        "a@s.example",
        "a+x@s.example",
        "A@S.example",
        "b@s.example",
        "c@s.example",
        "d@s.example",
        "e@s.example",
        "f@s.example",
        "g@s.example",
        "dunno@s.example",
        "a",
        "q@r.example",
    ] {
        for address in if verify { &classes[..] } else { &classes[..2] } {
            queries.push((if verify { "verify" } else { "resolve" }, sender, *address));
        }
    }
    queries
}

/// Asks `service`, and writes down the answers that are not in `first`, with what was logged.
fn ask(mta: &Mta, text: &mut String, service: &str, queries: &[Query], first: &mut Answers) {
    let start = mta.log().len();
    let mut client = Attributes::connect(&mta.spool().join("private").join(service));
    let _ = writeln!(text, "[{service}]");
    for query in queries {
        let (request, by, address) = query;
        let attribute = if *request == "rewrite" { "rule" } else { "sender" };
        let reply = client.ask(&[("request", request), (attribute, by), ("address", address)]);
        let answer = values(&reply);
        if first.get(query) == Some(&answer) {
            continue;
        }
        let _ = writeln!(text, "{request} {by} <{address}> => {answer}");
        first.entry(*query).or_insert(answer);
    }
    log(mta, text, start);
}

/// The values of a reply, without the first (the flags of the server); names are the same each time.
fn values(reply: &[(String, String)]) -> String {
    let values: Vec<String> = reply.iter().skip(1).map(|(_, value)| format!("<{value}>")).collect();
    values.join(" ")
}

/// What has been logged since the log had `start` bytes, each line once.
fn log(mta: &Mta, text: &mut String, start: usize) {
    let mark = format!("mark {}", mta.log().len());
    assert_eq!(mta.run("postlog", &["-t", "harness", &mark]).code, 0);
    mta.wait(&[&mark]);
    let log = mta.log();
    let new = log.get(start..).unwrap_or_default();
    let mut seen: Vec<String> = Vec::new();
    for line in new.lines().filter(|line| told(line)) {
        let line = normal_log(line);
        if !seen.contains(&line) {
            let _ = writeln!(text, "{line}");
            seen.push(line);
        }
    }
}

/// Whether a line of the log counts: the reference asks for a catch-all entry in advance, and keeps what it found.
fn told(line: &str) -> bool {
    line.contains("/trivial-rewrite[") && !line.ends_with(" lookup error for \"*\"")
}
