//! The SMTP and LMTP clients, bounces, deferrals.

use harness::{Mta, Sink, golden, isolated, isolated_dns, normal, normal_dsn, normal_log, until};

/// The normalised log lines about the recipients of `id`, once it has left the queue.
fn outcomes(mta: &Mta, id: &str) -> String {
    mta.wait_removed(id);
    lines_of(mta, id)
}

fn lines_of(mta: &Mta, id: &str) -> String {
    let mut lines: Vec<String> =
        mta.lines(&[&format!(" {id}: to=")]).iter().map(|line| normal_log(line) + "\n").collect();
    lines.sort();
    lines.concat()
}

fn dialogues(sink: &Sink) -> String {
    let mut text = String::new();
    for lines in sink.sessions() {
        // QUIT may come after the message has left the queue
        let lines: Vec<String> = lines.into_iter().filter(|line| line != "QUIT").collect();
        text.push_str(&normal(&lines.join("\n")));
        text.push_str("\n--\n");
    }
    text
}

#[test]
fn one_message_to_several_recipients_goes_in_one_transaction() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        let id = mta.send(
            "s@example.org",
            &["c@x.example", "a@y.example", "b@x.example"],
            "Subject: x\n\n.\n..\nbody\n",
        );
        let mut text = outcomes(&mta, &id);
        text.push_str(&dialogues(&sink));
        assert!(sink.received()[0].data.ends_with("\n\n.\n..\nbody\n"), "{}", sink.received()[0].data);
        golden(&mta, "relay/several", &text, &[]);
    });
}

#[test]
fn each_recipient_has_its_own_result() {
    isolated(|world| {
        let sink = Sink::smtp()
            .on("RCPT TO:<bad", "550 5.1.1 no such user")
            .on("RCPT TO:<multi", "550-5.7.1 first line\n550 5.7.1 second line")
            .on("RCPT TO:<plain", "553 no enhanced code")
            .on_first(1, "RCPT TO:<later", "450 4.2.1 come back")
            .start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\nbounce_queue_lifetime = 0", sink.nexthop()))
            .start();
        let id = mta.send(
            "s@example.org",
            &["bad@x.example", "good@x.example", "later@x.example", "multi@x.example", "plain@x.example"],
            "Subject: x\n\nbody\n",
        );
        let text = outcomes(&mta, &id);
        mta.wait_empty();
        let got: Vec<String> =
            sink.received().iter().filter(|m| m.mail.starts_with("<s@")).map(|m| m.rcpts.join(" ")).collect();
        let text = format!("{text}{}\n", got.join("\n"));
        golden(&mta, "relay/each", &text, &[]);
    });
}

#[test]
fn replies_to_every_command_decide_the_outcome() {
    let cases: [(&str, &str); 12] = [
        ("CONNECT", "554 5.7.1 go away"),
        ("CONNECT", "421 4.3.2 not now"),
        ("CONNECT", "600 what"),
        ("EHLO", "421 4.3.2 too busy"),
        ("MAIL", "550 5.1.8 bad sender"),
        ("MAIL", "451 4.3.0 try later"),
        ("RCPT", "250 2.1.5 fine"),
        ("DATA", "554 5.5.0 no data"),
        ("DATA", "451 4.3.0 no data now"),
        (".", "554 5.6.0 content refused"),
        (".", "452 4.3.1 full"),
        ("RCPT", "421 4.3.2 closing"),
    ];
    isolated(move |world| {
        let mta = world.mta("mail").main("default_destination_concurrency_failed_cohort_limit = 10\nqueue_run_delay = 100s\nminimal_backoff_time = 100s\nmaximal_backoff_time = 100s\ntransport_maps = texthash:$CONFIG/transport\ndefault_transport = discard");
        let sinks: Vec<Sink> =
            cases.iter().map(|(command, reply)| Sink::smtp().on(command, reply).start()).collect();
        let map: String = sinks
            .iter()
            .enumerate()
            .map(|(n, sink)| format!("case{n}.example smtp:{}\n", sink.nexthop()))
            .collect();
        let mta = mta.table("texthash", "transport", &map).start();
        let mut text = String::new();
        for (n, (command, reply)) in cases.iter().enumerate() {
            let id = mta.send("s@example.org", &[&format!("x@case{n}.example")], "Subject: x\n\nbody\n");
            mta.wait(&[&format!(" {id}: to=")]);
            text.push_str(&format!("{command} -> {reply}\n{}", lines_of(&mta, &id)));
        }
        golden(&mta, "relay/replies", &text, &[]);
    });
}

