//! The queue manager: transports that do not work, and destinations that fill the queue.

use harness::{Mta, World, golden, isolated, normal_log, until};
use std::os::unix::fs::PermissionsExt as _;

/// A delivery agent that does something wrong, as its Python statements; `listener` is the socket of the service.
const AGENTS: &[(&str, &str)] = &[
    ("crashing", "client, _ = listener.accept()"),
    (
        "garbling",
        "client, _ = listener.accept()\nclient.sendall(b'protocol\\0delivery_request_protocol\\0\\0')\nclient.recv(10000)",
    ),
    (
        "greeting",
        "client, _ = listener.accept()\nclient.sendall(b'protocol\\0other_protocol\\0\\0')\nclient.recv(10000)",
    ),
    (
        "answering",
        "client, _ = listener.accept()\nclient.sendall(b'protocol\\0delivery_request_protocol\\0\\0')\nclient.recv(10000)\nclient.sendall(b'nonsense\\0\\0')",
    ),
];

/// Puts an executable beside the daemons of the instance that is called `mail`.
fn daemon(world: &World, name: &str, text: &str) {
    let path = world.dir().join("mail/libexec").join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the queue manager and the retry service said, sorted.
fn said(mta: &Mta) -> String {
    let mut lines: Vec<String> =
        [mta.log_of("qmgr"), mta.log_of("error")].concat().lines().map(normal_log).collect();
    lines.retain(|line| !line.contains("from=<") && !line.contains("unexpected attribute"));
    lines.sort();
    lines.join("\n")
}

#[test]
fn mail_for_a_transport_that_does_not_work_is_deferred() {
    isolated(|world| {
        let mut text = String::new();
        for name in AGENTS.iter().map(|(name, _)| *name).chain(["missing"]) {
            let mut builder = world.mta_again("mail").main(&format!(
                "relayhost =\ndefault_transport = {name}\nqueue_run_delay = 1000s\ntransport_retry_time = 1000s"
            ));
            if let Some((_, statements)) = AGENTS.iter().find(|(agent, _)| *agent == name) {
                builder = builder.master(&format!("{name} unix - n n - - {name}"));
                let head = "#!/usr/bin/python3\nimport os, socket\nlistener = socket.socket(fileno=6)\n";
                daemon(world, name, &format!("{head}{statements}\nos._exit(0)\n"));
            }
            let mta = builder.start();
            let id = mta.send("s@x.example", &["1@x.example", "2@x.example"], "Subject: x\n\nx\n");
            until("the message to be deferred", || mta.queue("deferred").contains(&id).then_some(()));
            for to in ["3@y.example", "4@x.example"] {
                let id = mta.send("s@x.example", &[to], "Subject: x\n\nx\n");
                until("the message to be deferred", || mta.queue("deferred").contains(&id).then_some(()));
            }
            text.push_str(&format!("--- {name}\n{}\n", said(&mta)));
            mta.stop();
        }
        golden(&world.mta_again("mail").build(), "queue/dead", &text, &[]);
    });
}

#[test]
fn a_transport_that_works_again_is_used_again() {
    isolated(|world| {
        let discard = world.dir().join("mail/libexec/discard");
        let flag = world.dir().join("works");
        let script =
            format!("#!/bin/sh\n[ -e {} ] && exec {} \"$@\"\nexit 1\n", flag.display(), discard.display());
        let crash = "#!/usr/bin/python3\nimport os, socket, sys\nif os.path.exists(FLAG): os.execv(DISCARD, ['discard'] + sys.argv[1:])\nlistener = socket.socket(fileno=6)\nlistener.accept()\nos._exit(0)\n"
            .replace("FLAG", &format!("{:?}", flag.display().to_string()))
            .replace("DISCARD", &format!("{:?}", discard.display().to_string()));
        for (text, sign) in [
            (script.as_str(), "bad command startup -- throttling"),
            (&crash, "status=deferred (mail transport unavailable)"),
        ] {
            let mta = world
                .mta_again("mail")
                .main("relayhost =\ndefault_transport = flipping\ntransport_retry_time = 1s\nservice_throttle_time = 1s")
                .master("flipping unix - n n - - flipping")
                .build();
            daemon(world, "flipping", text);
            mta.start();
            let id = mta.send("s@x.example", &["1@x.example"], "Subject: x\n\nx\n");
            mta.wait(&[sign]);
            std::fs::write(&flag, "").unwrap();
            mta.wait(&[&format!(" {id}: to=<1@x.example>"), "status=sent (x.example)"]);
            mta.wait_removed(&id);
            std::fs::remove_file(&flag).unwrap();
            mta.stop();
        }
    });
}

#[test]
fn a_destination_that_fills_the_queue_is_told_of() {
    isolated(|world| {
        let mut text = String::new();
        world.script("slow", "cat > /dev/null; echo >> $0.started; while [ ! -e $0.go ]; do sleep 0.1; done");
        let started = world.dir().join("slow.started");
        for (title, settings, processes) in [
            ("at its limit", "slow_destination_concurrency_limit = 2", "-"),
            (
                "few processes",
                "slow_destination_concurrency_limit = 5\nslow_initial_destination_concurrency = 5",
                "2",
            ),
            ("turned off", "qmgr_clog_warn_time = 0", "-"),
        ] {
            let mta = world
                .mta_again("mail")
                .main(&format!("relayhost =\ndefault_transport = slow\nslow_destination_recipient_limit = 1\nqmgr_message_active_limit = 20\n{settings}"))
                .master(&format!("slow unix - n n - {processes} pipe user={} argv=$DIR/slow", world.user()))
                .start();
            std::fs::write(&started, "").unwrap();
            std::fs::set_permissions(&started, std::fs::Permissions::from_mode(0o666)).unwrap();
            let ids: Vec<String> = (0..6)
                .map(|n| {
                    // What is advised depends on whether deliveries have begun.
                    if n == 2 {
                        until("two deliveries", || {
                            (std::fs::read(&started).is_ok_and(|lines| lines.len() == 2)).then_some(())
                        });
                    }
                    mta.send("s@x.example", &["r@x.example"], "Subject: x\n\nx\n")
                })
                .collect();
            for id in &ids {
                mta.wait(&["/qmgr[", &format!(" {id}: from=<s@x.example>")]);
            }
            let go = world.dir().join("slow.go");
            std::fs::write(&go, "").unwrap();
            mta.wait_empty();
            std::fs::remove_file(go).unwrap();
            let lines: Vec<String> =
                mta.log_of("qmgr").lines().filter(|l| l.contains("warning")).map(normal_log).collect();
            text.push_str(&format!("--- {title}\n{}\n", lines.join("\n")));
            mta.stop();
        }
        golden(&world.mta_again("mail").build(), "queue/clog", &text, &[]);
    });
}
