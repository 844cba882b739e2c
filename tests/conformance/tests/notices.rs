//! What the postmaster is told of errors in SMTP sessions (`notify_classes`).

use harness::{Mta, Sink, SinkBuilder, World, golden, isolated, normal_dsn, talk};
use std::fmt::Write as _;

/// An instance whose postmaster addresses of all kinds are aliases of `user`.
fn mta(world: &World, name: &str, user: &str, main: &str) -> Mta {
    let aliases = format!(
        "postmaster: {user}\nerrors: {user}\nbounces: {user}\ndelays: {user}\ndoubles: {user}\ns: /dev/null"
    );
    world
        .mta(name)
        .main("error_notice_recipient = errors\nbounce_notice_recipient = bounces\ndelay_notice_recipient = delays\nlocal_recipient_maps = $alias_maps\nsmtpd_relay_restrictions = reject_unauth_destination")
        .main(main)
        .aliases(&aliases)
        .start()
}

/// What has arrived for the postmaster.
fn told(mta: &Mta, user: &str) -> String {
    mta.wait_empty();
    let path = mta.mailbox(user);
    let list = if path.exists() { harness::mbox(&path) } else { Vec::new() };
    let mut list: Vec<String> =
        list.iter().map(|message| normal_dsn(message).replace(user, "alice") + "\n").collect();
    list.sort(); // several may be delivered in any order
    let text = list.concat();
    if text.is_empty() { "(nothing)\n".to_owned() } else { text }
}

/// What the postmaster is told when a client says `lines`.
fn session(mta: &Mta, user: &str, lines: &[&str]) -> String {
    talk(mta, lines);
    mta.wait(&["disconnect from"]);
    told(mta, user)
}

const REFUSED: [&str; 9] = [
    "EHLO client",
    "FOO",
    "MAIL FROM:<a@b.example>",
    "MAIL FROM:<a@b.example>",
    "RCPT TO:<x@elsewhere.example>",
    "RCPT TO:<nosuch@example.com>",
    "DATA",
    "RSET",
    "QUIT",
];

#[test]
#[allow(clippy::too_many_lines)] // a table of cases
fn each_class_has_its_errors_in_the_smtp_server() {
    let broken = "local_recipient_maps = fail:now";
    let access = "smtpd_recipient_restrictions = check_recipient_access fail:now";
    let cases: [(&str, &str, &str, &[&str]); 16] = [
        ("none", "notify_classes =", "", &REFUSED),
        ("protocol", "notify_classes = protocol", "", &REFUSED),
        (
            "policy",
            "notify_classes = policy",
            "",
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>", "QUIT"],
        ),
        (
            "not-policy",
            "notify_classes = protocol, bounce, data, resource, software, 2bounce, delay",
            "",
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>", "QUIT"],
        ),
        (
            "bounce",
            "notify_classes = bounce",
            "",
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<nosuch@example.com>", "QUIT"],
        ),
        ("bounce-and-protocol", "notify_classes = bounce, protocol", "", &REFUSED),
        (
            "data",
            "notify_classes = data",
            broken,
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<nosuch@example.com>", "QUIT"],
        ),
        (
            "not-data",
            "notify_classes = protocol, policy, bounce, resource, software",
            broken,
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<nosuch@example.com>", "QUIT"],
        ),
        (
            "access",
            "notify_classes = data",
            access,
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<postmaster@example.com>", "QUIT"],
        ),
        (
            "not-access",
            "notify_classes = protocol, policy, bounce, resource, software",
            access,
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<postmaster@example.com>", "QUIT"],
        ),
        ("resource", "", "queue_minfree = 999999999999", &["EHLO client", "MAIL FROM:<a@b.example>", "QUIT"]),
        (
            "software",
            "",
            "smtpd_recipient_restrictions = reject_nonsense",
            &["EHLO client", "MAIL FROM:<a@b.example>", "RCPT TO:<postmaster@example.com>", "QUIT"],
        ),
        (
            "forgiven",
            "notify_classes = protocol",
            "",
            &[
                "EHLO client",
                "FOO",
                "MAIL FROM:<>",
                "RCPT TO:<postmaster@example.com>",
                "DATA",
                "@content Subject: x\\n\\nbody\\n",
                "QUIT",
            ],
        ),
        (
            "too-many",
            "notify_classes = protocol",
            "smtpd_hard_error_limit = 2",
            &["EHLO client", "FOO", "BAR", "@read"],
        ),
        (
            "size",
            "notify_classes = bounce",
            "message_size_limit = 5000",
            &[
                "EHLO client",
                "MAIL FROM:<a@b.example>",
                "RCPT TO:<postmaster@example.com>",
                "DATA",
                "LARGE",
                "QUIT",
            ],
        ),
        (
            "declared",
            "notify_classes = policy",
            "message_size_limit = 5000",
            &["EHLO client", "MAIL FROM:<a@b.example> SIZE=10000", "QUIT"],
        ),
    ];
    isolated(move |world| {
        let user = world.user();
        let large = format!("@content Subject: x\\n\\n{}", format!("{}\\n", "x".repeat(90)).repeat(80));
        let mut text = String::new();
        let mut last = None;
        for (name, classes, main, lines) in cases {
            let lines: Vec<&str> =
                lines.iter().map(|line| if *line == "LARGE" { large.as_str() } else { line }).collect();
            let mta = mta(world, name, &user, &format!("{classes}\n{main}"));
            let _ = writeln!(text, "== {name}\n{}", session(&mta, &user, &lines));
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "notices/smtpd", &text, &[]);
    });
}