#[test]
fn a_server_without_esmtp_gets_helo_and_no_parameters() {
    isolated(|world| {
        let sink = Sink::smtp().on("EHLO", "500 5.5.1 what?").start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        let id = mta.send("s@example.org", &["a@x.example", "b@x.example"], "Subject: x\n\nbody\n");
        let mut text = outcomes(&mta, &id);
        text.push_str(&dialogues(&sink));
        golden(&mta, "relay/helo", &text, &[]);
    });
}

#[test]
fn features_of_the_server_are_used_only_when_offered() {
    isolated(|world| {
        let sink = Sink::smtp().features(&["SIZE 500", "8BITMIME"]).start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\ndefault_destination_recipient_limit = 2\nsmtp_destination_concurrency_limit = 1", sink.nexthop()))
            .start();
        let id =
            mta.send("s@example.org", &["a@x.example", "b@x.example", "c@x.example"], "Subject: x\n\nbody\n");
        let mut text = outcomes(&mta, &id);
        text.push_str(
            &dialogues(&sink)
                .lines()
                .filter(|line| !line.is_empty())
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        );
        let id = mta.send(
            "s@example.org",
            &["a@x.example"],
            &format!("Subject: x\n\n{}", "0123456789\n".repeat(60)),
        );
        text.push_str(&outcomes(&mta, &id).replace(|c: char| c.is_ascii_digit(), "9"));
        golden(&mta, "relay/features", &text, &[]);
    });
}

#[test]
fn long_lines_are_broken() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        let long = "abcdefghij".repeat(250);
        let id = mta.send("s@example.org", &["a@x.example"], &format!("Subject: x\n\n{long}\n"));
        mta.wait_removed(&id);
        let data = sink.received()[0].data.clone();
        let body = data.split("\n\n").nth(1).unwrap();
        let lengths: Vec<usize> = body.lines().map(str::len).collect();
        golden(&mta, "relay/long_lines", &format!("{lengths:?}\n"), &[]);
    });
}

#[test]
fn connections_are_reused_under_load() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let main = format!("relayhost = {}\nsmtp_destination_concurrency_limit = 1", sink.nexthop());
        let mta = world.mta("mail").main(&main).main("defer_transports = smtp").start();
        for _ in 0..30 {
            mta.send("s@example.org", &["a@x.example"], "Subject: x\n\nbody\n");
        }
        mta.stop();
        let second = world.mta("second").spool_of(&mta).main(&main).start();
        second.wait_empty();
        assert_eq!(sink.received().len(), 30);
        assert!(sink.sessions().len() <= 10, "{:?}", sink.sessions());
        second.log_of("smtp");
        assert!(!second.lines(&["conn_use=2", "status=sent"]).is_empty());
    });
}

#[test]
fn a_dead_server_defers_and_the_next_run_delivers() {
    isolated(|world| {
        let port = harness::free_port();
        let mta = world.mta("mail").main(&format!("relayhost = [127.0.0.1]:{port}")).start();
        let id = mta.send("s@example.org", &["a@x.example"], "Subject: x\n\nbody\n");
        let mut text = normal_log(&mta.wait(&[&format!(" {id}: to="), "status=deferred"]));
        text.push('\n');
        text.push_str(&normal_log(&mta.wait(&["connect to"])));
        let sink = Sink::smtp().at(&format!("127.0.0.1:{port}")).start();
        sink.wait(1);
        mta.wait_removed(&id);
        golden(&mta, "relay/dead", &text, &[]);
    });
}

