//! Mail from real clients, and how the queue manager spreads it.

use harness::{Sink, golden, isolated, needs_program, normal_dsn, normal_log, until};
use std::process::Command;

#[test]
fn a_burst_of_smtp_source() {
    let Some(program) = needs_program(&["smtp-source"]) else { return };
    isolated(move |world| {
        let sink = Sink::smtp().start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        let status = Command::new(program)
            .args([
                "-s",
                "20",
                "-m",
                "400",
                "-l",
                "4096",
                "-f",
                "s@example.org",
                "-t",
                "r@x.example",
                "-N",
                "-4",
            ])
            .arg(mta.address().to_string())
            .env_clear()
            .env("MAIL_CONFIG", mta.config())
            .status()
            .expect("run smtp-source");
        assert!(status.success());
        mta.wait_empty();
        let received = sink.received();
        assert_eq!(received.len(), 400);
        for message in &received {
            assert!(message.data.len() > 4000, "{}", message.data);
        }
        assert_eq!(mta.lines(&["status=sent"]).len(), 400);
        assert_eq!(mta.lines(&[": removed"]).len(), 400);
    });
}

const PYTHON: &str = r#"
import smtplib, sys
from email.message import EmailMessage
message = EmailMessage()
message["Subject"] = "Gr\u00fc\u00dfe"
message["From"] = "s@example.org"
message["To"] = sys.argv[2]
message.set_content("body\n.\nend\n")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), local_hostname="client.example.org") as server:
    print(sorted(server.ehlo()[1].decode().split("\n"))[0])
    print(server.send_message(message))
    print(server.sendmail("", [sys.argv[2]], "Subject: null sender\r\n\r\nbody\r\n", mail_options=["BODY=8BITMIME"]))
"#;

#[test]
fn a_python_client() {
    let Some(python) = needs_program(&["python3"]) else { return };
    isolated(move |world| {
        let user = world.user();
        let mta = world.mta("mail").start();
        let output = Command::new(python)
            .args(["-c", PYTHON, &mta.address().port().to_string(), &format!("{user}@example.com")])
            .output()
            .expect("run python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut list = mta.wait_mbox(&user, 2);
        list.sort_by_key(|message| message.contains("null sender"));
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), list.concat());
        golden(&mta, "flow/python", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

#[test]
fn no_more_connections_to_a_destination_than_allowed() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!(
                "relayhost = {}\ndefer_transports = smtp\nsmtp_destination_concurrency_limit = 3\n\
                 smtp_connection_cache_on_demand = no",
                sink.nexthop()
            ))
            .start();
        for n in 0..60 {
            mta.send("s@example.org", &[&format!("r{n}@x.example")], "Subject: x\n\nbody\n");
        }
        mta.stop();
        let second = world
            .mta("second")
            .spool_of(&mta)
            .main(&format!(
                "relayhost = {}\nsmtp_destination_concurrency_limit = 3\nsmtp_connection_cache_on_demand = no",
                sink.nexthop()
            ))
            .start();
        second.wait_empty();
        assert_eq!(sink.received().len(), 60);
        assert!(sink.most_at_once() <= 3, "{} transactions at once", sink.most_at_once());
    });
}

#[test]
fn recipients_are_spread_over_transactions_of_the_allowed_size() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\nsmtp_destination_recipient_limit = 7", sink.nexthop()))
            .start();
        let rcpts: Vec<String> = (0..50).map(|n| format!("r{n}@x.example")).collect();
        let list: Vec<&str> = rcpts.iter().map(String::as_str).collect();
        let id = mta.send("s@example.org", &list, "Subject: x\n\nbody\n");
        mta.wait_removed(&id);
        let mut sizes: Vec<usize> = sink.received().iter().map(|message| message.rcpts.len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 7, 7, 7, 7, 7, 7, 7]);
    });
}