#[test]
fn a_session_without_end_says_why() {
    isolated(|world| {
        let user = world.user();
        let mta = mta(world, "mail", &user, "notify_classes = protocol\nsmtpd_timeout = 1");
        let mut client = mta.ehlo();
        client.cmd("FOO");
        drop(client);
        mta.wait(&["disconnect from"]);
        let mut text = told(&mta, &user);
        let mut client = mta.ehlo();
        client.cmd("BAR");
        assert!(client.reply().starts_with("421 "));
        mta.wait_count(&["disconnect from"], 2);
        mta.wait_mbox(&user, 2);
        text.push_str(&told(&mta, &user));
        golden(&mta, "notices/aborted", &text, &[]);
    });
}

#[test]
fn a_long_session_is_told_in_parts() {
    isolated(|world| {
        let user = world.user();
        let mta = mta(world, "mail", &user, "notify_classes = protocol\nsmtpd_history_flush_threshold = 20");
        let mut lines = vec!["EHLO client"];
        for _ in 0..3 {
            lines.extend(["FOO", "NOOP", "NOOP", "NOOP", "RSET", "NOOP"]);
        }
        lines.extend(["BAR", "QUIT"]);
        talk(&mta, &lines);
        mta.wait(&["disconnect from"]);
        // Messages that are queued at about the same time are delivered in any order.
        let text = format!("\n{}", told(&mta, &user));
        let mut parts: Vec<&str> = text.split("\nFrom ").map(str::trim).collect();
        parts.sort_unstable();
        golden(&mta, "notices/parts", &parts.join("\n\nFrom "), &[]);
    });
}

#[test]
fn a_server_that_answers_unexpectedly_is_told_of() {
    let cases: [(&str, &str, &str); 16] = [
        ("greeting-554", "CONNECT", "554 5.7.1 go away"),
        ("greeting-600", "CONNECT", "600 what"),
        ("greeting-500", "CONNECT", "500 5.5.1 what"),
        ("ehlo-500", "EHLO", "500 5.5.1 what"),
        ("ehlo-600", "EHLO", "600 what"),
        ("mail-501", "MAIL FROM:<s", "501 5.5.4 bad sender"),
        ("mail-550", "MAIL FROM:<s", "550 5.1.8 bad sender"),
        ("mail-555", "MAIL FROM:<s", "555 5.5.4 what parameter"),
        ("mail-421", "MAIL FROM:<s", "421 4.5.0 later"),
        (
            "rcpt-500",
            "RCPT TO:<a",
            "500 5.5.1 what is that, and why would anybody send something of this kind to a server like this",
        ),
        ("rcpt-510", "RCPT TO:<a", "510 5.1.1 no"),
        ("rcpt-354", "RCPT TO:<a", "354 go"),
        ("data-503", "DATA", "503 5.5.1 no"),
        ("dot-503", ".", "503 5.5.1 bad"),
        ("dot-354", ".", "354 what"),
        ("dot-451", ".", "451 4.3.0 later"),
    ];
    isolated(move |world| {
        let user = world.user();
        let mut text = String::new();
        let mut last = None;
        for (name, command, reply) in cases {
            let sink = Sink::smtp().on(command, reply).start();
            let main = format!(
                "relayhost = {}\nnotify_classes = protocol\nmaximal_queue_lifetime = 0\nsmtpd_relay_restrictions = permit_mynetworks, reject\nbounce_queue_lifetime = 0",
                sink.nexthop()
            );
            let mta = mta(world, name, &user, &main);
            mta.send("s@example.com", &["a@y.example", "b@y.example"], "Subject: x\n\nbody\n");
            let _ = writeln!(text, "== {name}\n{}", told(&mta, &user));
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "notices/smtp", &text, &[]);
    });
}