#[test]
fn lost_connections_and_silence_defer() {
    isolated(|world| {
        let drops: Vec<Sink> = ["CONNECT", "EHLO", "MAIL", "DATA", "."]
            .iter()
            .map(|at| Sink::smtp().drop_first(9, at).start())
            .collect();
        let stall = Sink::smtp().stall("MAIL").start();
        let map: String = drops
            .iter()
            .chain([&stall])
            .enumerate()
            .map(|(n, sink)| format!("case{n}.example smtp:{}\n", sink.nexthop()))
            .collect();
        let mta = world
            .mta("mail")
            .main("transport_maps = texthash:$CONFIG/transport\nqueue_run_delay = 100s\nminimal_backoff_time = 100s\nmaximal_backoff_time = 100s\nsmtp_mail_timeout = 1s")
            .table("texthash", "transport", &map)
            .start();
        let mut text = String::new();
        for n in 0..=drops.len() {
            let id = mta.send("s@example.org", &[&format!("x@case{n}.example")], "Subject: x\n\nbody\n");
            mta.wait(&[&format!(" {id}: to=")]);
            text.push_str(&lines_of(&mta, &id));
        }
        golden(&mta, "relay/lost", &text, &[]);
    });
}

#[test]
fn lmtp_has_a_result_for_each_recipient() {
    isolated(|world| {
        let sink = Sink::lmtp()
            .on(". <full", "452 4.2.2 over quota")
            .on(". <gone", "550 5.2.1 disabled")
            .on("RCPT TO:<nobody", "550 5.1.1 unknown")
            .start();
        let mta = world
            .mta("mail")
            .main(&format!("virtual_mailbox_domains = v.example\nvirtual_transport = lmtp:inet:{}\nqueue_run_delay = 100s\ndefault_transport = discard\nlmtp_destination_recipient_limit = 10", sink.nexthop()))
            .start();
        let id = mta.send(
            "s@example.org",
            &["ok@v.example", "full@v.example", "gone@v.example", "nobody@v.example"],
            "Subject: x\n\nbody\n",
        );
        until("four results", || (mta.lines(&[&format!(" {id}: to=")]).len() >= 4).then_some(()));
        let mut text = lines_of(&mta, &id);
        text.push_str(&dialogues(&sink));
        golden(&mta, "relay/lmtp", &text, &[]);
    });
}

const ZONE: &str = "
dest.example MX 20 mx2.dest.example
dest.example MX 10 mx1.dest.example
mx1.dest.example A 127.0.0.11
mx2.dest.example A 127.0.0.12
bare.example A 127.0.0.12
null.example MX 0 .
dangling.example MX 10 nowhere.dest.example
alias.example CNAME dest.example
broken.example SERVFAIL
nodata.example TXT hello
self.example MX 10 mail.example.com
mail.example.com A 127.0.0.1
big.example TXT x
";

#[test]
fn mail_exchangers_are_tried_in_order_of_preference() {
    isolated_dns(ZONE, |world| {
        let second = Sink::smtp().at("127.0.0.12:25").start();
        let mta = world
            .mta("mail")
            .main("queue_run_delay = 100s\nminimal_backoff_time = 100s\nmaximal_backoff_time = 100s")
            .start();
        let mut text = String::new();
        for to in [
            "x@dest.example",
            "x@bare.example",
            "x@alias.example",
            "x@null.example",
            "x@dangling.example",
            "x@broken.example",
            "x@nodata.example",
            "x@nosuch.example",
            "x@[127.0.0.12]",
        ] {
            let id = mta.send("", &[to], "Subject: x\n\nbody\n");
            mta.wait(&[&format!(" {id}: to=")]);
            text.push_str(&lines_of(&mta, &id));
        }
        let first = Sink::smtp().at("127.0.0.11:25").on_first(1, "MAIL", "451 4.3.0 not here").start();
        for _ in 0..2 {
            let id = mta.send("", &["x@dest.example"], "Subject: x\n\nbody\n");
            text.push_str(&outcomes(&mta, &id));
        }
        text.push_str(&format!("{} {}\n", first.received().len(), second.received().len()));
        for line in mta.log_of("smtp").lines().filter(|line| !line.contains(": to=")) {
            text.push_str(line);
            text.push('\n');
        }
        golden(&mta, "relay/mx", &text, &[]);
    });
}