#[test]
fn a_dead_destination_holds_up_nobody_else() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let dead = harness::free_port();
        let mta = world
            .mta("mail")
            .main(&format!(
                "minimal_backoff_time = 100s\nmaximal_backoff_time = 100s\nqueue_run_delay = 100s\n\
                 transport_maps = inline:{{{{dead.example=smtp:[127.0.0.1]:{dead}}},{{live.example=smtp:{}}}}}",
                sink.nexthop()
            ))
            .start();
        for n in 0..20 {
            mta.send("s@example.org", &[&format!("r{n}@dead.example")], "Subject: x\n\nbody\n");
            mta.send("s@example.org", &[&format!("r{n}@live.example")], "Subject: x\n\nbody\n");
        }
        sink.wait(20);
        until("twenty deferrals", || (mta.queue("deferred").len() == 20).then_some(()));
        let text = mta.lines(&["dead.example>", "status=deferred"]);
        assert!(text.len() >= 20);
        for line in text {
            let line = normal_log(&line);
            let refused = "connect to 127.0.0.1[127.0.0.1]:PORT: Connection refused";
            assert!(
                line.ends_with(&format!("status=deferred ({refused})"))
                    || line
                        .ends_with(&format!("status=deferred (delivery temporarily suspended: {refused})")),
                "{line}"
            );
        }
    });
}

#[test]
fn eight_bit_content_is_converted_for_a_server_that_cannot_take_it() {
    isolated(|world| {
        let sink = Sink::smtp().features(&["PIPELINING"]).start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        let long = "\u{e4}".repeat(60);
        for (kind, body) in [
            ("text/plain; charset=utf-8", format!("gr\u{fc}n = green\ntrailing blank \n{long}\n")),
            (
                "multipart/mixed; boundary=\"b\"",
                format!(
                    "preamble\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{long}\n--b\nContent-Type: text/plain\n\nplain\n--b--\n"
                ),
            ),
        ] {
            let mut client = mta.ehlo();
            for line in ["MAIL FROM:<s@example.org> BODY=8BITMIME", "RCPT TO:<r@x.example>"] {
                assert!(client.cmd(line).starts_with("250"));
            }
            assert!(client.cmd("DATA").starts_with("354"));
            let text = format!(
                "Subject: x\nMIME-Version: 1.0\nContent-Type: {kind}\nContent-Transfer-Encoding: 8bit\nX-After: y\n\n{body}"
            );
            assert!(client.content(&text).starts_with("250"));
            mta.wait_empty();
        }
        let text: Vec<String> =
            sink.received().iter().map(|message| format!("{}\n{}", message.mail, message.data)).collect();
        golden(&mta, "flow/downgrade", &normal_dsn(&text.join("----\n")), &[]);
    });
}

#[test]
fn long_queue_ids_are_used_when_asked_for() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").main("enable_long_queue_ids = yes").start();
        let id = mta.send("s@example.org", &[&user], "Subject: x\n\nbody\n");
        mta.wait_removed(&id);
        assert!(id.len() >= 12 && id.as_bytes().get(10) == Some(&b'z'), "{id}");
        let text = mta.wait_mbox(&user, 1).concat();
        golden(&mta, "flow/long_id", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

#[test]
fn etrn_and_postqueue_flush_one_site() {
    isolated(|world| {
        let port = harness::free_port();
        let mta = world
            .mta("mail")
            .main(&format!(
                "relay_domains = site.example, other.example\nrelayhost = [127.0.0.1]:{port}\n\
                 queue_run_delay = 1000s\nminimal_backoff_time = 1000s\nmaximal_backoff_time = 1000s"
            ))
            .start();
        let site = mta.send("s@example.org", &["a@site.example"], "Subject: x\n\nbody\n");
        let other = mta.send("s@example.org", &["a@other.example"], "Subject: x\n\nbody\n");
        until("two deferrals", || (mta.queue("deferred").len() == 2).then_some(()));
        assert_eq!(mta.queue("flush"), ["other_example", "site_example"]);
        let sink = Sink::smtp().at(&format!("127.0.0.1:{port}")).start();
        let text = harness::talk(&mta, &["EHLO c", "ETRN site.example", "QUIT"]);
        assert!(text.contains("S: 250 Queuing started\n"), "{text}");
        mta.wait_removed(&site);
        assert_eq!(sink.received().len(), 1);
        assert_eq!(mta.queue("deferred"), std::slice::from_ref(&other));
        let run = mta.run("postqueue", &["-s", "other.example"]);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        mta.wait_removed(&other);
    });
}
