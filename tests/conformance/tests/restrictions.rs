//! Access restriction lists: a service for each list, the same sessions with both.
#![allow(clippy::too_many_lines)] // tables of cases

use harness::{Client, World, free_port, golden, isolated_dns, normal, normal_log};
use std::fmt::Write as _;

const ZONE: &str = "\
good.example A 192.0.2.10
good.example MX 10 mx.good.example
good.example NS ns.good.example
mx.good.example A 192.0.2.11
ns.good.example A 192.0.2.12
null.example MX 0 .
only-a.example A 192.0.2.20
only-a.example NS ns.only-a.example
text.example TXT nothing
broken.example SERVFAIL
badmx.example MX 10 broken.example
dangling.example MX 10 nosuch.example
loop.example MX 10 mx.loop.example
mx.loop.example A 127.0.0.1
client.example A 127.0.0.1
1.0.0.127.in-addr.arpa PTR client.example
";

/// A service, and what a client says to it.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// Every case with a service of its own; replies and log lines.
fn compare(name: &'static str, main: &'static str, cases: &'static [Case]) {
    isolated_dns(ZONE, move |world| {
        let ports: Vec<u16> = cases.iter().map(|_| free_port()).collect();
        let mta = services(world, main, cases, &ports);
        let mut text = String::new();
        for ((label, options, lines), port) in cases.iter().zip(&ports) {
            let _ = writeln!(text, "== {label}: {options}");
            let mut client = Client::connect(std::net::SocketAddr::from(([127, 0, 0, 1], *port)));
            let _ = writeln!(text, "S: {}", normal(&client.banner()));
            for line in *lines {
                let reply = client.cmd(line);
                if line.starts_with("EHLO") && reply.starts_with("250") {
                    continue;
                }
                let _ = writeln!(text, "C: {line}\nS: {}", normal(&reply));
                if reply.starts_with("354") {
                    let _ = writeln!(text, "S: {}", normal(&client.content("Subject: x\n\nbody\n")));
                }
                if reply.is_empty() {
                    break;
                }
            }
            client.cmd("QUIT");
            mta.wait(&[&format!("postfix/{label}/smtpd["), "disconnect from"]);
            for line in mta.lines(&[&format!("postfix/{label}/smtpd[")]) {
                if !line.contains("connect from") && !line.contains(": client=") {
                    let _ = writeln!(text, "{}", normal_log(&line));
                }
            }
        }
        golden(&mta, &format!("restrictions/{name}"), &text, &[]);
    });
}

fn services(world: &World, main: &str, cases: &[Case], ports: &[u16]) -> harness::Mta {
    let mut master = String::new();
    for ((label, options, _), port) in cases.iter().zip(ports) {
        let _ = write!(master, "127.0.0.1:{port} inet n - n - - smtpd\n -o syslog_name=postfix/{label}\n");
        for option in options.split('|').map(str::trim).filter(|option| !option.is_empty()) {
            let _ = writeln!(master, " -o {{ {option} }}");
        }
    }
    world
        .mta("mail")
        .main("local_recipient_maps =\nmynetworks = 192.0.2.1\nsmtpd_relay_restrictions = reject_unauth_destination\nrelay_domains = good.example, null.example, only-a.example, text.example, broken.example, badmx.example, dangling.example, loop.example, nosuch.example, short\nrecipient_delimiter = +\nsmtpd_hard_error_limit = 100\nlocal_transport = discard\nrelay_transport = discard\ndefault_transport = discard\nsmtpd_client_connection_count_limit = 0")
        .main(main)
        .master(&master)
        .start()
}

const SENDERS: &[&str] = &[
    "EHLO good.example",
    "MAIL FROM:<a@good.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@null.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@nosuch.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@broken.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@text.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@short>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@[127.0.0.1]>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a+ext@sub.good.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@dangling.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<a@loop.example>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RCPT TO:<postmaster>",
];

const RECIPIENTS: &[&str] = &[
    "EHLO client.example",
    "MAIL FROM:<s@good.example>",
    "RCPT TO:<a@good.example>",
    "RCPT TO:<a+ext@good.example>",
    "RCPT TO:<A@GOOD.example>",
    "RCPT TO:<a@null.example>",
    "RCPT TO:<a@nosuch.example>",
    "RCPT TO:<a@broken.example>",
    "RCPT TO:<a@badmx.example>",
    "RCPT TO:<a@text.example>",
    "RCPT TO:<a@only-a.example>",
    "RCPT TO:<a@dangling.example>",
    "RCPT TO:<a@loop.example>",
    "RCPT TO:<a@sub.good.example>",
    "RCPT TO:<a@short>",
    "RCPT TO:<a>",
    "RCPT TO:<a@example.com>",
    "RCPT TO:<a@far.example>",
    "RCPT TO:<\"q q\"@good.example>",
    "RCPT TO:<a%far.example@good.example>",
    "RCPT TO:<postmaster>",
    "RCPT TO:<postmaster@example.com>",
    "VRFY a@good.example",
    "VRFY a@null.example",
    "DATA",
];