#[test]
fn a_relayhost_by_name_and_a_fallback() {
    isolated_dns(ZONE, |world| {
        let second = Sink::smtp().at("127.0.0.12:2525").start();
        let mta = world
            .mta("mail")
            .main("relayhost = dest.example:2525\nsmtp_fallback_relay = [mx2.dest.example]:2525")
            .start();
        let id = mta.send("s@example.org", &["x@anything.example"], "Subject: x\n\nbody\n");
        let mut text = outcomes(&mta, &id);
        let other = world.mta("second").main("smtp_fallback_relay = [mx2.dest.example]:2525").start();
        for to in ["x@broken.example", "x@nosuch.example"] {
            let id = other.send("s@example.org", &[to], "Subject: x\n\nbody\n");
            other.wait(&[&format!(" {id}: to=")]);
            text.push_str(&lines_of(&other, &id));
        }
        assert!(!second.received().is_empty());
        golden(&mta, "relay/fallback", &text, &[]);
    });
}

/// The notices that reach the sender's mailbox, whole and normalised.
fn notices(mta: &Mta, user: &str, count: usize) -> String {
    let list = mta.wait_mbox(user, count);
    normal_dsn(&list.join("=====\n")).replace(user, "alice")
}

#[test]
fn an_unknown_user_comes_back_with_a_whole_report() {
    isolated(|world| {
        let user = world.user();
        let from = format!("{user}@example.com");
        let mta =
            world.mta("mail").main("local_recipient_maps =").master("local unix - n n - 1 local").start();
        mta.send(
            &from,
            &["nosuch@example.com", "other+very.long.local.part.that.makes.the.line.wrap.around@example.com"],
            "Subject: hello\nX-Long: yes\n\nbody line one\nbody line two\n",
        );
        mta.wait_empty();
        let mut text = notices(&mta, &user, 1);
        for line in mta.log_of("bounce").lines() {
            text.push_str(line);
            text.push('\n');
        }
        golden(&mta, "bounce/unknown", &text, &[]);
    });
}

#[test]
fn dsn_parameters_decide_what_a_notice_holds() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").main("local_recipient_maps =").start();
        let mut client = mta.ehlo();
        for line in [
            format!("MAIL FROM:<{user}@example.com> RET=HDRS ENVID=id+2B1"),
            format!("RCPT TO:<{user}@example.com> NOTIFY=SUCCESS ORCPT=rfc822;Orig+2BAlice@example.com"),
            "RCPT TO:<never@example.com> NOTIFY=NEVER".to_owned(),
            "RCPT TO:<fail@example.com> NOTIFY=FAILURE ORCPT=rfc822;original@example.com".to_owned(),
            "RCPT TO:<success@example.com> NOTIFY=SUCCESS".to_owned(),
        ] {
            assert!(client.cmd(&line).starts_with("250"), "{line}");
        }
        assert!(client.cmd("DATA").starts_with("354"));
        assert!(client.content("Subject: hello\n\nbody\n").starts_with("250"));
        mta.wait_empty();
        let mut list = mta.wait_mbox(&user, 3);
        list.sort_by_key(|m| m.lines().find(|l| l.starts_with("Subject:")).map(str::to_owned));
        golden(&mta, "bounce/dsn", &normal_dsn(&list.join("=====\n")).replace(&user, "alice"), &[]);
    });
}

#[test]
fn a_remote_refusal_is_quoted_in_the_report() {
    isolated(|world| {
        let user = world.user();
        let sink = Sink::smtp().on("RCPT TO:<bad", "550-5.7.1 this is the first line of a long explanation\n550 5.7.1 and this is the second one").start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        mta.send(&format!("{user}@example.com"), &["bad@x.example"], "Subject: hello\n\nbody\n");
        mta.wait_empty();
        golden(&mta, "bounce/remote", &notices(&mta, &user, 1), &[]);
    });
}

