//! Match lists: addresses, names, files, tables, exceptions, and what is said of mistakes.

use harness::{Change, Client, Mta, World, golden, isolated, normal, normal_log};
use std::fmt::Write as _;

/// Client addresses and names that are asked about.
const CLIENTS: &[(&str, &str)] = &[
    ("10.1.2.3", "one.example.org"),
    ("10.2.0.1", "two.sub.example.org"),
    ("11.0.0.1", "[UNAVAILABLE]"),
    ("IPV6:2001:db8::1", "six.example.org"),
    ("IPV6:::1", "localhost"),
];

fn start(world: &World, number: usize, settings: &str) -> Mta {
    let mta = world.mta(&format!("mail{number}")).build();
    let config = mta.config().display().to_string();
    let file = |name: &str, text: &str| std::fs::write(mta.config().join(name), text).unwrap();
    file("nets", "# ours\n10.1.0.0/16\n\n  2001:db8::/32 !10.1.2.3\n[2001:db8::]/32, 11.0.0.1\n");
    file("outer", "$CONFIG/nets\n/nosuch/inner\n".replace("$CONFIG", &config).as_str());
    file("cidr", "10.1.0.0/16 x\n2001:db8::/32 y\n");
    file("names", "example.org\n");
    let main = std::fs::read_to_string(mta.config().join("main.cf")).unwrap();
    let own: Vec<&str> = settings
        .lines()
        .chain(["inet_protocols="])
        .filter_map(|line| line.split('=').next())
        .map(str::trim)
        .collect();
    let kept = main.lines().filter(|line| !own.contains(&line.split('=').next().unwrap_or("").trim()));
    let main: String = kept.map(|line| format!("{line}\n")).collect();
    let more = settings.replace("$CONFIG", &config);
    harness::write_aged(&mta.config().join("main.cf"), &format!("{main}inet_protocols = all\n{more}\n"));
    mta.start();
    mta
}

/// The reply to a recipient elsewhere, from this client; the connection may end instead.
fn relay(mta: &Mta, address: &str, name: &str, recipient: &str) -> String {
    let mut client = Client::connect(mta.address());
    let banner = client.banner();
    if banner.is_empty() {
        return "(closed)".to_owned();
    }
    client.cmd("EHLO test.example");
    client.cmd(&format!("XCLIENT ADDR={address} NAME={name}"));
    client.cmd("EHLO test.example");
    client.cmd("MAIL FROM:<a@example.net>");
    let reply = client.cmd(&format!("RCPT TO:<{recipient}>"));
    reply.split(' ').next().unwrap_or_default().to_owned()
}

/// What the log says about the list, each text once.
fn said(mta: &Mta) -> String {
    let config = mta.config().display().to_string();
    let lines = mta.lines(&["postfix/smtpd["]);
    let wanted = |line: &&String| {
        // 3.7 does not look into that list unless it is told to.
        let is_new = line.contains("smtpd_forbid_bare_newline_exclusions");
        !is_new && ["warning: ", "error: ", "fatal: "].iter().any(|word| line.contains(word))
    };
    let lines: std::collections::BTreeSet<String> =
        lines.iter().filter(wanted).map(|line| normal_log(line).replace(&config, "CONFIG") + "\n").collect();
    lines.into_iter().collect()
}

#[test]
fn lists_of_clients() {
    isolated(|world| {
        let mut text = String::new();
        for (number, list) in [
            "10.0.0.0/8",
            "!10.1.0.0/16, 10.0.0.0/8",
            "10.0.0.0/8, !10.1.0.0/16",
            "!!10.1.0.0/16",
            "10.1.2.3 11.0.0.1",
            "[2001:db8::]/32",
            "[2001:db8::1] [::1]/128",
            "[10.1.2.3] [10.2.0.0]/16",
            "0.0.0.0/0",
            "[::]/0",
            "10.0.0.0/8 #comment 11.0.0.0/8",
            "$CONFIG/nets",
            "!$CONFIG/nets, static:all",
            "cidr:$CONFIG/cidr",
            "!cidr:$CONFIG/cidr static:all",
            "inline:{10.1.2.3=x, 2001:db8::1=y}",
            "static:all",
            "one.example.org .example.org",
            "example.org",
            "ONE.example.org 10.2.0.1/32",
        ]
        .into_iter()
        .enumerate()
        {
            let mta = start(
                world,
                number,
                &format!(
                    "smtpd_authorized_xclient_hosts = 127.0.0.1\nmynetworks = {list}\n\
                     smtpd_recipient_restrictions = permit_mynetworks, reject\nsmtpd_relay_restrictions ="
                ),
            );
            let replies: Vec<String> =
                CLIENTS.iter().map(|(address, name)| relay(&mta, address, name, "x@far.example")).collect();
            let _ = writeln!(text, "{list}\n= {}\n{}", replies.join(" "), said(&mta));
            mta.kill_all();
        }
        let comment = Change {
            program: "smtpd",
            old: "comment at end of line is not supported: #comment 11.0.0.0/8",
            new: "#comment after other text is not allowed: #comment 11.0.0.0/8...",
        };
        golden(&world.mta("any").build(), "lists/clients", &normal(&text), &[comment]);
    });
}

