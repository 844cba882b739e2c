//! Nothing acknowledged is lost: exchange of spools, crashes under load, garbage everywhere.

use crate::garbage::put;
use harness::{Mta, Random, Received, Sink, Target, isolated, needs_reference, until};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often each (subject, recipient) arrived; panics on a message that is not whole.
fn arrivals(received: &[Received]) -> HashMap<(String, String), usize> {
    let mut count = HashMap::new();
    for message in received {
        let subject =
            message.data.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or("").to_owned();
        assert!(message.data.ends_with("\nTHE END\n"), "half a message was sent: {:?}", message.data);
        for rcpt in &message.rcpts {
            let address = rcpt.split(['<', '>']).nth(1).unwrap_or("").to_owned();
            *count.entry((subject.clone(), address)).or_insert(0) += 1;
        }
    }
    count
}

fn body(subject: &str) -> String {
    format!("Subject: {subject}\n\n{}THE END\n", "some line of text\n".repeat(subject.len() * 3))
}

/// Queues `count` messages with one instance and lets another deliver them from the same spool.
fn exchange(first: Target, second: Target, count: usize) {
    isolated(move |world| {
        let sink = Sink::smtp().start();
        let main = format!("relayhost = {}\nrecipient_delimiter = +", sink.nexthop());
        let queueing = world.mta("first").target(first).main(&main).main("defer_transports = smtp").start();
        let mut want = Vec::new();
        let mut client = queueing.ehlo();
        for n in 0..count {
            let subject = format!("message {n}");
            let rcpts: Vec<String> =
                (0..1 + n % 3).map(|k| format!("r{k}+{n}@x{}.example", k + n % 7)).collect();
            if n % 50 == 17 {
                let args: Vec<&str> = ["-f", "s@example.org", "-i", "-N", "failure"]
                    .into_iter()
                    .chain(rcpts.iter().map(String::as_str))
                    .collect();
                assert_eq!(queueing.run_with("sendmail", &args, &body(&subject)).code, 0);
            } else {
                let list: Vec<&str> = rcpts.iter().map(String::as_str).collect();
                let reply = client.transaction("s@example.org", &list, &body(&subject));
                assert!(reply.starts_with("250 "), "{reply}");
            }
            want.extend(rcpts.into_iter().map(|rcpt| (subject.clone(), rcpt)));
        }
        drop(client);
        until("all messages to be picked up", || queueing.queue("maildrop").is_empty().then_some(()));
        queueing.stop();
        let mut files: Vec<String> = ["maildrop", "incoming", "active", "deferred", "hold"]
            .iter()
            .flat_map(|queue| queueing.queue(queue).into_iter().map(move |id| format!("{queue}/{id}")))
            .collect();
        files.sort();
        assert_eq!(files.len(), count, "{files:?}");
        let delivering = world.mta("second").target(second).spool_of(&queueing).main(&main).start();
        delivering.wait_empty();
        let got = arrivals(&sink.received());
        for key in &want {
            assert_eq!(got.get(key), Some(&1), "{key:?}");
        }
        assert_eq!(got.len(), want.len());
        assert_eq!(delivering.queued(), 0);
        for log in ["defer", "bounce", "trace", "corrupt"] {
            assert!(delivering.queue(log).is_empty(), "{log}: {:?}", delivering.queue(log));
        }
    });
}

const MANY: usize = 1000;

#[test]
fn messages_queued_by_the_reference_are_delivered_by_the_target() {
    if !needs_reference("to queue messages") {
        exchange(Target::Theirs, Target::current(), MANY);
    }
}

#[test]
fn messages_queued_by_the_target_are_delivered_by_the_reference() {
    if !needs_reference("to deliver messages") && Target::current() != Target::Theirs {
        exchange(Target::current(), Target::Theirs, MANY);
    }
}

/// What a crash test may do to the running system.
#[derive(Clone, Copy)]
enum Blow {
    Daemon(&'static str),
    All,
}

/// Kills things at random instants while clients submit; afterwards everything acknowledged must have arrived.
fn crash(seed: u64, blows: usize) {
    isolated(move |world| {
        let sink = Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}\nservice_throttle_time = 1s\nipc_timeout = 10s", sink.nexthop()))
            .start();
        let acknowledged = Mutex::new(Vec::new());
        let (stop, held) = (AtomicBool::new(false), Mutex::new(()));
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (mta, acknowledged, stop) = (&mta, &acknowledged, &stop);
                scope.spawn(move || submit_until(mta, writer, stop, acknowledged));
            }
            let mut random = Random(seed);
            let targets = [
                "smtpd",
                "cleanup",
                "qmgr",
                "smtp",
                "trivial-rewrite",
                "bounce",
                "pickup",
                "anvil",
                "postlogd",
            ];
            for _ in 0..blows {
                std::thread::sleep(std::time::Duration::from_millis(50 + random.number() % 150));
                let blow = if random.below(4) == 0 {
                    Blow::All
                } else {
                    Blow::Daemon(targets[random.below(targets.len())])
                };
                strike(&mta, blow, &held);
            }
            stop.store(true, Ordering::Relaxed);
        });
        mta.kill_all();
        mta.start();
        mta.wait_empty();
        let got = arrivals(&sink.received());
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(!acknowledged.is_empty(), "no message was acknowledged at all");
        for key in &acknowledged {
            assert!(
                got.contains_key(key),
                "lost: {key:?} of {} acknowledged, {} arrived",
                acknowledged.len(),
                got.len()
            );
        }
        let twice = got.values().filter(|count| **count > 1).count();
        assert!(twice <= blows * 25, "{twice} duplicates after {blows} blows");
        assert!(mta.queue("corrupt").is_empty(), "{:?}", mta.queue("corrupt"));
    });
}

