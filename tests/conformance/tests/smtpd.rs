//! The SMTP server: replies of each command and error, parameters, limits.

use harness::{Change, golden, isolated, talk};

const LONG_LOG: &[Change] = &[];

/// Runs several sessions against one instance and compares all transcripts with one golden file.
fn sessions(
    name: &'static str,
    main: &'static str,
    changes: &'static [Change],
    scripts: &'static [&'static [&'static str]],
) {
    isolated(move |world| {
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nsmtpd_delay_open_until_valid_rcpt = yes")
            .main(main)
            .start();
        let text: Vec<String> = scripts.iter().map(|lines| talk(&mta, lines)).collect();
        golden(&mta, &format!("smtpd/{name}"), &text.join("----\n"), changes);
    });
}

#[test]
fn every_command_and_its_errors() {
    sessions(
        "commands",
        "",
        LONG_LOG,
        &[
            &[
                "HELO",
                "HELO client.example.org",
                "EHLO",
                "EHLO client.example.org",
                "EHLO two words",
                "NOOP",
                "NOOP with words",
                "RSET now",
                "RSET",
                "VRFY",
                "VRFY postmaster",
                "VRFY <x@example.com>",
                "VRFY <>",
                "QUIT now",
            ],
            &["", "   ", "FOO", "foo bar", "X-Header: y", "quit"],
            &["GET / HTTP/1.0"],
            &["POST / HTTP/1.0"],
            &["CONNECT a:25 HTTP/1.0"],
            &["Subject: spam"],
            &[
                "MAIL FROM:<a@example.org>",
                "MAIL FROM:<b@example.org>",
                "RCPT TO:<c@example.com>",
                "EHLO again",
                "RCPT TO:<c@example.com>",
                "DATA",
                "QUIT",
            ],
            &[
                "EHLO c",
                "RCPT TO:<c@example.com>",
                "DATA",
                "BDAT 0 LAST",
                "MAIL FROM:<a@example.org>",
                "DATA",
                "RCPT TO:<c@example.com>",
                "DATA now",
                "DATA",
                "@content Subject: x\\n\\n.dot\\n..dots\\n",
                "DATA",
                "QUIT",
            ],
            &[
                "EHLO c",
                "STARTTLS",
                "AUTH PLAIN x",
                "XCLIENT NAME=x",
                "XFORWARD NAME=x",
                "TURN",
                "SEND FROM:<a>",
                "EXPN list",
                "QUIT",
            ],
            &[
                "EHLO c",
                "ETRN",
                "ETRN example.com extra",
                "ETRN bad_name!",
                "ETRN example.net",
                "MAIL FROM:<a@example.org>",
                "ETRN example.com",
                "QUIT",
            ],
            &["ETRN example.com", "QUIT"],
        ],
    );
}

#[test]
fn help_lists_the_commands() {
    sessions(
        "help",
        "",
        &[Change {
            program: "smtpd",
            old: "S: 500 5.5.2 Error: command not recognized",
            new: "S: 214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD",
        }],
        &[&["HELP", "QUIT"]],
    );
}

#[test]
fn mail_syntax_and_parameters() {
    sessions(
        "mail",
        "",
        &[],
        &[
            &[
                "EHLO c",
                "MAIL",
                "MAIL FROM",
                "MAIL FROM:",
                "MAIL FROM: ",
                "MAIL TO:<a@b>",
                "MAIL FROM:<a@b",
                "MAIL FROM:a@b>",
                "RSET",
                "MAIL FROM:<a b@c>",
                "RSET",
                "MAIL FROM:<@x,@y:a@example.org>",
                "RSET",
                "MAIL FROM:a@example.org",
                "RSET",
                "MAIL FROM: <a@example.org>",
                "RSET",
                "MAIL FROM:<>",
                "RSET",
                "MAIL FROM:<a@example.org> BODY=8BITMIME",
                "RSET",
                "mail from:<a@example.org> body=7bit",
                "RSET",
                "MAIL FROM:<a@example.org> BODY=BINARYMIME",
                "MAIL FROM:<a@example.org> SIZE=1000",
                "RSET",
                "MAIL FROM:<a@example.org> SIZE=",
                "MAIL FROM:<a@example.org> SIZE=x",
                "MAIL FROM:<a@example.org> SIZE=99999999",
                "MAIL FROM:<a@example.org> SIZE=99999999999999999999999",
                "MAIL FROM:<a@example.org> FOO=bar",
            ],
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org> RET=FULL",
                "RSET",
                "MAIL FROM:<a@example.org> RET=hdrs",
                "RSET",
                "MAIL FROM:<a@example.org> RET=x",
                "MAIL FROM:<a@example.org> RET=FULL RET=FULL",
                "MAIL FROM:<a@example.org> ENVID=abc+2B",
                "RSET",
                "MAIL FROM:<a@example.org> ENVID=abc+2",
                "MAIL FROM:<a@example.org> ENVID=",
                "MAIL FROM:<a@example.org> ENVID=a+0Ab",
                "MAIL FROM:<a@example.org> AUTH=<>",
                "RSET",
                "MAIL FROM:<a@example.org> AUTH=a AUTH=b",
                "MAIL FROM:<a@example.org> SMTPUTF8",
                "RSET",
                "MAIL FROM:<\u{fc}@example.org>",
                "RSET",
                "MAIL FROM:<\u{fc}@ex\u{e4}mple.org>",
                "RSET",
                "MAIL FROM:<\u{fc}@ex\u{e4}mple.org> SMTPUTF8",
                "RSET",
                "MAIL FROM:<\"quoted \\\" one\"@example.org>",
                "RSET",
                "MAIL FROM:<a@[127.0.0.1]>",
                "RSET",
                "MAIL FROM:<a@127.0.0.1>",
                "RSET",
                "MAIL FROM:<-a@example.org>",
                "RSET",
                "MAIL FROM:<a@b@c>",
                "RSET",
                "QUIT",
            ],
        ],
    );
}