#[test]
fn mistakes_in_lists_of_clients() {
    isolated(|world| {
        let mut text = String::new();
        for (number, list) in [
            "10.0.0.1/8, 11.0.0.1",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/x 11.0.0.1",
            "10.0.0.0/8/9",
            "[2001:db8::1, 11.0.0.1",
            "[2001:db8::]x",
            "[2001:db8::]/200",
            "2001:db8::/32, 11.0.0.1",
            "300.1.1.1",
            "hash:/nosuch, 11.0.0.1",
            "11.0.0.1, hash:/nosuch",
            "/nosuch/file, 11.0.0.1",
            "$CONFIG/outer",
            "nosuch:x",
            "{10.0.0.0/8} 11.0.0.1",
        ]
        .into_iter()
        .enumerate()
        {
            let mta = start(
                world,
                number,
                &format!(
                    "smtpd_authorized_xclient_hosts = 127.0.0.1\nmynetworks = {list}\n\
                     smtpd_recipient_restrictions = permit_mynetworks, reject\nsmtpd_relay_restrictions =\n\
                     service_throttle_time = 1s"
                ),
            );
            let replies: Vec<String> = CLIENTS
                .iter()
                .take(3)
                .map(|(address, name)| relay(&mta, address, name, "x@far.example"))
                .collect();
            let _ = writeln!(text, "{list}\n= {}\n{}", replies.join(" "), said(&mta));
            mta.kill_all();
        }
        golden(&world.mta("any").build(), "lists/mistakes", &normal(&text), &[]);
    });
}

#[test]
fn lists_of_domains() {
    isolated(|world| {
        let mut text = String::new();
        for (number, (domains, parents)) in [
            ("example.org", "relay_domains"),
            ("example.org", ""),
            (".example.org", ""),
            (".example.org", "relay_domains"),
            ("$CONFIG/names", "relay_domains"),
            ("inline:{example.org=x}", "relay_domains"),
            ("inline:{example.org=x}", ""),
            ("inline:{.example.org=x}", ""),
            ("!sub.example.org, example.org", "relay_domains"),
            ("!sub.example.org, .example.org", "smtpd_access_maps"),
            ("EXAMPLE.org", "relay_domains, mynetworks"),
            ("regexp:{{/^example.org$$/ x}}", "relay_domains"),
            ("regexp:{{/example.org$$/ x}}", ""),
        ]
        .into_iter()
        .enumerate()
        {
            let mta = start(
                world,
                number,
                &format!(
                    "relay_domains = {domains}\nparent_domain_matches_subdomains = {parents}\nmynetworks =\n\
                     smtpd_authorized_xclient_hosts = 127.0.0.1\nrelay_recipient_maps =\n\
                     smtpd_relay_restrictions = reject_unauth_destination\nsmtpd_recipient_restrictions ="
                ),
            );
            let ask = |domain: &&str| relay(&mta, "10.1.2.3", "one.example.org", &format!("x@{domain}"));
            let asked = ["example.org", "sub.example.org", "a.Sub.Example.ORG", "notexample.org"];
            let replies: Vec<String> = asked.iter().map(ask).collect();
            let _ = writeln!(text, "{domains} ({parents})\n= {}\n{}", replies.join(" "), said(&mta));
            mta.kill_all();
        }
        golden(&world.mta("any").build(), "lists/domains", &normal(&text), &[]);
    });
}
