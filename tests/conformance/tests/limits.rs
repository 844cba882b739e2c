//! The SMTP server: limits, protocol violations, log lines.

use crate::smtpd::sessions;
use harness::{Change, golden, isolated, talk};

#[test]
fn too_many_errors_end_the_session() {
    sessions(
        "error_limit",
        "smtpd_hard_error_limit = 3\nsmtpd_soft_error_limit = 2",
        &[],
        &[&["FOO", "FOO", "FOO", "NOOP"]],
    );
}

#[test]
fn too_many_harmless_commands_are_errors() {
    sessions(
        "junk_limit",
        "smtpd_hard_error_limit = 2\nsmtpd_junk_command_limit = 2",
        &[],
        &[&["NOOP", "RSET", "VRFY a", "NOOP", "NOOP", "NOOP", "NOOP"]],
    );
}

#[test]
fn too_many_recipients_are_refused() {
    sessions(
        "recipient_limit",
        "smtpd_recipient_limit = 2\nsmtpd_recipient_overshoot_limit = 1\nsmtpd_hard_error_limit = 2",
        &[],
        &[&[
            "EHLO c",
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            "RCPT TO:<c@example.com>",
            "RCPT TO:<d@example.com>",
            "RCPT TO:<e@example.com>",
            "RCPT TO:<f@example.com>",
            "RCPT TO:<g@example.com>",
        ]],
    );
}

#[test]
fn an_overlong_command_is_refused() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        let fits = format!("NOOP {}", "x".repeat(2042));
        let over = format!("FOO {}", "x".repeat(2044));
        let far = format!("FOO {}", "x".repeat(4000));
        let text =
            [talk(&mta, &["EHLO c", &fits, &over, "NOOP", "QUIT"]), talk(&mta, &["EHLO c", &far, "NOOP"])];
        golden(
            &mta,
            "smtpd/long_command",
            &text.join("----\n"),
            &[Change {
                program: "smtpd",
                old: "S: 500 5.5.2 Error: command not recognized",
                new: "S: 500 5.5.2 mail.example.com Error: command too long",
            }],
        );
    });
}

#[test]
fn a_command_line_without_end_gets_its_reply() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        for length in [2100, 4090, 5000, 10_000, 60_000] {
            let mut client = mta.ehlo();
            let reply = client.cmd(&format!("FOO {}", "x".repeat(length)));
            if !mta.ours("smtpd") {
                // 3.7 obeys what fits, and reads on
                assert_eq!(reply, "500 5.5.2 Error: command not recognized", "{length}");
                continue;
            }
            assert_eq!(reply, "500 5.5.2 mail.example.com Error: command too long", "{length}");
            // 3.11 skips as much again, no more
            assert_eq!(client.cmd("NOOP") == "250 2.0.0 Ok", length < 4096, "{length}");
        }
        if mta.ours("smtpd") {
            mta.wait_count(&["lost connection after EHLO from localhost"], 3);
        }
    });
}

#[test]
fn a_message_over_the_size_limit_is_refused_at_its_end() {
    sessions(
        "size_limit",
        "message_size_limit = 400\nmailbox_size_limit = 400\nvirtual_mailbox_limit = 400",
        &[],
        &[&[
            "EHLO c",
            "MAIL FROM:<a@example.org> SIZE=401",
            "MAIL FROM:<a@example.org>",
            "RSET",
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            "DATA",
            "@content 0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n0123456789012345678901234567890123456789\\n",
            "QUIT",
        ]],
    );
}

#[test]
fn too_many_hops() {
    sessions(
        "hops",
        "hopcount_limit = 3",
        &[],
        &[&[
            "EHLO c",
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            "DATA",
            "@content Received: a\\nReceived: b\\n\\nx\\n",
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            "DATA",
            "@content Received: a\\nReceived: b\\nReceived: c\\n\\nx\\n",
            "QUIT",
        ]],
    );
}

#[test]
fn pipelining_where_it_is_not_allowed() {
    sessions(
        "pipelining",
        "smtpd_forbid_unauth_pipelining = yes",
        &[],
        &[
            &["@raw HELO c\\r\\nNOOP\\r\\n", "@read"],
            &["@raw EHLO c\\r\\nNOOP\\r\\n", "@read"],
            &[
                "EHLO c",
                "@raw MAIL FROM:<a@example.org>\\r\\nRCPT TO:<b@example.com>\\r\\nDATA\\r\\n",
                "@read",
                "@read",
                "@content x\\n",
                "QUIT",
            ],
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "@raw DATA\\r\\nx\\r\\n.\\r\\n",
                "@read",
            ],
        ],
    );
}

