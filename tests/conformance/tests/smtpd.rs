//! The SMTP server: replies of each command and error, parameters, limits.

use harness::{Change, golden, isolated, talk};

/// Runs several sessions against one instance and compares all transcripts with one golden file.
pub(crate) fn sessions(
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
#[allow(clippy::too_many_lines)] // a table
fn every_command_and_its_errors() {
    sessions(
        "commands",
        "",
        &[],
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
#[allow(clippy::too_many_lines)] // a table
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