const HELO: &[&str] = &[
    "RSET",
    "HELO good.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "EHLO sub.good.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO nosuch.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO broken.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO short",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO 127.0.0.1",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO [127.0.0.1]",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO [ipv6:::1]",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO [1.2.3]",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO under_score.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO good.example.",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO null.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
    "RSET",
    "HELO dangling.example",
    "MAIL FROM:<>",
    "RCPT TO:<x@example.com>",
];

const ONE: &[&str] = &[
    "EHLO good.example",
    "MAIL FROM:<s@good.example>",
    "RCPT TO:<a@good.example>",
    "RCPT TO:<b@example.com>",
    "DATA",
];

#[test]
fn senders() {
    compare(
        "senders",
        "",
        &[
            ("s01", "smtpd_sender_restrictions = reject_non_fqdn_sender", SENDERS),
            ("s02", "smtpd_sender_restrictions = reject_unknown_sender_domain", SENDERS),
            (
                "s03",
                "smtpd_sender_restrictions = reject_unknown_address | unknown_address_reject_code = 550",
                SENDERS,
            ),
            (
                "s04",
                "smtpd_sender_restrictions = warn_if_reject reject_non_fqdn_sender, reject_unknown_sender_domain",
                SENDERS,
            ),
            (
                "s05",
                "smtpd_sender_restrictions = check_sender_access inline:{{good.example=REJECT by domain}}",
                SENDERS,
            ),
            (
                "s06",
                "smtpd_sender_restrictions = check_sender_access inline:{{.good.example=REJECT by subdomain}}",
                SENDERS,
            ),
            (
                "s07",
                "smtpd_sender_restrictions = check_sender_access inline:{{.good.example=REJECT by subdomain}} | parent_domain_matches_subdomains =",
                SENDERS,
            ),
            (
                "s08",
                "smtpd_sender_restrictions = check_sender_access inline:{{a@=REJECT by local part}}",
                SENDERS,
            ),
            (
                "s09",
                "smtpd_sender_restrictions = check_sender_access inline:{{<>=REJECT null sender}}",
                SENDERS,
            ),
            (
                "s10",
                "smtpd_sender_restrictions = check_sender_access inline:{{none=REJECT null sender}} | smtpd_null_access_lookup_key = none",
                SENDERS,
            ),
            (
                "s11",
                "smtpd_sender_restrictions = inline:{{good.example=450 4.2.0 bare table}}, reject",
                SENDERS,
            ),
            (
                "s12",
                "smtpd_sender_restrictions = check_sender_access inline:{{a@good.example=OK}}, reject",
                SENDERS,
            ),
            (
                "s13",
                "smtpd_sender_restrictions = check_sender_access regexp:{{/good/ REJECT by pattern}}",
                SENDERS,
            ),
            (
                "s14",
                "smtpd_sender_restrictions = check_sender_mx_access inline:{{mx.good.example=REJECT mx name}}",
                SENDERS,
            ),
            (
                "s15",
                "smtpd_sender_restrictions = check_sender_mx_access inline:{{127.0.0=REJECT mx address}}",
                SENDERS,
            ),
            (
                "s16",
                "smtpd_sender_restrictions = check_sender_mx_access inline:{{mx.good.example=OK}}",
                SENDERS,
            ),
            (
                "s17",
                "smtpd_sender_restrictions = check_sender_ns_access inline:{{192.0.2.12=REJECT ns address}}",
                SENDERS,
            ),
            (
                "s18",
                "smtpd_sender_restrictions = check_sender_a_access inline:{{192.0.2=REJECT address}}",
                SENDERS,
            ),
            (
                "s19",
                "smtpd_sender_restrictions = reject_unlisted_sender | local_recipient_maps = inline:{x=y} | smtpd_reject_unlisted_sender = no",
                &[
                    "EHLO c",
                    "MAIL FROM:<nosuch@example.com>",
                    "RCPT TO:<x@example.com>",
                    "RSET",
                    "MAIL FROM:<x@example.com>",
                    "RCPT TO:<x@example.com>",
                    "RSET",
                    "MAIL FROM:<a@far.example>",
                    "RCPT TO:<x@example.com>",
                ],
            ),
            ("s20", "smtpd_sender_restrictions = reject_non_fqdn_sender | smtpd_delay_reject = no", SENDERS),
        ],
    );
}