#[test]
fn deferred_mail_is_warned_about_and_expires() {
    isolated(|world| {
        let user = world.user();
        let mta = world
            .mta("mail")
            .main("transport_maps = inline:{{retry.example=retry:4.2.2 mailbox busy}}\nsmtpd_reject_unlisted_recipient = no\ndelay_warning_time = 1s\nmaximal_queue_lifetime = 5s\nbounce_queue_lifetime = 5s")
            .start();
        let id = mta.send(&format!("{user}@example.com"), &["x@retry.example"], "Subject: hello\n\nbody\n");
        let mut text = notices(&mta, &user, 2);
        mta.wait_removed(&id);
        let mut lines: Vec<String> = mta.log_of("bounce").lines().map(normal_log).collect();
        lines.extend(mta.lines(&[&format!(" {id}: "), "expired"]).iter().map(|line| normal_log(line)));
        lines.sort(); // 3.10 logs a notice before what its text draws
        text.push_str(&lines.join("\n"));
        golden(&mta, "bounce/delayed", &world.as_root(&text), &[]);
    });
}

#[test]
fn bounces_of_bounces_go_to_the_postmaster_when_asked_for() {
    isolated(|world| {
        let user = world.user();
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nnotify_classes = resource, software, bounce, 2bounce")
            .aliases(&format!("postmaster: {user}"))
            .start();
        mta.send("", &["nosuch@example.com"], "Subject: hello\n\nbody\n");
        mta.wait_empty();
        let mut text = notices(&mta, &user, 1);
        text.push_str(&mta.log_of("bounce"));
        golden(&mta, "bounce/double", &text, &[]);
    });
}

#[test]
fn the_postmaster_gets_copies_and_transcripts() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").main("notify_classes = bounce, policy, protocol\nsmtpd_reject_unlisted_recipient = no\nsmtpd_relay_restrictions = reject_unauth_destination").aliases(&format!("postmaster: {user}")).start();
        mta.send("s@x.example", &["nosuch@example.com"], "Subject: hello\n\nbody\n");
        let list = mta.wait_mbox(&user, 1);
        let mut text = normal_dsn(&list.join("")).replace(&user, "alice");
        harness::talk(
            &mta,
            &["EHLO c", "FOO", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>", "QUIT"],
        );
        let list = mta.wait_mbox(&user, 2);
        text.push_str(&normal_dsn(&list[1]).replace(&user, "alice"));
        golden(&mta, "bounce/postmaster", &text, &[]);
    });
}

#[test]
fn a_verify_probe_reports_without_delivering() {
    isolated(|world| {
        let user = world.user();
        // One delivery at a time: the report lists recipients in the order of their results.
        let mta = world.mta("mail").master("local unix - n n - 1 local").start();
        let run = mta.run_with(
            "sendmail",
            &[
                "-bv",
                "-f",
                &format!("{user}@example.com"),
                &format!("{user}@example.com"),
                "zzz-nosuch@example.com", // after whoever runs the test: recipients are delivered to in order
            ],
            "",
        );
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        assert_eq!(run.out, format!("Mail Delivery Status Report will be mailed to <{user}@example.com>.\n"));
        golden(&mta, "bounce/verify", &world.as_root(&notices(&mta, &user, 1)), &[]);
    });
}