fn strike(mta: &Mta, blow: Blow, held: &Mutex<()>) {
    let _held = held.lock().unwrap();
    match blow {
        Blow::Daemon(name) => {
            mta.kill(name);
        }
        Blow::All => {
            mta.kill_all();
            mta.start();
        }
    }
}

/// Submits until told to stop; a session that dies is begun anew. Records what was acknowledged.
fn submit_until(mta: &Mta, writer: usize, stop: &AtomicBool, acknowledged: &Mutex<Vec<(String, String)>>) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = std::net::TcpStream::connect(mta.address()) else {
            std::thread::sleep(std::time::Duration::from_millis(5));
            continue;
        };
        drop(stream);
        let Some(mut client) = harness::Client::try_connect(mta.address(), std::time::Duration::from_secs(5))
        else {
            continue;
        };
        if !client.banner().starts_with("220") || !client.cmd("EHLO c").starts_with("250") {
            continue;
        }
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            let subject = format!("writer {writer} message {n}");
            let rcpt = format!("w{writer}n{n}@x.example");
            let steps =
                ["MAIL FROM:<s@example.org>".to_owned(), format!("RCPT TO:<{rcpt}>"), "DATA".to_owned()];
            if !steps.iter().all(|step| matches!(client.cmd(step).bytes().next(), Some(b'2' | b'3'))) {
                break;
            }
            if !client.content(&body(&subject)).starts_with("250 2.0.0 Ok: queued") {
                break;
            }
            acknowledged.lock().unwrap().push((subject, rcpt));
        }
    }
}

/// The process IDs of a daemon in the order of its log lines, each once for each run of lines.
fn processes(log: &str, daemon: &str) -> Vec<String> {
    let prefix = format!(" postfix/{daemon}[");
    let mut found: Vec<String> = log
        .lines()
        .filter_map(|line| Some(line.split_once(&prefix)?.1.split_once(']')?.0.to_owned()))
        .collect();
    found.dedup();
    found
}

#[test]
fn reloads_lose_nothing_and_a_queue_has_one_manager_at_a_time() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = world.mta("mail").main(&format!("relayhost = {}", sink.nexthop())).start();
        let acknowledged = Mutex::new(Vec::new());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (mta, acknowledged, stop) = (&mta, &acknowledged, &stop);
                scope.spawn(move || submit_until(mta, writer, stop, acknowledged));
            }
            for reload in 1..=8 {
                until("more mail", || (acknowledged.lock().unwrap().len() >= reload * 30).then_some(()));
                mta.reload();
            }
            stop.store(true, Ordering::Relaxed);
        });
        // A message that an agent of the former queue manager still has is looked at again only after a minute.
        until("all messages to arrive", || {
            let got = arrivals(&sink.received());
            acknowledged.lock().unwrap().iter().all(|key| got.contains_key(key)).then_some(())
        });
        let managers = processes(&mta.log(), "qmgr");
        let distinct: std::collections::HashSet<_> = managers.iter().collect();
        assert_eq!(managers.len(), distinct.len(), "two queue managers at a time: {managers:?}");
        assert!(managers.len() > 2, "no reload reached the queue manager: {managers:?}");
    });
}

#[test]
fn nothing_acknowledged_is_lost_in_crashes() {
    crash(0x9E37_79B9_7F4A_7C15, 15);
}

#[test]
fn nothing_acknowledged_is_lost_in_other_crashes() {
    crash(0xD1B5_4A32_D192_ED03, 15);
}

#[test]
fn a_truncated_queue_file_is_never_sent() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let main = format!("relayhost = {}", sink.nexthop());
        let mta = world.mta("mail").main(&main).main("defer_transports = smtp").start();
        let id = mta.send("s@example.org", &["r@x.example"], &body("whole"));
        until("deferral", || mta.queue("deferred").contains(&id).then_some(()));
        let whole = std::fs::read(mta.queue_file(&id).unwrap()).unwrap();
        let owner = std::fs::metadata(mta.spool().join("incoming")).unwrap();
        mta.stop();
        std::fs::remove_file(mta.queue_file(&id).unwrap()).unwrap();
        let step = whole.len() / 40;
        let cuts: Vec<usize> = (1..40).map(|n| n * step).collect();
        for (n, cut) in cuts.iter().enumerate() {
            put(&mta.spool().join("incoming").join(format!("ABCDE{n:05}")), &whole[..*cut], &owner, 0o700);
        }
        let second = world.mta("second").spool_of(&mta).main(&main).start();
        until("the cut files to be dealt with", || {
            (second.queue("incoming").is_empty() && second.queue("active").is_empty()).then_some(())
        });
        assert!(sink.received().is_empty(), "{:?}", sink.received());
        still_sends(&second, &sink);
    });
}

fn still_sends(mta: &Mta, sink: &Sink) {
    let id = mta.send("s@example.org", &["r@x.example"], &body("after"));
    mta.wait_removed(&id);
    assert_eq!(arrivals(&sink.received()).len(), 1);
}
