//! Address verification: the cache in a table, and what survives a restart.

use harness::{Attributes, Mta, Sink, golden, isolated, until};
use std::fmt::Write as _;

/// Lines of the log about the verification service that depend on the Berkeley DB library of the reference.
const LIBRARY: &str = "possible Berkeley DB bug";

fn query(mta: &Mta, address: &str) -> (String, String) {
    let mut client = Attributes::connect(&mta.spool().join("private/verify"));
    let reply = client.ask(&[("request", "query"), ("address", address)]);
    let value = |index: usize| reply.get(index).map(|(_, value)| value.clone()).unwrap_or_default();
    assert_eq!(value(0), "0", "{reply:?}");
    (value(1), value(2))
}

fn show(text: &mut String, mta: &Mta, address: &str) {
    let (status, reason) = query(mta, address);
    let _ = writeln!(text, "{address} => {status} {reason}");
}

/// The records of the cache, with times as letters.
fn records(mta: &Mta, kind: &str) -> String {
    let table = format!("{kind}:{}", mta.data().join("verify_cache").display());
    let run = mta.run("postmap", &["-s", &table]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let mut lines: Vec<String> = run.out.lines().map(without_times).collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn without_times(line: &str) -> String {
    let time = |word: &str| {
        if word.len() >= 10 && word.bytes().all(|b| b.is_ascii_digit()) {
            "T".into()
        } else {
            word.to_owned()
        }
    };
    let (key, value) = line.split_once('\t').unwrap_or((line, ""));
    let value: Vec<String> = value.split(':').map(time).collect();
    format!("{key}\t{}", value.join(":"))
}

/// Addresses that are probed.
const ADDRESSES: &[&str] = &[
    "good@x.example",
    "bad@x.example",
    "later@x.example",
    "Mixed@X.example",
    "a:b@x.example",
    "nosuch@example.com",
    "list@example.com",
    "one@example.com",
    "run@example.com",
];

/// Results that are told to the service: address, status, reason.
const UPDATES: &[(&str, &str, &str)] = &[
    ("good@x.example", "2", "250 never mind"),
    ("good@x.example", "1", "450 never mind"),
    ("good@x.example", "0", "250 better"),
    ("new@x.example", "1", "a:b:c"),
    ("empty@x.example", "0", ""),
    ("todo@x.example", "3", "x"),
    ("odd@x.example", "7", "x"),
    ("minus@x.example", "-1", "x"),
];

/// Asks about all addresses, before and after the result, and tells results.
fn probe_and_update(mta: &Mta) -> String {
    let mut text = String::new();
    for address in ADDRESSES {
        show(&mut text, mta, address);
        until("a result", || (query(mta, address).0 != "3").then_some(()));
        show(&mut text, mta, address);
    }
    let mut client = Attributes::connect(&mta.spool().join("private/verify"));
    for (address, status, reason) in UPDATES {
        let reply = client.ask(&[
            ("request", "update"),
            ("address", address),
            ("recipient_status", status),
            ("reason", reason),
        ]);
        let _ = writeln!(text, "update {address} {status} => {reply:?}");
        show(&mut text, mta, address);
    }
    for (address, _, _) in UPDATES {
        until("the result of a probe", || (query(mta, address).0 != "3").then_some(()));
    }
    let reply = client.ask(&[("request", "other"), ("address", "x")]);
    let _ = writeln!(text, "other => {reply:?}");
    text
}

#[test]
fn what_is_known_of_addresses_survives_a_restart() {
    isolated(|world| {
        let sink = Sink::smtp()
            .on("RCPT TO:<bad", "550 5.1.1 no such user")
            .on("RCPT TO:<later", "451 4.2.0 not now")
            .start();
        for (kind, chroot) in [("btree", "n"), ("hash", "y")] {
            let mta = world
                .mta(kind)
                .master(&format!("verify unix - - {} - 1 verify", if world.root() { chroot } else { "n" }))
                .main(&format!(
                    "relayhost = {}\naddress_verify_map = {kind}:$data_directory/verify_cache",
                    sink.nexthop()
                ))
                .aliases("list: alias1@x.example, alias2@x.example\none: alias1@x.example\nrun: |true")
                .start();
            let mut text = probe_and_update(&mta);
            // Unknown to the service, they have been probed; the end of the system would end that too.
            for address in ["todo@x.example", "odd@x.example", "minus@x.example"] {
                until("the result of the probe", || (query(&mta, address).0 == "0").then_some(()));
            }
            mta.wait_empty();
            mta.wait(&["unrecognized request"]); // the log does not outlive the system
            mta.stop();
            until("the last record", || records(&mta, kind).contains("minus@x.example\t0").then_some(()));
            let _ = writeln!(text, "--- table\n{}\n---", records(&mta, kind));
            mta.start();
            for address in
                ["good@x.example", "bad@x.example", "mixed@x.example", "a_b@x.example", "new@x.example"]
            {
                show(&mut text, &mta, address);
            }
            until("a running service", || (mta.kill("verify") == 1).then_some(()));
            mta.wait(&["/verify pid ", " killed by signal 9"]);
            show(&mut text, &mta, "new@x.example");
            let log = mta.log_of("verify");
            for line in log.lines().filter(|line| !line.contains(LIBRARY)) {
                let _ = writeln!(text, "{line}");
            }
            golden(&mta, &format!("verify/{kind}"), &harness::normal(&text), &[]);
        }
    });
}

#[test]
fn users_are_probed_without_their_mailboxes() {
    isolated(|world| {
        if harness::needs_root("users with homes") {
            return;
        }
        world.file_of("carol", &world.home("carol").join(".forward"), "alice, good@x.example\n");
        let mta = world.mta("mail").main("address_verify_map =\nhome_mailbox = Maildir/").start();
        let mut text = String::new();
        for address in
            ["bob@example.com", "carol@example.com", "alice+x@example.com", "postmaster@example.com"]
        {
            query(&mta, address);
            until("a result", || (query(&mta, address).0 != "3").then_some(()));
            show(&mut text, &mta, address);
        }
        assert!(!world.home("bob").join("Maildir").exists());
        golden(&mta, "verify/users", &harness::normal(&text), &[]);
    });
}

/// Asks for a report about one recipient, and gives what is new in it and in the mail that came with it.
fn report(mta: &Mta, user: &str, option: &str, to: &str, before: &str) -> String {
    let told = || mta.lines(&["sender delivery status notification: "]).len();
    let count = told();
    let run = mta.run_with(
        "sendmail",
        &[option, "-f", &format!("{user}@example.com"), to],
        "Subject: told\n\nbody\n",
    );
    assert_eq!(run.code, 0, "{}", run.err);
    until("the report", || (told() > count).then_some(()));
    mta.wait_mbox(user, 1);
    until("the mail to be away", || {
        ["maildrop", "incoming", "active"].iter().all(|queue| mta.queue(queue).is_empty()).then_some(())
    });
    let mut list = harness::mbox(&mta.mailbox(user));
    list.sort();
    std::fs::remove_file(mta.mailbox(user)).unwrap();
    let whole = list.iter().map(|m| harness::normal_dsn(m)).collect::<Vec<_>>().join("---\n");
    let mut text = format!("=== {option} {to}: {}{}\n", run.out.trim_end(), run.err.trim_end());
    for line in whole.lines() {
        // Of the texts that are the same each time, the first report tells.
        if !before.contains(&format!("\n{line}\n")) || line.contains(": ") && !line.starts_with("Content-") {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

#[test]
fn reports_about_deliveries_tell_what_became_of_each_recipient() {
    isolated(|world| {
        let user = world.user();
        let sink = Sink::smtp()
            .on("RCPT TO:<bad", "550 5.1.1 no such user")
            .on("RCPT TO:<later", "451-4.2.0 not now\n451 4.2.0 but later")
            .start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\nqueue_run_delay = 1000s\ntransport_maps = inline:{{{{gone.example=error:5.4.4 gone}},{{hold.example=retry:4.4.4 wait}},{{none.example=discard:}}}}", sink.nexthop()))
            .aliases("list: alias1@x.example, alias2@x.example\none: alias1@x.example\nrun: |true\nloop: loop2\nloop2: loop")
            .start();
        let mut text = String::new();
        for option in ["-bv", "-v"] {
            for to in [
                "good@x.example",
                "bad@x.example",
                "later@x.example",
                "nosuch@example.com",
                "x@gone.example",
                "x@hold.example",
                "x@none.example",
                "list@example.com",
                "one@example.com",
                "run@example.com",
                "loop@example.com",
            ] {
                text.push_str(&report(&mta, &user, option, to, &text));
            }
        }
        golden(&mta, "verify/reports", &world.as_root(&text.replace(&user, "alice")), &[]);
    });
}

/// A number as a stamp: base 31, of digits and consonants.
fn stamp(mut number: u64) -> String {
    let digits: Vec<char> = "0123456789BCDFGHJKLMNPQRSTVWXYZ".chars().collect();
    let mut text = String::new();
    while number > 0 {
        text.insert(0, digits[usize::try_from(number % 31).unwrap()]);
        number /= 31;
    }
    text
}

#[test]
fn the_sender_of_probes_changes_with_time() {
    const DAYS: u64 = 300;
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\naddress_verify_map =\naddress_verify_sender_ttl = {DAYS}d\nsmtpd_reject_unlisted_sender = yes", sink.nexthop()))
            .start();
        query(&mta, "u@x.example");
        let probe = until("the probe", || {
            sink.sessions().into_iter().flatten().find(|line| line.starts_with("MAIL FROM:<"))
        });
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / (DAYS * 86400);
        let at = |number: u64| format!("double-bounce{}", stamp(number));
        let mut text = format!("{}\n", probe.split('>').next().unwrap().replace(&at(now), "NOW"));
        for (name, local, domain) in [
            ("PLAIN", "double-bounce".to_owned(), "example.com"),
            ("NOW", at(now), "example.com"),
            ("BEFORE", at(now - 1), "example.com"),
            ("AFTER", at(now + 1), "example.com"),
            ("OLD", at(now - 2), "example.com"),
            ("UPPER", format!("DOUBLE-BOUNCE{}", stamp(now)), "example.com"),
            ("LOWER", at(now).to_lowercase() + "x", "example.com"),
            ("ELSEWHERE", at(now), "localhost"),
        ] {
            let address = format!("{local}@{domain}");
            let (mail, rcpt) = (format!("MAIL FROM:<{address}>"), format!("RCPT TO:<{address}>"));
            let said = harness::talk(
                &mta,
                &["HELO c", &mail, "RCPT TO:<postmaster>", "RSET", "MAIL FROM:<a@y.example>", &rcpt, "QUIT"],
            );
            text.push_str(&said.replace(&local, name));
        }
        let id = mta.send("", &[&format!("{}@example.com", at(now))], "Subject: x\n\nx\n");
        let line = mta.wait(&[&format!(" {id}: to=")]);
        text.push_str(&harness::normal_log(&line).replace(&at(now), "NOW"));
        golden(&mta, "verify/stamps", &text, &[]);
    });
}

#[test]
fn a_probe_is_a_message_of_headers() {
    isolated(|world| {
        // A queue manager that takes nothing out of the queue.
        let mta = world.mta("mail").main("address_verify_map =").master("qmgr unix n - n 300 1 idle").build();
        let idle = world.dir().join("mail/libexec/idle");
        std::fs::write(&idle, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&idle, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        mta.start();
        query(&mta, "u@x.example");
        let shown = until("the probe", || {
            let id = mta.queue("incoming").pop()?;
            let run = mta.run("postcat", &["-bh", mta.queue_file(&id)?.to_str()?]);
            (run.code == 0 && run.out.contains("From: ")).then_some(run.out)
        });
        golden(&mta, "verify/probe", &harness::normal(&shown), &[]);
    });
}