#[test]
fn recipients() {
    compare(
        "recipients",
        "",
        &[
            ("r01", "smtpd_recipient_restrictions = reject_non_fqdn_recipient", RECIPIENTS),
            ("r02", "smtpd_recipient_restrictions = reject_unknown_recipient_domain", RECIPIENTS),
            (
                "r03",
                "smtpd_recipient_restrictions = reject_unlisted_recipient | relay_recipient_maps = inline:{a@good.example=x}",
                RECIPIENTS,
            ),
            (
                "r04",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{good.example=REJECT by domain}}",
                RECIPIENTS,
            ),
            (
                "r05",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{a@good.example=REJECT by address}}",
                RECIPIENTS,
            ),
            (
                "r06",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{a+ext@good.example=REJECT by extension}}",
                RECIPIENTS,
            ),
            (
                "r07",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{a@=REJECT by local part}}",
                RECIPIENTS,
            ),
            (
                "r08",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{good.example=OK}}, reject",
                RECIPIENTS,
            ),
            (
                "r09",
                "smtpd_recipient_restrictions = check_recipient_mx_access inline:{{192.0.2=REJECT mx}}",
                RECIPIENTS,
            ),
            (
                "r10",
                "smtpd_recipient_restrictions = check_recipient_ns_access inline:{{ns.only-a.example=REJECT ns}}",
                RECIPIENTS,
            ),
            (
                "r11",
                "smtpd_recipient_restrictions = check_recipient_a_access inline:{{192.0.2.20=REJECT a}}",
                RECIPIENTS,
            ),
            (
                "r12",
                "smtpd_recipient_restrictions = permit_auth_destination, reject | smtpd_relay_restrictions =",
                RECIPIENTS,
            ),
            (
                "r13",
                "smtpd_recipient_restrictions = reject_unauth_destination, permit | smtpd_relay_restrictions =",
                RECIPIENTS,
            ),
            (
                "r14",
                "smtpd_recipient_restrictions = defer_unauth_destination | smtpd_relay_restrictions = | relay_domains_reject_code = 571",
                RECIPIENTS,
            ),
            (
                "r15",
                "smtpd_recipient_restrictions = permit_mynetworks, reject | mynetworks = 127.0.0.0/8",
                RECIPIENTS,
            ),
            (
                "r16",
                "smtpd_recipient_restrictions = permit_mynetworks, reject | mynetworks = !127.0.0.1, 127.0.0.0/8",
                RECIPIENTS,
            ),
            ("r17", "smtpd_recipient_restrictions = permit_inet_interfaces, reject", RECIPIENTS),
            ("r18", "smtpd_recipient_restrictions = reject | reject_code = 550", RECIPIENTS),
            ("r19", "smtpd_recipient_restrictions = defer | defer_code = 421", RECIPIENTS),
            (
                "r20",
                "smtpd_recipient_restrictions = defer_if_permit, check_recipient_access inline:{{null.example=REJECT}}",
                RECIPIENTS,
            ),
            (
                "r21",
                "smtpd_recipient_restrictions = defer_if_reject, check_recipient_access inline:{{null.example=REJECT}}",
                RECIPIENTS,
            ),
            (
                "r22",
                "smtpd_recipient_restrictions = warn_if_reject check_recipient_access inline:{{good.example=REJECT only a warning}}",
                RECIPIENTS,
            ),
            (
                "r23",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{good.example=OK}}, reject | smtpd_relay_before_recipient_restrictions = no | smtpd_relay_restrictions = reject",
                RECIPIENTS,
            ),
            (
                "r24",
                "smtpd_recipient_restrictions = classes | smtpd_restriction_classes = classes, inner | classes = check_recipient_access inline:{{good.example=inner}}, permit | inner = reject_non_fqdn_recipient, check_sender_access inline:{{good.example=REJECT in a class}}",
                RECIPIENTS,
            ),
            ("r27", "smtpd_recipient_restrictions = check_recipient_access", RECIPIENTS),
            ("r28", "smtpd_recipient_restrictions = check_recipient_access nonsense:table", RECIPIENTS),
            ("r29", "smtpd_recipient_restrictions = check_recipient_access inline:{{good.example=}}", ONE),
            (
                "r30",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{good.example=nonsense}}",
                ONE,
            ),
            (
                "r31",
                "smtpd_recipient_restrictions = check_recipient_access inline:{{good.example=reject_unknown_recipient_domain, permit}}, reject",
                RECIPIENTS,
            ),
            (
                "r32",
                "smtpd_recipient_restrictions = reject_unknown_recipient_domain | unknown_address_reject_code = 550 | unknown_address_tempfail_action = defer",
                RECIPIENTS,
            ),
            (
                "r33",
                "smtpd_recipient_restrictions = check_recipient_access cidr:{{192.0.2.0/24 REJECT}}, permit_tls_all_clientcerts, permit_sasl_authenticated, permit_tls_clientcerts",
                RECIPIENTS,
            ),
        ],
    );
}

