//! What the postmaster is told of errors in SMTP sessions (`notify_classes`).

use harness::{Mta, World, golden, isolated, normal_dsn, talk};
use std::fmt::Write as _;

/// An instance whose postmaster addresses of all kinds are aliases of `user`.
fn mta(world: &World, name: &str, user: &str, main: &str) -> Mta {
    let aliases = format!("postmaster: {user}\nerrors: {user}\nbounces: {user}\ndelays: {user}");
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
    let mut text = String::new();
    for message in if path.exists() { harness::mbox(&path) } else { Vec::new() } {
        text.push_str(&normal_dsn(&message).replace(user, "alice"));
        text.push('\n');
    }
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
        golden(&mta, "notices/parts", &told(&mta, &user), &[]);
    });
}
