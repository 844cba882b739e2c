//! The SMTP server: restriction lists, access tables, recipient validation.

use harness::{World, golden, isolated, talk};
use std::fmt::Write as _;

/// The reply to each of `rcpts` in one transaction from `from`, and the reject log lines.
fn verdicts(
    name: &'static str,
    from: &'static str,
    rcpts: &'static [&'static str],
    build: fn(&World) -> harness::Builder,
) {
    isolated(move |world| {
        let mta = build(world).start();
        let mail = format!("MAIL FROM:<{from}>");
        let mut lines = vec!["EHLO client.example.org".to_owned(), mail];
        lines.extend(rcpts.iter().map(|rcpt| format!("RCPT TO:<{rcpt}>")));
        lines.push("QUIT".to_owned());
        let mut text = talk(&mta, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        mta.wait(&["]: disconnect from"]);
        for line in mta
            .log_of("smtpd")
            .lines()
            .filter(|line| !line.contains("connect from") && !line.contains(": client="))
        {
            text.push_str(line);
            text.push('\n');
        }
        golden(&mta, &format!("access/{name}"), &text, &[]);
    });
}

const LOCAL_ONLY: &str = "local_recipient_maps =\nsmtpd_relay_restrictions = reject_unauth_destination";

#[test]
fn each_address_class_is_validated_by_its_own_tables() {
    verdicts(
        "classes",
        "sender@example.org",
        &[
            "alice@example.com",
            "alice",
            "ALICE@EXAMPLE.COM",
            "alice+ext@example.com",
            "nosuch@example.com",
            "nosuch@localhost",
            "postmaster@example.com",
            "MAILER-DAEMON@example.com",
            "listed@example.com",
            "info@virtual.example",
            "nosuch@virtual.example",
            "box@mailbox.example",
            "nosuch@mailbox.example",
            "known@relay.example",
            "nosuch@relay.example",
            "moved@example.com",
            "broken@example.com",
            "later@example.com",
            "away@elsewhere.example",
            "canon@example.com",
        ],
        |world| {
            world
                .mta("mail")
                .main("recipient_delimiter = +\nlocal_recipient_maps = inline:{alice=x}, $alias_maps\nvirtual_alias_domains = virtual.example\nvirtual_alias_maps = inline:{info@virtual.example=alice}\nvirtual_mailbox_domains = mailbox.example\nvirtual_mailbox_maps = inline:{box@mailbox.example=box}\nrelay_domains = relay.example\nrelay_recipient_maps = inline:{known@relay.example=x}\nrelocated_maps = inline:{moved@example.com=new@elsewhere.example}\ntransport_maps = inline:{{broken@example.com=error:5.7.0 broken for ever},{later@example.com=retry:4.3.9 come again}}\ncanonical_maps = inline:{canon@example.com=nosuch2@example.com}\nsmtpd_relay_restrictions = reject_unauth_destination")
                .aliases("listed: alice")
        },
    );
}

#[test]
fn the_name_of_the_table_can_be_hidden() {
    verdicts("hidden_table", "a@example.org", &["nosuch@example.com", "nosuch@virtual.example"], |world| {
        world.mta("mail").main("show_user_unknown_table_name = no\nvirtual_alias_domains = virtual.example\nvirtual_alias_maps = inline:{x@virtual.example=alice}\nunknown_local_recipient_reject_code = 450")
    });
}

#[test]
fn unlisted_senders_can_be_refused() {
    verdicts("unlisted_sender", "nosuch@example.com", &["postmaster@example.com"], |world| {
        world.mta("mail").main("smtpd_reject_unlisted_sender = yes\nlocal_recipient_maps = inline:{alice=x}")
    });
}

#[test]
fn every_action_of_an_access_table() {
    verdicts(
        "actions",
        "s@example.org",
        &[
            "ok@e1.example",
            "reject@e1.example",
            "rejecttext@e1.example",
            "rejectdsn@e1.example",
            "defer@e1.example",
            "code550@e1.example",
            "code450@e1.example",
            "digits@e1.example",
            "dip@e1.example",
            "dir@e1.example",
            "dunno@e1.example",
            "info@e1.example",
            "warn@e1.example",
            "hold@e1.example",
            "filter@e1.example",
            "redirect@e1.example",
            "bcc@e1.example",
            "prepend@e1.example",
            "class@e1.example",
            "list@e1.example",
            "unknown@e1.example",
            "wrongdsn@e1.example",
            "domain@e2.example",
            "sub@x.e3.example",
            "any@e4.example",
            "user+ext@e1.example",
        ],
        |world| {
            world
                .mta("mail")
                .main("local_recipient_maps =\nrelay_domains = e1.example, e2.example, e3.example, e4.example\nrecipient_delimiter = +\nsmtpd_restriction_classes = strict\nstrict = reject\nsmtpd_relay_restrictions = reject_unauth_destination\nsmtpd_recipient_restrictions = check_recipient_access texthash:$CONFIG/access")
                .table("texthash", "access", "ok@e1.example OK\nreject@e1.example REJECT\nrejecttext@e1.example REJECT go away\nrejectdsn@e1.example REJECT 5.1.2 gone\ndefer@e1.example DEFER not now\ncode550@e1.example 550 5.2.0 no\ncode450@e1.example 450 wait\ndigits@e1.example 550\ndip@e1.example DEFER_IF_PERMIT maybe\ndir@e1.example DEFER_IF_REJECT perhaps\ndunno@e1.example DUNNO\ninfo@e1.example INFO noted\nwarn@e1.example WARN careful\nhold@e1.example HOLD wait here\nfilter@e1.example FILTER smtp:[127.0.0.1]:1\nredirect@e1.example REDIRECT other@e1.example\nbcc@e1.example BCC copy@e1.example\nprepend@e1.example PREPEND X-Seen: yes\nclass@e1.example strict\nlist@e1.example permit_mynetworks, reject\nunknown@e1.example foo_bar\nwrongdsn@e1.example 550 4.1.1 classes differ\ne2.example REJECT domain e2\ne3.example REJECT domain e3\nuser@e1.example REJECT by user\n")
        },
    );
}

#[test]
fn access_by_client_helo_and_sender() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nsmtpd_client_restrictions = check_client_access inline:{{127.0.0=REJECT by net}}, permit")
            .start();
        let mut text = talk(&mta, &["EHLO c", "MAIL FROM:<a@x.example>", "RCPT TO:<b@example.com>", "QUIT"]);
        let second = world
            .mta("second")
            .main("local_recipient_maps =\nsmtpd_helo_required = yes\nsmtpd_helo_restrictions = check_helo_access inline:{{bad.example=REJECT bad helo}}, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname\nsmtpd_sender_restrictions = check_sender_access inline:{{spam.example=554 no spam},{<>=REJECT null}}, reject_non_fqdn_sender\nsmtpd_recipient_restrictions = reject_non_fqdn_recipient")
            .start();
        for lines in [
            &["EHLO sub.bad.example", "MAIL FROM:<a@ok.example>", "RCPT TO:<b@example.com>"][..],
            &["EHLO short", "MAIL FROM:<a@ok.example>", "RCPT TO:<b@example.com>"],
            &["EHLO -bad-.example", "MAIL FROM:<a@ok.example>", "RCPT TO:<b@example.com>"],
            &["EHLO [127.0.0.1]", "MAIL FROM:<a@ok.example>", "RCPT TO:<b@example.com>"],
            &["EHLO [300.0.0.1]", "MAIL FROM:<a@ok.example>", "RCPT TO:<b@example.com>"],
            &["EHLO 127.0.0.1", "MAIL FROM:<a@ok.example>", "RCPT TO:<b@example.com>"],
            &[
                "EHLO good.example",
                "MAIL FROM:<a@spam.example>",
                "RCPT TO:<b@example.com>",
                "RSET",
                "MAIL FROM:<>",
                "RCPT TO:<b@example.com>",
                "RSET",
                "MAIL FROM:<a@short>",
                "RCPT TO:<b@example.com>",
                "RSET",
                "MAIL FROM:<a>",
                "RCPT TO:<b@example.com>",
                "RSET",
                "MAIL FROM:<a@ok.example>",
                "RCPT TO:<b>",
                "RCPT TO:<b@short>",
                "RCPT TO:<b@example.com>",
                "RCPT TO:<postmaster>",
            ],
        ] {
            text.push_str("----\n");
            text.push_str(&talk(&second, lines));
        }
        golden(&mta, "access/client_helo_sender", &text, &[]);
    });
}