#[test]
fn rcpt_syntax_and_parameters() {
    sessions(
        "rcpt",
        "",
        &[],
        &[
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT",
                "RCPT TO:",
                "RCPT TO:<>",
                "RCPT FROM:<a@example.com>",
                "RCPT TO:<b@example.com",
                "RCPT TO: b@example.com",
                "RCPT TO:<b@example.com> NOTIFY=NEVER",
                "RCPT TO:<b@example.com> NOTIFY=SUCCESS,FAILURE,DELAY",
                "RCPT TO:<b@example.com> NOTIFY=NEVER,FAILURE",
                "RCPT TO:<b@example.com> NOTIFY=",
                "RCPT TO:<b@example.com> NOTIFY=foo",
                "RCPT TO:<b@example.com> ORCPT=rfc822;x+2By@example.com",
                "RCPT TO:<b@example.com> ORCPT=x",
                "RCPT TO:<b@example.com> ORCPT=rfc822;",
                "RCPT TO:<b@example.com> FOO",
            ],
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<postmaster>",
                "RCPT TO:<Postmaster@example.com>",
                "RCPT TO:<b>",
                "RCPT TO:<@x:b@example.com>",
                "RCPT TO:<b%elsewhere@example.com>",
                "RCPT TO:<\"b c\"@example.com>",
                "RCPT TO:<b@[127.0.0.1]>",
                "RCPT TO:<b@elsewhere.example.net>",
                "DATA",
                "@content a\\n",
                "QUIT",
            ],
        ],
    );
}

#[test]
fn bdat_chunks_and_errors() {
    sessions(
        "bdat",
        "message_size_limit = 2000",
        &[],
        &[
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "@raw BDAT 5\\r\\na\\r\\nb\\n",
                "@raw BDAT 3 LAST\\r\\nc\\r\\n",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "@raw BDAT 3\\r\\nabc",
                "MAIL FROM:<x@example.org>",
                "RCPT TO:<x@example.com>",
                "DATA",
                "RSET",
                "QUIT",
            ],
            &[
                "EHLO c",
                "@raw BDAT 4\\r\\nabcd",
                "@raw BDAT 4 LAST\\r\\nabcd",
                "MAIL FROM:<a@example.org>",
                "@raw BDAT 4\\r\\nabcd",
                "RCPT TO:<b@example.com>",
                "@raw BDAT 4 LAST\\r\\nabcd",
                "RSET",
                "QUIT",
            ],
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "BDAT 0",
                "RSET",
                "BDAT x",
                "NOOP",
            ],
        ],
    );
}

#[test]
fn helo_is_required_when_asked_for() {
    sessions(
        "helo_required",
        "smtpd_helo_required = yes",
        &[],
        &[&[
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            "VRFY x",
            "HELO c",
            "MAIL FROM:<a@example.org>",
            "QUIT",
        ]],
    );
}

#[test]
fn features_can_be_switched_off() {
    sessions(
        "discard_ehlo",
        "smtpd_discard_ehlo_keywords = pipelining, dsn, chunking, silent-discard\ndisable_vrfy_command = yes\nsmtputf8_enable = no",
        &[],
        &[&[
            "EHLO c",
            "VRFY x",
            "MAIL FROM:<a@example.org> RET=FULL",
            "MAIL FROM:<a@example.org> SMTPUTF8",
            "MAIL FROM:<\u{fc}@example.org>",
            "BDAT 3",
        ]],
    );
}

#[test]
fn strict_envelopes() {
    sessions(
        "strict",
        "strict_rfc821_envelopes = yes",
        &[],
        &[&[
            "EHLO c",
            "MAIL FROM: <a@example.org>",
            "RSET",
            "MAIL FROM:a@example.org",
            "RSET",
            "MAIL FROM:<a@example.org> ",
            "RSET",
            "MAIL FROM:<A phrase <a@example.org>>",
            "MAIL FROM:<a@example.org>",
            "RCPT TO:b@example.com",
            "RCPT TO:<b@example.com>",
            "QUIT",
        ]],
    );
}

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