#[test]
fn helo_names() {
    compare(
        "helo",
        "",
        &[
            ("h01", "smtpd_helo_restrictions = reject_invalid_helo_hostname", HELO),
            ("h02", "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname", HELO),
            ("h03", "smtpd_helo_restrictions = reject_unknown_helo_hostname", HELO),
            (
                "h04",
                "smtpd_helo_restrictions = check_helo_access inline:{{good.example=REJECT by name}}",
                HELO,
            ),
            (
                "h05",
                "smtpd_helo_restrictions = check_helo_access inline:{{.good.example=REJECT by name}} | parent_domain_matches_subdomains =",
                HELO,
            ),
            (
                "h06",
                "smtpd_helo_restrictions = check_helo_access inline:{{127.0.0.1=REJECT by address}, {[127.0.0.1]=REJECT by literal}}",
                HELO,
            ),
            ("h07", "smtpd_helo_restrictions = check_helo_mx_access inline:{{192.0.2=REJECT mx}}", HELO),
            ("h08", "smtpd_helo_restrictions = check_helo_ns_access inline:{{192.0.2=REJECT ns}}", HELO),
            (
                "h09",
                "smtpd_helo_restrictions = check_helo_a_access inline:{{192.0.2=REJECT a}, {127=REJECT own}}",
                HELO,
            ),
            (
                "h10",
                "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname | smtpd_delay_reject = no",
                HELO,
            ),
            (
                "h11",
                "smtpd_helo_required = yes",
                &["MAIL FROM:<>", "VRFY x@example.com", "ETRN good.example", "HELO c", "MAIL FROM:<>"],
            ),
            (
                "h12",
                "smtpd_helo_restrictions = reject_unknown_helo_hostname | unknown_hostname_reject_code = 550 | unknown_helo_hostname_tempfail_action = defer",
                HELO,
            ),
        ],
    );
}