#[test]
fn without_delay_each_command_is_refused_at_once() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nsmtpd_delay_reject = no\nsmtpd_helo_restrictions = check_helo_access inline:{{bad.example=REJECT bad helo}}\nsmtpd_sender_restrictions = check_sender_access inline:{{spam.example=554 no spam}}\nsmtpd_data_restrictions = reject_multi_recipient_bounce\nsmtpd_end_of_data_restrictions = check_sender_access inline:{{eod.example=REJECT too late}}")
            .start();
        let mut text = talk(
            &mta,
            &[
                "EHLO bad.example",
                "EHLO good.example",
                "MAIL FROM:<a@spam.example>",
                "MAIL FROM:<>",
                "RCPT TO:<b@example.com>",
                "RCPT TO:<c@example.com>",
                "DATA",
                "RSET",
                "MAIL FROM:<x@eod.example>",
                "RCPT TO:<b@example.com>",
                "DATA",
                "@content x\\n",
                "NOOP",
                "QUIT",
            ],
        );
        let second =
            world.mta("second").main("smtpd_delay_reject = no\nsmtpd_client_restrictions = reject").start();
        text.push_str("----\n");
        text.push_str(&talk(&second, &["EHLO c", "MAIL FROM:<a@b.example>", "NOOP", "QUIT"]));
        golden(&mta, "access/no_delay", &text, &[]);
    });
}