#[test]
fn bare_newlines_are_normalised_or_rejected() {
    sessions(
        "bare_newline_normalize",
        "smtpd_forbid_bare_newline = normalize\nsmtpd_forbid_bare_newline_exclusions =",
        &[],
        &[&[
            "@raw EHLO c\\n",
            "@raw MAIL FROM:<a@example.org>\\n",
            "RCPT TO:<b@example.com>",
            "DATA",
            "@raw a\\n.\\n.\\r\\nb\\r\\n.\\r\\n",
            "NOOP",
            "QUIT",
        ]],
    );
    sessions(
        "bare_newline_reject",
        "smtpd_forbid_bare_newline = reject\nsmtpd_forbid_bare_newline_exclusions =",
        &[],
        &[
            &["@raw NOOP\\n", "@read"],
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "DATA",
                "@raw a\\nb\\r\\n.\\r\\n",
                "NOOP",
            ],
        ],
    );
}

#[test]
fn a_session_leaves_its_log_lines() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nsmtpd_hard_error_limit = 3\nsmtpd_soft_error_limit = 2\nsmtpd_forbid_unauth_pipelining = yes\nsmtpd_relay_restrictions = reject_unauth_destination")
            .start();
        for lines in [
            &[
                "EHLO c.example.org",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "DATA",
                "@content x\\n",
                "QUIT",
            ][..],
            &[
                "HELO c.example.org",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@elsewhere.example>",
                "DATA",
                "QUIT",
            ],
            &[
                "EHLO c.example.org",
                "MAIL FROM:<\"a b\"@example.org>",
                "RCPT TO:<\"x y\"@elsewhere.example>",
                "RSET",
                "NOOP",
                "VRFY x",
                "QUIT",
            ],
            &["FOO", "FOO", "FOO", "FOO"],
            &["GET / HTTP/1.1"],
            &["MAIL FROM:<a b c>", "QUIT"],
            &["@raw HELO x\\r\\nNOOP\\r\\n", "@read"],
        ] {
            let before = mta.lines(&["]: disconnect from"]).len();
            talk(&mta, lines);
            mta.wait_count(&["]: disconnect from"], before + 1);
        }
        golden(
            &mta,
            "smtpd/log",
            &mta.log_of("smtpd"),
            &[Change {
                program: "smtpd",
                old: "smtpd: too many errors after",
                new: "smtpd: NOQUEUE: too many errors after",
            }],
        );
    });
}

#[test]
fn lost_connections_are_logged() {
    isolated(|world| {
        let mta = world.mta("mail").main("local_recipient_maps =").start();
        for lines in [
            &[][..],
            &["EHLO c.example.org"],
            &["EHLO c.example.org", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>"],
            &["EHLO c.example.org", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>", "DATA"],
        ] {
            let before = mta.lines(&["]: disconnect from"]).len();
            talk(&mta, lines);
            mta.wait_count(&["]: disconnect from"], before + 1);
        }
        let text: String = mta
            .log_of("smtpd")
            .lines()
            .filter(|line| line.contains("lost") || line.contains("disconnect"))
            .map(|line| format!("{line}\n"))
            .collect();
        golden(
            &mta,
            "smtpd/lost",
            &text,
            &[
                Change {
                    program: "smtpd",
                    old: "smtpd: lost connection after CONNECT",
                    new: "smtpd: NOQUEUE: lost connection after CONNECT",
                },
                Change {
                    program: "smtpd",
                    old: "smtpd: lost connection after EHLO",
                    new: "smtpd: NOQUEUE: lost connection after EHLO",
                },
                Change {
                    program: "smtpd",
                    old: "smtpd: lost connection after RCPT",
                    new: "smtpd: QID: lost connection after RCPT",
                },
                Change {
                    program: "smtpd",
                    old: "smtpd: lost connection after DATA",
                    new: "smtpd: QID: lost connection after DATA",
                },
            ],
        );
    });
}

#[test]
fn a_silent_client_is_timed_out() {
    isolated(|world| {
        let mta = world.mta("mail").main("smtpd_timeout = 1").start();
        let text = talk(&mta, &["EHLO c", "@read", "@read"]);
        golden(&mta, "smtpd/timeout", &text, &[]);
    });
}
