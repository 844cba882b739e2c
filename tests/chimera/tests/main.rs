//! Chimeras: each daemon of ours does its work inside a running reference, and each of theirs inside ours.
//!
//! What a mixed system does must not depend on which daemon is whose: the whole life of several messages is the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use harness::{
    Mta, Received, Sink, Target, World, isolated, needs_reference, needs_root, normal_dsn, talk, until,
};

/// Both directions for one daemon.
macro_rules! daemons {
    ($($module:ident $name:literal)*) => {$(
        mod $module {
            #[test]
            fn ours_works_inside_the_reference() {
                super::life(harness::Target::Chimera($name.to_owned()));
            }

            #[test]
            fn theirs_works_inside_ours() {
                super::life(harness::Target::Reverse($name.to_owned()));
            }
        }
    )*};
}

daemons! {
    anvil "anvil"
    bounce "bounce"
    cleanup "cleanup"
    discard "discard"
    error "error"
    flush "flush"
    lmtp "lmtp"
    local "local"
    pickup "pickup"
    pipe "pipe"
    postlogd "postlogd"
    proxymap "proxymap"
    qmgr "qmgr"
    showq "showq"
    smtp "smtp"
    smtpd "smtpd"
    trivial_rewrite "trivial-rewrite"
    verify "verify"
    virtual_ "virtual"
}

/// The life of mail in a system that has every kind of delivery.
fn life(target: Target) {
    if target.needs_reference() && needs_reference("as half of the system")
        || needs_root("delivery as the users alice and bob")
    {
        return;
    }
    isolated(move |world| {
        let smtp = Sink::smtp().on("RCPT TO:<bad", "550 5.1.1 no such user").start();
        let lmtp = Sink::lmtp().on(". <full", "452 4.2.2 over quota").start();
        let mta = build(world, target, &smtp, &lmtp);
        accepted_and_delivered(&mta, &smtp, &lmtp);
        refused(&mta);
        bounced(&mta);
        deferred_and_listed(&mta);
        traced(&mta);
        assert!(mta.lines(&["killed by signal"]).is_empty(), "a daemon died");
        assert!(
            mta.lines(&["unexpected attribute"]).is_empty(),
            "{:?}",
            mta.lines(&["unexpected attribute"])
        );
        assert!(mta.lines(&["panic: "]).is_empty(), "{:?}", mta.lines(&["panic: "]));
    });
}

fn build(world: &World, target: Target, smtp: &Sink, lmtp: &Sink) -> Mta {
    let vmail = world.dir().join("vmail");
    std::fs::create_dir(&vmail).unwrap();
    std::os::unix::fs::chown(&vmail, Some(world.uid("bob")), Some(world.uid("bob"))).unwrap();
    world.script("piped", "cat > /dev/null");
    world
        .mta("mail")
        .target(target)
        .main(&format!("relayhost = {}\nsmtp_connection_cache_on_demand = yes", smtp.nexthop()))
        .main(&format!("transport_maps = inline:{{{{lmtp.example=lmtp:inet:{}}},{{pipe.example=piped:}},{{discard.example=discard:}},{{error.example=error:5.7.1 not here}},{{later.example=retry:4.2.2 wait}}}}", lmtp.nexthop()))
        .main(&format!("virtual_mailbox_domains = v.example\nvirtual_mailbox_maps = inline:{{{{box@v.example=box/}}}}\nvirtual_mailbox_base = {}\nvirtual_uid_maps = static:{}\nvirtual_gid_maps = static:{}\nvirtual_minimum_uid = 1", vmail.display(), world.uid("bob"), world.uid("bob")))
        .main("smtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 1000\nsmtpd_reject_unlisted_recipient = yes\nrelay_domains = later.example\nfast_flush_domains = later.example\nqueue_run_delay = 1000s\nvirtual_alias_maps = inline:{{list@example.com=alice, bob@example.com, z@remote.example}}\nlocal_recipient_maps = proxy:unix:passwd.byname $alias_maps\naddress_verify_map =\nunverified_recipient_reject_code = 550\nsmtpd_recipient_restrictions = check_recipient_access inline:{{probe@remote.example=reject_unverified_recipient},{bad@remote.example=reject_unverified_recipient}}\naddress_verify_poll_delay = 1s\naddress_verify_poll_count = 20")
        .master("piped unix - n n - - pipe user=bob argv=$DIR/piped")
        .aliases("unix: alice\ncommand: \"|cat > /dev/null\"")
        .start()
}

fn submit(mta: &Mta, to: &[&str]) -> String {
    mta.send("alice@example.com", to, "Subject: chimera\n\nbody\n.\n..\nTHE END\n")
}

/// Submits by `sendmail`, past the checks of the SMTP server; returns the queue ID.
fn inject(mta: &Mta, to: &[&str]) -> String {
    let pattern = ["/pickup[", ": uid="];
    let before = mta.lines(&pattern).len();
    let run = mta.run_with(
        "sendmail",
        &[&["-f", "alice@example.com"], to].concat(),
        "Subject: chimera\n\nbody\nTHE END\n",
    );
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let line = mta.wait_count(&pattern, before + 1).pop().unwrap();
    line.split("]: ").nth(1).unwrap().split(':').next().unwrap().to_owned()
}