#[test]
fn relaying_needs_permission() {
    verdicts(
        "relay",
        "a@example.org",
        &[
            "x@elsewhere.example",
            "x%elsewhere.example@example.com",
            "elsewhere.example!x@example.com",
            "\"x@elsewhere.example\"@example.com",
            "@example.com:x@elsewhere.example",
            "x@sub.relay.example",
            "x@[127.0.0.1]",
            "x@[10.0.0.1]",
        ],
        |world| {
            world.mta("mail").main(LOCAL_ONLY).main("mynetworks = 192.0.2.1\nrelay_domains = relay.example\nsmtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination")
        },
    );
}

#[test]
fn permit_mynetworks_lets_a_client_relay() {
    verdicts("mynetworks", "a@example.org", &["x@elsewhere.example"], |world| {
        world.mta("mail").main("mynetworks = 127.0.0.0/8")
    });
}

#[test]
fn warn_if_reject_only_warns() {
    verdicts("warn_if_reject", "a@example.org", &["x@elsewhere.example", "b@example.com"], |world| {
        world.mta("mail").main("local_recipient_maps =\nsmtpd_relay_restrictions = warn_if_reject reject_unauth_destination, defer_unauth_destination")
    });
}

#[test]
fn soft_bounce_turns_5xx_into_4xx() {
    verdicts("soft_bounce", "a@example.org", &["nosuch@example.com", "x@elsewhere.example"], |world| {
        world.mta("mail").main("soft_bounce = yes\nsmtpd_relay_restrictions = reject_unauth_destination")
    });
}

#[test]
fn configuration_errors_are_temporary_for_the_client() {
    verdicts("bad_configuration", "a@example.org", &["b@example.com"], |world| {
        world.mta("mail").main("local_recipient_maps =\nsmtpd_recipient_restrictions = permit_nonsense")
    });
    verdicts("bad_table", "a@example.org", &["b@example.com"], |world| {
        world.mta("mail").main("local_recipient_maps =\nsmtpd_recipient_restrictions = check_recipient_access hash:$CONFIG/missing")
    });
}

#[test]
fn the_reject_footer_is_appended() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("smtpd_reject_footer = \\c. See http://$server_name/$client_address\\nAt $helo_name")
            .start();
        let text = talk(
            &mta,
            &["EHLO c.example", "FOO", "MAIL FROM:<a@example.org>", "RCPT TO:<nosuch@example.com>", "QUIT"],
        );
        golden(&mta, "access/footer", &text, &[]);
    });
}

#[test]
fn too_many_connections_from_one_client() {
    isolated(|world| {
        let mta = world.mta("mail").main("smtpd_client_event_limit_exceptions =\nsmtpd_client_connection_count_limit = 2\nsmtpd_client_message_rate_limit = 1\nsmtpd_client_recipient_rate_limit = 2\nlocal_recipient_maps =").start();
        let mut text = talk(
            &mta,
            &[
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.com>",
                "RCPT TO:<c@example.com>",
                "RCPT TO:<d@example.com>",
                "RSET",
                "MAIL FROM:<a@example.org>",
                "QUIT",
            ],
        );
        mta.wait(&["]: disconnect from"]);
        let mut one = mta.smtp();
        let mut two = mta.smtp();
        assert!(one.banner().starts_with("220") && two.banner().starts_with("220"));
        let mut three = mta.smtp();
        text.push_str(&three.banner());
        text.push('\n');
        for line in mta.wait_count(&["exceeded"], 3) {
            text.push_str(&harness::normal_log(&line).replace(&mta.address().to_string(), "127.0.0.1:PORT"));
            text.push('\n');
        }
        golden(&mta, "access/anvil", &text, &[]);
    });
}

#[test]
fn a_service_without_a_safe_recipient_list_refuses_to_start() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks")
            .start();
        let _client = mta.smtp();
        let line = mta.wait(&["postfix/smtpd", "fatal: "]);
        golden(&mta, "access/unsafe", &harness::normal_log(&line), &[]);
    });
}

#[test]
fn connection_statistics_come_on_time_without_another_request() {
    isolated(|world| {
        let mta = world.mta("mail").main("anvil_status_update_time = 2s\nsmtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 100\nlocal_recipient_maps =").start();
        let mut text = String::new();
        for round in 1..=2 {
            mta.send("a@example.org", &["b@example.com", "c@example.com"], "Subject: x\n\nx\n");
            for line in mta.wait_count(&["statistics: max message rate"], round) {
                assert!(line.contains("/anvil["), "{line}");
            }
            mta.log_of("anvil"); // what was logged together is there
            let lines = mta.lines(&["/anvil[", "statistics: "]);
            let _ = writeln!(text, "--- {round}");
            for line in lines.iter().skip(text.matches("statistics").count()) {
                let line = harness::normal_log(line).replace(&mta.address().port().to_string(), "PORT");
                let _ = writeln!(text, "{} at TIME", line.split(" at ").next().unwrap_or_default());
            }
        }
        mta.stop();
        let after = mta.lines(&["/anvil[", "statistics: "]).len();
        let _ = writeln!(text, "{} more at the end", after - text.matches("statistics").count());
        golden(&mta, "access/statistics", &text, &[]);
    });
}