const BAD: &str = "500 5.5.1 what";

#[test]
fn whom_and_what_the_smtp_client_tells() {
    type Rules = fn(SinkBuilder) -> SinkBuilder;
    let cases: [(&str, &str, &str, Rules); 10] = [
        ("helo", "protocol", "s@example.com", |sink| sink.on("EHLO", "500 5.5.1 no").on("HELO", BAD)),
        ("no-class", "policy, resource, software, data, 2bounce, delay", "s@example.com", |sink| {
            sink.on("MAIL FROM:<s", BAD)
        }),
        ("null", "protocol", "", |sink| sink.on("RCPT TO:<a", BAD)),
        ("double-bounce", "protocol", "double-bounce@mail.example.com", |sink| sink.on("RCPT TO:<a", BAD)),
        ("lost", "protocol", "s@example.com", |sink| sink.on("RCPT TO:<a", BAD).drop_first(9, "DATA")),
        ("nobody", "protocol", "s@example.com", |sink| sink.on("RCPT TO", BAD)),
        ("plain-data", "protocol", "s@example.com", |sink| sink.features(&["SIZE"]).on("DATA", BAD)),
        ("plain-dot", "protocol", "s@example.com", |sink| sink.features(&["SIZE"]).on(".", BAD)),
        ("plain-mail", "protocol", "s@example.com", |sink| sink.features(&["SIZE"]).on("MAIL", BAD)),
        ("plain", "protocol", "s@example.com", |sink| sink.features(&["SIZE"]).on("RCPT TO", BAD)),
    ];
    isolated(move |world| {
        let user = world.user();
        let mut text = String::new();
        let mut last = None;
        for (name, classes, sender, rules) in cases {
            let sink = rules(Sink::smtp()).start();
            let main = format!(
                "relayhost = {}\nnotify_classes = {classes}\nmaximal_queue_lifetime = 0\nsmtpd_relay_restrictions = permit_mynetworks, reject\nbounce_queue_lifetime = 0",
                sink.nexthop()
            );
            let mta = mta(world, name, &user, &main);
            mta.send(sender, &["a@y.example", "b@y.example"], "Subject: x\n\nbody\n");
            let _ = writeln!(text, "== {name}\n{}", told(&mta, &user));
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "notices/smtp-cases", &text, &[]);
    });
}

#[test]
fn the_lmtp_client_tells_too() {
    isolated(|world| {
        let user = world.user();
        let sink = Sink::lmtp().on(". <b@", "503 5.5.1 no").start();
        let main = format!(
            "relay_domains = y.example\nrelay_transport = lmtp:{}\nnotify_classes = protocol",
            sink.nexthop()
        );
        let mta = mta(world, "mail", &user, &main);
        mta.send("s@example.com", &["a@y.example", "b@y.example"], "Subject: x\n\nbody\n");
        golden(&mta, "notices/lmtp", &told(&mta, &user), &[]);
    });
}

#[test]
fn delays_and_bounced_bounces_are_told_to_their_recipients() {
    isolated(|world| {
        let user = world.user();
        let main = "transport_maps = inline:{{retry.example=retry:4.2.2 mailbox busy}}\ndelay_warning_time = 1s\nnotify_classes = delay, 2bounce\n2bounce_notice_recipient = doubles\nsmtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_reject_unlisted_recipient = no";
        let mta = mta(world, "mail", &user, main);
        mta.send("", &["nosuch@example.com"], "Subject: hello\n\nbody\n");
        mta.wait_empty();
        let mut list = mta.wait_mbox(&user, 1);
        let id = mta.send("s@example.com", &["x@retry.example"], "Subject: hello\n\nbody\n");
        mta.wait(&[&format!("{id}: postmaster delay notification")]);
        list.push(mta.wait_mbox(&user, 2).swap_remove(1));
        let text: String =
            list.iter().map(|message| normal_dsn(message).replace(&user, "alice") + "\n").collect();
        golden(&mta, "notices/bounce", &text, &[]);
    });
}

#[test]
fn an_unknown_class_is_fatal() {
    isolated(|world| {
        let user = world.user();
        let mta = mta(world, "mail", &user, "notify_classes = bounce, nonsense");
        let _ = harness::Client::connect(mta.address());
        mta.wait(&["smtpd[", ": fatal: unknown notify_classes value \"nonsense\" in \"bounce, nonsense\""]);
    });
}