fn accepted_and_delivered(mta: &Mta, smtp: &Sink, lmtp: &Sink) {
    for to in [
        &["bob@example.com"][..],
        &["x@remote.example", "y@remote.example", "x@lmtp.example"],
        &["list@example.com", "command@example.com", "unix@example.com"],
        &["box@v.example", "x@pipe.example", "x@discard.example"],
    ] {
        let id = submit(mta, to);
        mta.wait_removed(&id);
        for line in mta.lines(&[&format!(" {id}: to=")]) {
            assert!(line.contains("dsn=2.0.0, status=sent"), "{line}");
        }
    }
    let run =
        mta.run_with("sendmail", &["-f", "s@example.org", "-F", "Sender", "bob"], "Subject: local\n\nbody\n");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(mta.wait_mbox("bob", 3).len(), 3);
    assert_eq!(mta.wait_mbox("alice", 2).len(), 2);
    let rcpts = |list: Vec<Received>| list.into_iter().map(|m| m.rcpts.len()).sum::<usize>();
    assert_eq!(rcpts(smtp.received()), 3);
    assert_eq!(rcpts(lmtp.received()), 1);
    for message in smtp.received().iter().chain(&lmtp.received()) {
        assert!(message.data.ends_with("\n\nbody\n.\n..\nTHE END\n"), "{}", message.data);
        assert!(
            normal_dsn(&message.data).contains("\n\tby mail.example.com (Postfix) with ESMTP id QID"),
            "{}",
            message.data
        );
    }
}

fn refused(mta: &Mta) {
    let text = talk(
        mta,
        &[
            "EHLO client.example.org",
            "MAIL FROM:<s@example.org>",
            "RCPT TO:<nosuch@example.com>",
            "RCPT TO:<nosuch@v.example>",
            "RCPT TO:<bad@remote.example>",
            "RCPT TO:<probe@remote.example>",
            "RSET",
            "ETRN nosuch.example",
            "QUIT",
        ],
    );
    for want in [
        "S: 550 5.1.1 <nosuch@example.com>: Recipient address rejected: User unknown in local recipient table",
        "S: 550 5.1.1 <nosuch@v.example>: Recipient address rejected: User unknown in virtual mailbox table",
        "S: 550 5.1.1 <bad@remote.example>: Recipient address rejected: undeliverable address: host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)",
        "C: RCPT TO:<probe@remote.example>\nS: 250 2.1.5 Ok",
        "S: 459 <nosuch.example>: service unavailable",
    ] {
        assert!(text.contains(want), "{want} is missing in:\n{text}");
    }
}

fn bounced(mta: &Mta) {
    let before = mta.wait_mbox("alice", 2).len();
    let id = inject(mta, &["unknown@error.example", "bad2@remote.example"]);
    mta.wait_removed(&id);
    let notice = mta.wait_mbox("alice", before + 1).pop().unwrap();
    for want in [
        "Subject: Undelivered Mail Returned to Sender",
        "<unknown@error.example>: not here",
        "Final-Recipient: rfc822; unknown@error.example",
        "Status: 5.7.1",
        "Remote-MTA: dns; 127.0.0.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Subject: chimera",
    ] {
        assert!(notice.contains(want), "{want} is missing in:\n{notice}");
    }
}

fn deferred_and_listed(mta: &Mta) {
    let id = inject(mta, &["x@later.example", "full@lmtp.example"]);
    until("deferral", || mta.queue("deferred").contains(&id).then_some(()));
    let listing = mta.run("mailq", &[]);
    assert_eq!(listing.code, 0, "{}", listing.err);
    for want in [
        id.as_str(),
        "alice@example.com",
        "x@later.example",
        "(wait)",
        "full@lmtp.example",
        "452 4.2.2 over quota",
        "in 1 Request.",
    ] {
        assert!(listing.out.contains(want), "{want} is missing in:\n{}", listing.out);
    }
    let attempts = || mta.lines(&[&format!(" {id}: to=<x@later.example>"), "status=deferred"]).len();
    for (n, args) in [["-f", ""], ["-s", "later.example"], ["-i", id.as_str()]].iter().enumerate() {
        let args: Vec<&str> = args.iter().copied().filter(|arg| !arg.is_empty()).collect();
        let run = mta.run("postqueue", &args);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{args:?}");
        until("another attempt", || (attempts() >= n + 2).then_some(()));
        until("deferral", || mta.queue("deferred").contains(&id).then_some(()));
    }
    let run = mta.run("postsuper", &["-d", &id]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(mta.run("mailq", &[]).out, "Mail queue is empty\n");
}

fn traced(mta: &Mta) {
    let before = mta.wait_mbox("alice", 1).len();
    let run = mta.run_with(
        "sendmail",
        &["-bv", "-f", "alice@example.com", "bob@example.com", "probe@remote.example"],
        "",
    );
    assert_eq!(run.code, 0, "{}", run.err);
    let report = mta.wait_mbox("alice", before + 1).pop().unwrap();
    for want in [
        "Subject: Mail Delivery Status Report",
        "Action: deliverable",
        "<bob@example.com>: delivery via local: delivers to mailbox",
    ] {
        assert!(report.contains(want), "{want} is missing in:\n{report}");
    }
}

/// The measure: what the mixed systems do, each system does alone.
#[test]
fn the_reference_alone() {
    life(Target::Theirs);
}

#[test]
fn ours_alone() {
    life(Target::Ours);
}