#[test]
fn replies_that_are_none() {
    let cases: [(&str, &str, &str, &str); 17] = [
        ("text before", "PIPELINING", "MAIL", "hello\n250 2.1.0 Ok"),
        ("text before, no pipelining", "SIZE", "MAIL", "hello\n250 2.1.0 Ok"),
        ("two digits", "SIZE", "MAIL", "25 ok\n250 2.1.0 Ok"),
        ("four digits", "SIZE", "MAIL", "2500 ok\n250 2.1.0 Ok"),
        ("no blank", "SIZE", "MAIL", "250ok\n250 2.1.0 Ok"),
        ("underscore", "SIZE", "MAIL", "250_ok\n250 2.1.0 Ok"),
        ("code only", "SIZE", "MAIL", "250"),
        ("code and dash", "SIZE", "MAIL", "250-\n250 ok"),
        ("mixed codes", "SIZE", "MAIL", "250-x\n550 no"),
        ("empty line", "SIZE", "MAIL", "\n250 ok"),
        ("blank first", "SIZE", "MAIL", " 250 ok\n250 ok"),
        ("small code", "SIZE", "MAIL", "099 ok"),
        ("large code", "SIZE", "MAIL", "999 ok"),
        ("text before a refusal", "PIPELINING", "MAIL", "hello\nthere\n550 5.1.1 no"),
        ("text within a refusal", "SIZE", "MAIL", "550-5.1.1 one\ntwo\n550 5.1.1 three"),
        ("blanks", "SIZE", "MAIL", "550   5.1.1   no   "),
        ("no code in EHLO", "SIZE", "CONNECT", "hello\n220 ESMTP"),
    ];
    isolated(move |world| {
        let mut text = String::new();
        let mut last = None;
        for (number, (name, feature, command, reply)) in cases.into_iter().enumerate() {
            let sink = Sink::smtp().features(&[feature, "8BITMIME"]).on(command, reply).start();
            let mta = world
                .mta(&format!("mail{number}"))
                .main(&format!("relayhost = {}\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\nsmtp_mail_timeout = 3s\nsmtp_rcpt_timeout = 3s\nsmtp_data_init_timeout = 3s\nsmtp_helo_timeout = 3s", sink.nexthop()))
                .start();
            let id = mta.send("", &["a@x.example"], "Subject: x\n\nbody\n");
            let line = mta.wait(&[&format!(" {id}: to=")]);
            text.push_str(&format!("== {name}\n"));
            for line in mta.lines(&["smtp[", "warning:"]) {
                text.push_str(&(normal_log(&line) + "\n"));
            }
            text.push_str(&(normal_log(&line) + "\n"));
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "relay/no_replies", &text, &[]);
    });
}

#[test]
fn features_that_are_not_used() {
    let cases = [
        ("list", "smtp_discard_ehlo_keywords = pipelining, dsn"),
        (
            "map",
            "smtp_discard_ehlo_keywords = dsn\nsmtp_discard_ehlo_keyword_address_maps = inline:{{127.0.0.1=pipelining, size}}",
        ),
        (
            "other address",
            "smtp_discard_ehlo_keywords = dsn\nsmtp_discard_ehlo_keyword_address_maps = inline:{{127.0.0.2=pipelining}}",
        ),
        ("network", "smtp_discard_ehlo_keyword_address_maps = cidr:{{127.0.0.0/8 size, silent-discard}}"),
        ("unknown word", "smtp_discard_ehlo_keywords = nonsense, Size, XFORWARD, auth"),
        ("silent", "smtp_discard_ehlo_keywords = size, silent-discard"),
        ("failing", "smtp_discard_ehlo_keywords = size\nsmtp_discard_ehlo_keyword_address_maps = fail:now"),
    ];
    isolated(move |world| {
        let mut text = String::new();
        let mut last = None;
        for (number, (name, main)) in cases.into_iter().enumerate() {
            let sink = Sink::smtp()
                .features(&["PIPELINING", "SIZE 1000000", "8BITMIME", "DSN", "XFORWARD NAME ADDR"])
                .start();
            let mta = world
                .mta(&format!("mail{number}"))
                .main(&format!("relayhost = {}\nsmtp_send_xforward_command = yes\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n{main}", sink.nexthop()))
                .start();
            let id = mta.send("", &["a@x.example"], "Subject: x\n\nbody\n");
            let line = mta.wait(&[&format!(" {id}: to=")]);
            text.push_str(&format!("== {name}\n"));
            for line in mta.lines(&["smtp["]).iter().filter(|line| !line.contains(": to=")) {
                text.push_str(&(normal_log(line) + "\n"));
            }
            text.push_str(&(normal_log(&line) + "\n"));
            text.push_str(&dialogues(&sink));
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "relay/discarded_features", &text, &[]);
    });
}
