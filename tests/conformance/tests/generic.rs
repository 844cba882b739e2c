//! Addresses on their way out: `smtp_generic_maps`, `lmtp_generic_maps`.

use harness::{Mta, Received, Sink, golden, isolated, normal, normal_log};
use std::fmt::Write as _;

const TABLE: &str = "\
alice@example.com alice@public.example
bob robert@isp.example
@internal.example @public.example
\"c d\"@example.com c.d@public.example
dave@example.com dave
erin@example.com erin@x.example, erin2@y.example
frank@example.com frank@public.example
strange@example.com \"odd one\"@public.example
empty@example.com <>
loop@example.com loop2@example.com
loop2@example.com loop3@example.com
";

const MESSAGE: &str = "\
From: \"Alice A.\" <alice@example.com>
To: x@internal.example, \"Doe, Jane\" <Y@elsewhere.example>,
\t\"c d\"@example.com (a comment), undisclosed: alice@example.com, bob;
Cc: bob@example.com, dave@example.com (Dave), <erin@example.com>,
 strange@example.com, loop@example.com, alice@[127.0.0.1], alice
Reply-To: frank+ext@example.com
Errors-To: alice@example.com
Sender: ALICE@EXAMPLE.COM
Return-Receipt-To: alice@example.com
Mail-Followup-To: alice@example.com
Disposition-Notification-To: alice@example.com
Resent-From: alice@example.com
Resent-Reply-To: alice@example.com
Delivered-To: other@example.com
X-Original: alice@example.com
Subject: alice@example.com
Message-Id: <1.alice@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: message/rfc822

From: alice@example.com

alice@example.com
--b
From: alice@example.com

text
--b--
";

/// What the server saw of one message.
fn seen(sink: &Sink, message: &Received) -> String {
    let mut text = String::new();
    for line in sink.sessions().concat().iter().filter(|line| *line != "QUIT") {
        let _ = writeln!(text, "{}", normal(line));
    }
    let _ = writeln!(text, "{}", normal(&message.data));
    text
}

fn out(mta: &Mta, sink: &Sink, from: &str, to: &[&str], message: &str) -> String {
    let id = mta.send(from, to, message);
    mta.wait_removed(&id);
    let mut text = seen(sink, &sink.wait(1)[0]);
    for line in mta.lines(&[&format!("{id}: to=")]) {
        let _ = writeln!(text, "{}", normal_log(&line));
    }
    text
}

#[test]
fn envelope_and_primary_header_get_public_addresses() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!(
                "relayhost = {}\nrecipient_delimiter = +\nsmtp_generic_maps = hash:$CONFIG/generic",
                sink.nexthop()
            ))
            .table("hash", "generic", TABLE)
            .start();
        let to = ["x@internal.example", "Y@elsewhere.example", "\"q r\"@internal.example"];
        golden(&mta, "generic/smtp", &out(&mta, &sink, "alice@example.com", &to, MESSAGE), &[]);
    });
}

#[test]
fn each_kind_of_entry_and_result() {
    let senders = [
        "bob@example.com",
        "dave@example.com",
        "erin@example.com",
        "frank+ext@example.com",
        "strange@example.com",
        "loop@example.com",
        "\"c d\"@example.com",
        "empty@example.com",
        "",
        "alice@elsewhere.example",
        "Alice@Example.Com",
    ];
    isolated(move |world| {
        let mut text = String::new();
        let mut last = None;
        for (number, propagate) in ["canonical, virtual", "generic"].into_iter().enumerate() {
            let sink = Sink::smtp().start();
            let mta = world
                .mta(&format!("mail{number}"))
                .main(&format!("relayhost = {}\nrecipient_delimiter = +\nsmtp_generic_maps = hash:$CONFIG/generic\npropagate_unmatched_extensions = {propagate}", sink.nexthop()))
                .table("hash", "generic", TABLE)
                .start();
            for sender in senders {
                let id = mta.send(sender, &["s+e@internal.example"], "Subject: x\n\nbody\n");
                mta.wait_removed(&id);
            }
            for message in sink.received() {
                let _ = writeln!(text, "{} {:?}", normal(&message.mail), message.rcpts);
            }
            for line in mta.lines(&["smtp[", "warning:"]) {
                let _ = writeln!(text, "{}", normal_log(&line));
            }
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "generic/entries", &text, &[]);
    });
}

