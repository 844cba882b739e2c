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

#[test]
fn what_is_known_of_addresses_survives_a_restart() {
    isolated(|world| {
        let sink = Sink::smtp()
            .on("RCPT TO:<bad", "550 5.1.1 no such user")
            .on("RCPT TO:<later", "451 4.2.0 not now")
            .start();
        for kind in ["btree", "hash"] {
            let mta = world
                .mta(kind)
                .main(&format!(
                    "relayhost = {}\naddress_verify_map = {kind}:$data_directory/verify_cache",
                    sink.nexthop()
                ))
                .start();
            let mut text = String::new();
            for address in [
                "good@x.example",
                "bad@x.example",
                "later@x.example",
                "Mixed@X.example",
                "a:b@x.example",
                "nosuch@example.com",
                "bob@example.com",
            ] {
                show(&mut text, &mta, address);
                until("a result", || (query(&mta, address).0 != "3").then_some(()));
                show(&mut text, &mta, address);
            }
            let mut client = Attributes::connect(&mta.spool().join("private/verify"));
            for (address, status, reason) in [
                ("good@x.example", "2", "250 never mind"),
                ("good@x.example", "1", "450 never mind"),
                ("good@x.example", "0", "250 better"),
                ("new@x.example", "1", "a:b:c"),
                ("empty@x.example", "0", ""),
                ("todo@x.example", "3", "x"),
                ("odd@x.example", "7", "x"),
                ("minus@x.example", "-1", "x"),
            ] {
                let reply = client.ask(&[
                    ("request", "update"),
                    ("address", address),
                    ("recipient_status", status),
                    ("reason", reason),
                ]);
                let _ = writeln!(text, "update {address} {status} => {reply:?}");
                show(&mut text, &mta, address);
            }
            let reply = client.ask(&[("request", "other"), ("address", "x")]);
            let _ = writeln!(text, "other => {reply:?}");
            mta.wait_empty();
            mta.stop();
            until("the last record", || records(&mta, kind).contains("minus@x.example\t0").then_some(()));
            let _ = writeln!(text, "--- table\n{}\n---", records(&mta, kind));
            mta.start();
            for address in [
                "good@x.example",
                "bad@x.example",
                "later@x.example",
                "mixed@x.example",
                "a_b@x.example",
                "new@x.example",
            ] {
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