#[test]
fn clients_and_other_lists() {
    const BOTH: &[&str] =
        &["EHLO c", "MAIL FROM:<s@good.example>", "RCPT TO:<a@good.example>", "ETRN good.example", "NOOP"];
    const ETRN: &[&str] = &[
        "EHLO c",
        "ETRN good.example",
        "ETRN far.example",
        "ETRN @good.example",
        "ETRN #queue",
        "ETRN",
        "ETRN -bad-",
    ];
    compare(
        "clients",
        "fast_flush_domains = good.example",
        &[
            (
                "c01",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=REJECT by address}}",
                BOTH,
            ),
            ("c02", "smtpd_client_restrictions = check_client_access inline:{{127.0=REJECT by net}}", BOTH),
            (
                "c03",
                "smtpd_client_restrictions = check_client_access cidr:{{127.0.0.0/8 REJECT by cidr}}",
                BOTH,
            ),
            (
                "c04",
                "smtpd_client_restrictions = check_client_access inline:{{client.example=REJECT by name}}",
                BOTH,
            ),
            (
                "c05",
                "smtpd_client_restrictions = check_client_access inline:{{example=REJECT by parent}}",
                BOTH,
            ),
            (
                "c06",
                "smtpd_client_restrictions = check_reverse_client_hostname_access inline:{{client.example=REJECT by reverse name}}",
                BOTH,
            ),
            (
                "c07",
                "smtpd_client_restrictions = check_reverse_client_hostname_access inline:{{client.example=OK}}",
                BOTH,
            ),
            (
                "c08",
                "smtpd_client_restrictions = check_client_a_access inline:{{127=REJECT by its address}}",
                BOTH,
            ),
            ("c09", "smtpd_client_restrictions = reject_unknown_client_hostname", BOTH),
            (
                "c10",
                "smtpd_client_restrictions = reject_unknown_reverse_client_hostname | smtpd_peername_lookup = no",
                BOTH,
            ),
            ("c11", "smtpd_client_restrictions = reject_unknown_client | smtpd_peername_lookup = no", BOTH),
            ("c12", "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=OK}}, reject", BOTH),
            ("c13", "smtpd_client_restrictions = reject | smtpd_delay_reject = no", BOTH),
            (
                "c14",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=421 4.7.0 go away}} | smtpd_delay_reject = no",
                BOTH,
            ),
            (
                "c15",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=521 5.7.0 go away}}",
                BOTH,
            ),
            (
                "c16",
                "smtpd_etrn_restrictions = check_etrn_access inline:{{good.example=REJECT no etrn}}",
                ETRN,
            ),
            ("c17", "smtpd_etrn_restrictions = permit_mynetworks, reject", ETRN),
            ("c18", "smtpd_etrn_restrictions =", ETRN),
            (
                "c19",
                "smtpd_data_restrictions = reject_multi_recipient_bounce",
                &["EHLO c", "MAIL FROM:<>", "RCPT TO:<a@good.example>", "RCPT TO:<b@good.example>", "DATA"],
            ),
            (
                "c20",
                "smtpd_recipient_restrictions = reject_multi_recipient_bounce",
                &["EHLO c", "MAIL FROM:<>", "RCPT TO:<a@good.example>", "RCPT TO:<b@good.example>", "DATA"],
            ),
            (
                "c21",
                "smtpd_data_restrictions = check_recipient_access inline:{{good.example=REJECT at data}}",
                ONE,
            ),
            ("c22", "smtpd_data_restrictions = check_sender_access inline:{{good.example=450 at data}}", ONE),
            (
                "c23",
                "smtpd_data_restrictions = check_client_access inline:{{127.0.0.1=DEFER_IF_PERMIT maybe}}, permit",
                ONE,
            ),
            (
                "c24",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=DISCARD quietly}} | smtpd_recipient_restrictions = reject",
                ONE,
            ),
            (
                "c25",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=HOLD}} | smtpd_delay_reject = no",
                ONE,
            ),
            (
                "c26",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=PREPEND X-Client: yes}}",
                ONE,
            ),
            (
                "c27",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=WARN strange client}}",
                ONE,
            ),
            (
                "c28",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=INFO a client}}",
                ONE,
            ),
            (
                "c29",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=REDIRECT else@example.com}}, check_client_access inline:{{127.0.0.1=BCC copy@example.com}}, check_client_access inline:{{127.0.0.1=FILTER smtp:filter}}",
                ONE,
            ),
            (
                "c30",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=REDIRECT nowhere}}, check_client_access inline:{{127.0.0.1=FILTER bad}}",
                ONE,
            ),
            (
                "c31",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=REJECT 5.1.1 odd status}}",
                ONE,
            ),
            (
                "c32",
                "smtpd_sender_restrictions = check_sender_access inline:{{good.example=REJECT 5.1.1 odd status}}",
                ONE,
            ),
            (
                "c33",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=999 no such code}}",
                ONE,
            ),
            ("c34", "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=250 fine}}", ONE),
            ("c35", "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=550}}", ONE),
            (
                "c36",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=REJECT}} | access_map_reject_code = 571 | soft_bounce = yes",
                ONE,
            ),
            (
                "c37",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=DEFER}} | access_map_defer_code = 452",
                ONE,
            ),
            (
                "c38",
                "smtpd_log_access_permit_actions = permit_mynetworks, check_client_access | smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=OK}}",
                ONE,
            ),
            (
                "c39",
                "smtpd_log_access_permit_actions = static:all | smtpd_client_restrictions = permit_mynetworks, permit | mynetworks = 127.0.0.1",
                ONE,
            ),
            (
                "c41",
                "smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=DISCARD}} | smtpd_data_restrictions = reject | smtpd_end_of_data_restrictions = reject",
                ONE,
            ),
            ("c42", "smtpd_etrn_restrictions = check_client_access inline:{{127.0.0.1=HOLD}}", ETRN),
            (
                "c43",
                "smtpd_recipient_restrictions = check_client_access inline:{{127.0.0.1=BCC nowhere}}, check_client_access inline:{{127.0.0.1=REDIRECT}}",
                ONE,
            ),
            (
                "c44",
                "smtpd_etrn_restrictions = check_client_access inline:{{127.0.0.1=DISCARD}}, reject",
                ETRN,
            ),
            ("c40", "smtpd_recipient_restrictions = sleep 1, reject", ONE),
        ],
    );
}