#[test]
fn content_is_converted_after_its_addresses() {
    isolated(|world| {
        let sink = Sink::smtp().features(&["PIPELINING", "SIZE 1000000"]).start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\nsmtp_generic_maps = hash:$CONFIG/generic", sink.nexthop()))
            .table("hash", "generic", TABLE)
            .start();
        let message = "From: alice@example.com\nTo: =?utf-8?q?J=C3=B6rg?= <x@internal.example>,\n y@elsewhere.example\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nSubject: x\n\nJ\u{f6}rg\n.\n..\nalice@example.com\n";
        golden(
            &mta,
            "generic/converted",
            &out(&mta, &sink, "alice@example.com", &["x@internal.example"], message),
            &[],
        );
    });
}

#[test]
fn lmtp_has_maps_of_its_own() {
    isolated(|world| {
        let sink = Sink::lmtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relay_domains = internal.example\nrelay_transport = lmtp:{}\nsmtp_generic_maps = inline:{{alice@example.com=wrong@public.example}}\nlmtp_generic_maps = hash:$CONFIG/generic", sink.nexthop()))
            .table("hash", "generic", TABLE)
            .start();
        let message = "From: alice@example.com\nTo: x@internal.example\nSubject: x\n\nbody\n";
        golden(
            &mta,
            "generic/lmtp",
            &out(&mta, &sink, "alice@example.com", &["x@internal.example"], message),
            &[],
        );
    });
}

#[test]
fn a_table_that_cannot_tell_defers() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\nsmtp_generic_maps = fail:now", sink.nexthop()))
            .start();
        let id = mta.send(
            "alice@example.com",
            &["x@internal.example", "y@internal.example"],
            "From: alice@example.com\nSubject: x\n\nbody\n",
        );
        mta.wait(&["smtp[", "smtp_generic_maps map lookup problem for alice@example.com"]);
        if mta.ours("smtp") {
            // the reference dies of it, and the queue manager tries again later
            let line = mta.wait(&[&format!("{id}: to=<x@internal.example>"), "status=deferred"]);
            assert!(
                line.contains("dsn=4.3.0, status=deferred (smtp_generic_maps map lookup problem for "),
                "{line}"
            );
        }
        mta.stop();
        assert_eq!((mta.queue("deferred").len() + mta.queue("active").len(), sink.received().len()), (1, 0));
    });
}

#[test]
fn a_table_may_name_nobody() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\ncanonical_maps = inline:{{a@x.example=<>}}\nvirtual_alias_maps = inline:{{b@x.example=<>}}", sink.nexthop()))
            .start();
        let id = mta.send(
            "a@x.example",
            &["a@x.example", "c@x.example"],
            "From: a@x.example\nTo: a@x.example, b@x.example\nSubject: x\n\nbody\n",
        );
        mta.wait_removed(&id);
        let id = mta.send(
            "c@x.example",
            &["b@x.example", "c@x.example"],
            "From: a@x.example\nSubject: x\n\nbody\n",
        );
        mta.wait_removed(&id);
        let mut lines: Vec<String> =
            mta.lines(&[": to="]).iter().map(|line| normal_log(line) + "\n").collect();
        lines.sort(); // two agents at the same time
        let mut text = lines.concat();
        for message in sink.received() {
            let _ =
                writeln!(text, "{} {:?}\n{}", normal(&message.mail), message.rcpts, normal(&message.data));
        }
        golden(&mta, "generic/nobody", &text, &[]);
    });
}
