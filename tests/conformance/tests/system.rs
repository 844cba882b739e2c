//! The master, the `postfix` command, and the log as a whole.

use harness::{Change, Sink, golden, isolated, needs_program, needs_root, normal, normal_log, until};
use std::fmt::Write as _;

#[test]
fn the_postfix_command_starts_and_stops() {
    isolated(|world| {
        let mta = world.mta("mail").build();
        let mut text = String::new();
        for words in [
            &["status"][..],
            &["stop"],
            &["start"],
            &["status"],
            &["start"],
            &["flush"],
            &["reload"],
            &["nosuch"],
            &[],
            &["abort"],
            &["status"],
        ] {
            let run = mta.run("postfix", words);
            if words == ["abort"] || words == ["start"] || words == ["reload"] {
                until("the master to follow", || {
                    (mta.master_pid().is_some() != (words == ["abort"])).then_some(())
                });
            }
            // What they say depends on whether they write to a terminal; what counts for scripts is the status.
            let _ = writeln!(text, "$ postfix {}\n= {}", words.join(" "), run.code);
        }
        golden(&mta, "system/postfix", &normal(&text), &[]);
    });
}

#[test]
fn the_master_logs_its_life() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        mta.reload();
        let second = mta.run("postlog", &["between"]);
        assert_eq!(second.code, 0);
        mta.wait(&["between"]);
        mta.stop();
        let lines: String =
            mta.lines(&["postfix/master["]).iter().map(|line| normal_log(line) + "\n").collect();
        let lines = lines.replace(mta_version(&mta), "VERSION");
        let reload = "postfix/master: reload -- version VERSION, configuration DIR/mail/etc\n";
        let terminating = [reload, "postfix/master: terminating on signal 15\n"].concat();
        // The reference loses its last line with maillog_file: docs/differences.md.
        let change = Change { program: "master", old: reload, new: terminating.leak() };
        golden(&mta, "system/master", &lines, &[change]);
    });
}

fn mta_version(mta: &harness::Mta) -> &'static str {
    if mta.target().base_is_ours() { "3.11.6" } else { "3.7.11" }
}

#[test]
fn a_second_master_is_refused() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        let config = mta.config().display().to_string();
        let master = mta.config().with_file_name("libexec").join("master");
        let output =
            std::process::Command::new(master).args(["-c", &config, "-d"]).env_clear().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        golden(&mta, "system/second_master", &normal(&String::from_utf8_lossy(&output.stderr)), &[]);
        mta.send("a@example.org", &["postmaster@example.com"], "still there\n");
    });
}

#[test]
fn a_process_limit_makes_the_next_client_wait() {
    isolated(|world| {
        let mta = world.mta("mail");
        let port = harness::free_port();
        let mta = mta.master(&format!("127.0.0.1:{port} inet n - n - 2 smtpd")).start();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut clients: Vec<harness::Client> = (0..2).map(|_| harness::Client::connect(to)).collect();
        for client in &mut clients {
            assert!(client.banner().starts_with("220 "));
        }
        let mut third = harness::Client::connect(to);
        mta.wait_count(&["connect from localhost"], 2);
        assert_eq!(clients[0].cmd("NOOP"), "250 2.0.0 Ok");
        assert_eq!(mta.lines(&["]: connect from localhost"]).len(), 2, "the third client was served at once");
        assert_eq!(clients[0].cmd("QUIT"), "221 2.0.0 Bye");
        assert!(third.banner().starts_with("220 "));
    });
}

#[test]
fn a_service_at_its_process_limit_is_under_stress() {
    isolated(|world| {
        let port = harness::free_port();
        let mta = world
            .mta("mail")
            .main("inet_interfaces = all\nsmtpd_banner = $myhostname ${stress?{busy}:{calm}}")
            .master(&format!("{port} inet n - n - 4 smtpd"))
            .start();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut first = harness::Client::connect(to);
        assert_eq!(first.banner(), "220 mail.example.com calm");
        let mut others: Vec<harness::Client> = (0..3).map(|_| harness::Client::connect(to)).collect();
        for other in &mut others {
            other.banner();
        }
        let mut lines = mta.wait_count(&["postfix/master", "warning: "], 3);
        lines = lines.iter().map(|line| normal_log(line).replace(&port.to_string(), "PORT")).collect();
        let site = Change { program: "master", old: "http://", new: "https://" };
        golden(&mta, "system/stress", &lines.join("\n"), &[site]);
        assert_eq!(first.cmd("QUIT"), "221 2.0.0 Bye");
        assert_eq!(harness::Client::connect(to).banner(), "220 mail.example.com busy");
        mta.send("a@example.org", &["postmaster@example.com"], "others have no stress\n");
    });
}

#[test]
fn a_service_that_fails_is_throttled_and_tried_again() {
    isolated(|world| {
        world.script("broken", "exit 3");
        let port = harness::free_port();
        let mta = world
            .mta("mail")
            .main("service_throttle_time = 1s")
            .master(&format!("127.0.0.1:{port} inet n - n - - ../../broken"))
            .start();
        let _client = harness::Client::connect(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        mta.wait_count(&["throttling"], 2);
        let mut lines: Vec<String> = mta
            .lines(&["postfix/master", "warning: "])
            .iter()
            .map(|line| normal_log(line).replace("//", "/"))
            .collect();
        lines.truncate(2);
        golden(&mta, "system/throttle", &lines.join("\n"), &[]);
        mta.send("a@example.org", &["postmaster@example.com"], "others are served\n");
    });
}

#[test]
fn master_cf_errors_are_fatal_with_their_line() {
    isolated(|world| {
        let mta = world.mta("mail").build();
        let master_cf = std::fs::read_to_string(mta.config().join("master.cf")).unwrap();
        let mut text = String::new();
        for line in [
            "short unix",
            "x udp n - n - - smtpd",
            "x inet y - n - - smtpd",
            "x unix n - q - - smtpd",
            "x unix n - n - many smtpd",
            "- unix n - n - - smtpd",
            "x unix n - n bad - smtpd",
            "127.0.0.1: inet n - n - - smtpd",
            "x unix n - n - - smtpd {a b",
        ] {
            std::fs::write(mta.config().join("master.cf"), format!("{master_cf}{line}\n")).unwrap();
            let config = mta.config().display().to_string();
            let master = mta.config().with_file_name("libexec").join("master");
            let output = std::process::Command::new(master)
                .args(["-c", &config, "-d", "-e", "1"])
                .env_clear()
                .output()
                .unwrap();
            let said = normal(&String::from_utf8_lossy(&output.stderr));
            let _ = writeln!(text, "{line}\n{said}= {}", output.status.code().unwrap_or(-1));
        }
        golden(&mta, "system/master_cf", &text, &[]);
    });
}

#[test]
fn every_daemon_logs_what_log_readers_expect() {
    isolated(|world| {
        let user = world.user();
        let sink = Sink::smtp().on("RCPT TO:<bad", "550 5.1.1 no").start();
        let mta = world.mta("mail").main(&format!("relayhost = {}\nlocal_recipient_maps =\nsmtpd_reject_unlisted_recipient = no\nlocal_header_rewrite_clients =\ntransport_maps = inline:{{{{later.example=retry:4.2.2 wait}}}}", sink.nexthop())).start();
        let mut text = String::new();
        for to in [
            &[format!("{user}@example.com")][..],
            &["x@remote.example".to_owned(), "y@remote.example".to_owned()],
            &["bad@remote.example".to_owned()],
            &["nosuch@example.com".to_owned()],
        ] {
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            let id = mta.send("", &to, "Message-Id: <fixed@x>\nSubject: x\n\nbody\n");
            mta.wait_removed(&id);
            mta.log_of("qmgr");
            let mut lines: Vec<String> =
                mta.lines(&[&format!(" {id}: ")]).iter().map(|line| normal_log(line)).collect();
            lines.sort();
            let _ = write!(text, "{}\n\n", lines.join("\n"));
        }
        golden(&mta, "system/log", &text.replace(&user, "alice"), &[]);
    });
}

#[test]
fn pflogsumm_counts_the_same() {
    let Some(pflogsumm) = needs_program(&["pflogsumm"]) else { return };
    isolated(move |world| {
        let user = world.user();
        let sink = Sink::smtp().on("RCPT TO:<bad", "550 5.1.1 no").start();
        let mta = world
            .mta("mail")
            // pflogsumm 1.1.5 does not know the tls= field of 3.11: docs/undocumented-behavior.md.
            .main("smtp_log_tls_feature_status = no")
            .main(&format!("relayhost = {}\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_recipient_restrictions = reject_non_fqdn_recipient\ntransport_maps = inline:{{{{later.example=retry:4.2.2 wait}}}}\nsmtpd_reject_unlisted_recipient = no\nlocal_recipient_maps =\nqueue_run_delay = 1000s", sink.nexthop()))
            .start();
        for n in 0..20 {
            let to = [format!("r{n}@remote.example"), format!("{user}@example.com")];
            mta.send(&format!("s{}@example.org", n % 3), &[&to[0], &to[1]], "Subject: x\n\nbody\n");
        }
        mta.send("s@example.org", &["bad@remote.example"], "x\n");
        mta.send("s@example.org", &["x@later.example"], "x\n");
        mta.send("s@example.org", &["nosuch@example.com"], "x\n");
        let reply =
            harness::talk(&mta, &["EHLO c", "MAIL FROM:<a@example.org>", "RCPT TO:<x@short>", "QUIT"]);
        assert!(reply.contains("S: 504 "), "{reply}");
        until("deferral", || {
            (mta.queue("deferred").len() == 1
                && mta.queue("active").is_empty()
                && mta.queue("incoming").is_empty())
            .then_some(())
        });
        mta.log_of("qmgr");
        let output = std::process::Command::new(pflogsumm)
            .arg("--detail=5")
            .arg(mta.log_file())
            .output()
            .expect("run pflogsumm");
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut kept = String::new();
        for section in report.split("\n\n") {
            let head = section.trim_start().lines().next().unwrap_or("").to_owned();
            if ["Per-", "Postfix log", "Grand Totals"].iter().any(|skip| head.starts_with(skip))
                && !head.starts_with("Grand")
                || head.contains("size")
            {
                continue;
            }
            // sizes depend on the length of queue IDs, delays on the machine
            let lines = section.lines().filter(|line| !line.contains("bytes"));
            let summary = head.starts_with("Host/Domain");
            let mut lines: Vec<String> =
                lines.map(|line| if summary { ends(line) } else { format!("{line}\n") }).collect();
            if summary {
                lines.sort();
            }
            kept.push_str(&lines.concat());
            kept.push('\n');
        }
        golden(
            &mta,
            "system/pflogsumm",
            &normal(&kept).replace(&user, "alice").replace(mta_version(&mta), "VERSION"),
            &[],
        );
    });
}

/// The first and the last word of a line.
fn ends(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    format!("{} {}\n", words.first().unwrap_or(&""), words.last().unwrap_or(&""))
}

#[test]
fn services_are_disabled_by_a_match_list() {
    isolated(|world| {
        let mut text = String::new();
        for (number, list) in [
            "foo/unix",
            "foo.unix",
            "unix",
            "FOO/UNIX",
            "!foo/unix, unix",
            "unix, !foo/unix",
            "inline:{foo/unix=x}",
            "inline:{foo.unix=x}",
            "inline:{unix=x}",
            "inline:{foo=x}",
            "inline:{Bar/unix=x}",
            "inline:{bar/unix=x}",
            "!inline:{foo/unix=x} static:all",
            "$CONFIG/list",
            "!$CONFIG/list, unix",
            "foo",
            "foo/inet",
            "static:all",
            "regexp:{{/^(foo|bar).unix$$/ x}}",
            "hash:$CONFIG/nosuch foo/unix",
            "foo/unix hash:$CONFIG/nosuch",
            "/nosuch/file foo/unix",
            "nosuch:x",
            "!",
        ]
        .into_iter()
        .enumerate()
        {
            let mta = world.mta(&format!("mail{number}"));
            let mta = mta.master("foo unix - - n - - error\nBar unix - - n - - error").build();
            let config = mta.config().display().to_string();
            std::fs::write(mta.config().join("list"), "# bar\nfoo/unix\n").unwrap();
            let main = std::fs::read_to_string(mta.config().join("main.cf")).unwrap();
            let value = list.replace("$CONFIG", &config);
            let main = format!("{main}master_service_disable = {value}\n");
            harness::write_aged(&mta.config().join("main.cf"), &main);
            let run = mta.run("postfix", &["start"]);
            let there = |name: &str| mta.spool().join(name).exists();
            let names = ["private/foo", "private/Bar", "public/pickup", "public/postlog"];
            let found: Vec<&str> = names.into_iter().filter(|name| there(name)).collect();
            let log = mta.lines(&["postfix/master["]);
            let said = log.iter().filter(|line| !line.contains("daemon started"));
            let said: String = said.map(|line| normal_log(line).replace(&config, "CONFIG") + "\n").collect();
            let _ = writeln!(text, "{list}\n= {} {}\n{said}", run.code, found.join(" "));
            mta.kill_all();
        }
        golden(&mta_of(world), "system/disable", &normal(&text), &[]);
    });
}

fn mta_of(world: &harness::World) -> harness::Mta {
    world.mta("any").build()
}

/// Runs master itself; output and status, without names of this run.
fn master(mta: &harness::Mta, before: &[&str], arguments: &[&str]) -> String {
    let program = mta.config().with_file_name("libexec").join("master").display().to_string();
    let config = mta.config().display().to_string();
    let mut words: Vec<&str> = before.to_vec();
    words.push(&program);
    words.extend(arguments);
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]).env_clear().env("PATH", "/usr/bin:/bin").env("MAIL_CONFIG", &config);
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).replace(&program, "master");
    // Where reasons go when nobody sits at a terminal is each one's own business.
    let said: String =
        said.lines().filter(|line| !line.contains("fatal: ")).map(|line| format!("{line}\n")).collect();
    format!("$ master {}\n{said}= {:?}\n", arguments.join(" "), output.status.code())
}

#[test]
fn the_options_of_master() {
    if needs_root("master is reserved for the superuser") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").build();
        let mut text = String::new();
        for line in
            ["-x", "-t -w", "-w -t", "-i", "-i -d", "-i -w", "-i -D", "-e", "-t extra", "extra", "-t", "-tv"]
        {
            text += &master(&mta, &[], &line.split(' ').collect::<Vec<_>>());
        }
        text += &master(&mta, &[], &["-e", "2", "-d"]);
        text += &master(&mta, &[], &["-w", "-e", "600"]);
        text += &master(&mta, &[], &["-t"]);
        mta.kill_all();
        text += &master(&mta, &[], &["-t"]);
        // As process 1 of a container: ends well on a signal, and adopts what has lost its parent.
        let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
        text += &master(&mta, &unshare, &["-i", "-e", "2"]);
        let broken = mta.config().join("master.cf");
        let services = std::fs::read_to_string(&broken).unwrap();
        std::fs::write(&broken, format!("{services}bad\n")).unwrap();
        text += &master(&mta, &[], &["-w"]);
        text += &master(&mta, &[], &["-d"]);
        let lines = mta.lines(&["postfix/master["]);
        // Which of the last lines get lost depends on who ends first.
        let kept = lines.iter().filter(|line| !line.contains("fatal: "));
        let kept: std::collections::BTreeSet<String> = kept
            .map(|line| normal_log(line).replace(&mta.config().display().to_string(), "CONFIG"))
            .collect();
        for line in kept {
            text += &(line + "\n");
        }
        golden(&mta, "system/master_options", &normal(&text).replace(mta_version(&mta), "VERSION"), &[]);
    });
}

/// What postfix(1) wrote to the log since `before` lines, without names of this run.
fn script_log(mta: &harness::Mta, before: usize) -> String {
    let config = mta.config().display().to_string();
    let lines = mta.log();
    let lines = lines.lines().skip(before).map(|line| normal_log(line).replace(&config, "CONFIG"));
    let lines = lines.filter(|line| line.starts_with("postfix/postfix-script: ") && !is_of_the_harness(line));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn postfix_check_tells_what_is_wrong_with_owners_and_modes() {
    if needs_root("files of other users") {
        return;
    }
    isolated(|world| {
        let mut text = String::new();
        for (number, fault) in [
            "true",
            "chown 65534 etc/main.cf",
            "chmod 666 etc/master.cf",
            "mkdir -p etc/sub/deep; touch etc/sub/deep/file; chown 65534 etc/sub/deep/file; chmod 775 etc/sub",
            "ln -s /nosuch etc/link; chown -h 65534 etc/link",
            "touch etc/thing; chmod 602 etc/thing; chmod 777 etc",
            "chmod 777 spool/active",
            "chgrp 0 spool/maildrop",
            "chmod 777 spool/maildrop; chown 0 spool/public; chgrp 0 spool/public",
            "chown 65534 spool/pid; chmod 777 spool/pid",
            "touch spool/pid/x; chown 65534 spool/pid/x; chmod 666 spool/pid/x",
            "chmod 777 spool",
            "chown 65534 spool",
            "chmod 770 data",
            "touch data/x; chown 0 data/x; chmod 666 data/x",
            "chown 65534 data",
            "mkdir spool/lib; touch spool/lib/thing; chown 65534 spool/lib/thing; chmod 777 spool/lib",
            "mkdir spool/etc; echo other >spool/etc/hosts; cp /etc/services spool/etc; chmod 646 spool/etc/hosts",
            "mkdir spool/etc spool/usr; touch spool/etc/nosuch; chown 65534 spool/usr spool/etc/nosuch",
            "touch spool/corrupt/ABCDEF",
            "touch spool/private/x; chown 0 spool/private/x; chmod 666 spool/private/x",
            "touch spool/public/x; chown 0 spool/public/x",
            "touch spool/saved/x; chown 0 spool/saved/x; mkdir spool/other; chown 65534 spool/other",
            "chown 0 spool/private spool/saved spool/corrupt",
            "touch spool/x; chown 65534 spool/x; chmod 777 spool/x",
            "rmdir spool/hold",
            "rm -r spool/maildrop spool/public spool/pid data",
            "rm etc/master.cf",
            "rm etc/main.cf",
            "echo 'maillog_file = maillog' >>etc/main.cf",
            "sed -i /^postlog/d etc/master.cf",
        ]
        .into_iter()
        .enumerate()
        {
            let mta = world.mta(&format!("mail{number}")).build();
            let base = mta.config().with_file_name("");
            let shell = std::process::Command::new("sh").args(["-c", fault]).current_dir(&base).status();
            assert!(shell.unwrap().success(), "{fault}");
            let mut command = mta.command("postfix");
            let run = command.arg("check").env("MAIL_CONFIG", mta.config()).output();
            let code = run.map_or(-1, |run| run.status.code().unwrap_or(-1));
            let lines = script_log(&mta, 0).replace(&base.display().to_string(), "");
            let mut lines: Vec<&str> = lines.lines().filter(|line| !is_of_the_harness(line)).collect();
            lines.sort_unstable();
            let _ = writeln!(text, "{fault}\n= {code}\n{}", lines.join("\n"));
        }
        golden(&world.mta("any").build(), "system/check", &normal(&text), &[]);
    });
}

/// Programs are links in the tests, and not set-gid.
fn is_of_the_harness(line: &str) -> bool {
    line.contains("symlink leaves directory") || line.contains("sbin/post")
}

#[test]
fn upgrade_configuration_adds_what_newer_releases_need() {
    if needs_root("postfix(1) is reserved for the superuser") {
        return;
    }
    isolated(|world| {
        let mut text = String::new();
        for (number, services) in [
            "smtp inet n - n - - smtpd\npickup fifo n n n 60 1 pickup\ncleanup unix - - n - 0 cleanup\n\
             qmgr fifo - - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\nflush unix - - n - 0 flush\nsmtp unix - - n - - smtp\n\
             showq unix - - n - - showq\nerror unix - - n - - error\nlocal unix - n n - - local\n\
             verify unix - - n - 0 verify\nproxywrite unix - - n - - proxymap\n",
            "smtp inet n - n - - smtpd\nrelay unix - - n - - smtp\nflush unix n - n 1000? 0 flush\n\
             # comment\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
             #proxymap unix - - n - - proxymap\nretry unix - - n - - error\npostlog unix-dgram n - n - 1 postlogd\n",
            "smtp inet n - n - - smtpd\npickup fifo\tn  n n 60 1 pickup -v\n  -v\nverify unix - - n - - verify\n\
             proxywrite unix - - n - 2 proxymap\n",
        ]
        .into_iter()
        .enumerate()
        {
            let mta = world.mta(&format!("mail{number}")).build();
            let path = mta.config().join("master.cf");
            std::fs::write(&path, services).unwrap();
            let main = mta.config().join("main.cf");
            let settings = std::fs::read_to_string(&main).unwrap();
            harness::write_aged(&main, &format!("{settings}hash_queue_names = incoming\n"));
            for _ in 0..2 {
                let run = mta.run("postfix", &["upgrade-configuration"]);
                // The reference also shows what its editor does, and files of its package.
                let said = run.out.lines().filter(|line| line.contains("diting ") || line.contains("ixing "));
                let said: String = said.filter(|line| !is_not_ours(line)).map(|line| format!("{line}\n")).collect();
                let _ = writeln!(text, "{said}= {}", run.code);
            }
            let services = std::fs::read_to_string(&path).unwrap();
            services.lines().filter(|line| !is_not_ours(line)).for_each(|line| text += &format!("{line}\n"));
            let settings = std::fs::read_to_string(&main).unwrap();
            let names: String = settings.lines().filter(|line| line.starts_with("hash_queue_names")).collect();
            text += &format!("--\n{names}\n");
        }
        golden(&world.mta("any").build(), "system/upgrade", &normal(&text), &[]);
    });
}

/// Services whose programs we do not have: they are not added.
fn is_not_ours(line: &str) -> bool {
    ["scache", "tlsmgr", "postscreen", "smtpd unix-domain", "#smtpd ", "dnsblog", "tlsproxy"]
        .iter()
        .any(|word| line.contains(word))
}

#[test]
fn the_postfix_command_stops_in_several_ways_and_rotates_its_log() {
    if needs_root("the reference's postfix command is reserved for the superuser") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").build();
        let mut text = String::new();
        for words in [
            "status",
            "drain",
            "quick-stop",
            "reload",
            "flush",
            "start",
            "status",
            "start",
            "quick-stop",
            "status",
            "start",
            "drain",
            "status",
            "start",
            "stop",
            "status",
            "start",
            "abort",
            "start_msg",
            "stop_msg",
            "nosuch",
            "logrotate extra",
            "start",
            "logrotate",
            "stop",
            "logrotate",
            "check extra",
            "-c relative status",
        ] {
            let before = mta.log().lines().count();
            let was_running = mta.master_pid().is_some();
            if words == "logrotate" && !was_running {
                // The last words after the rotation before may have been lost, and there is no log then.
                std::fs::OpenOptions::new().append(true).create(true).open(mta.log_file()).unwrap();
            }
            let run = mta.run("postfix", &words.split(' ').collect::<Vec<_>>());
            let is_running = !matches!(words, "quick-stop" | "stop" | "abort" | "drain");
            if !is_running {
                until("master to end", || mta.master_pid().is_none().then_some(()));
            }
            if words == "start" && run.code == 0 {
                // The log's writer is up: nothing is lost when master is killed next.
                until("the start in the log", || {
                    mta.log().lines().skip(before).any(|line| line.contains("daemon started")).then_some(())
                });
            }
            let quick = mta.spool().join("quick-start").exists();
            let _ = writeln!(text, "$ postfix {words}\n{}= {} {quick}", run.out, run.code);
            // While the system runs its words take their way through postlogd, and may come later or, with drain, never.
            if !was_running {
                let said = script_log(&mta, before);
                said.lines()
                    .filter(|line| !line.contains("stopping"))
                    .for_each(|line| text += &format!("{line}\n"));
            }
        }
        let names = std::fs::read_dir(mta.log_file().parent().unwrap()).unwrap().flatten();
        let old = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("maillog.")).count();
        let _ = writeln!(text, "old logs: {}", old.min(1));
        let text = text.lines().filter(|line| !line.contains("waiting for the Postfix")).map(|line| {
            let (before, number) = line.split_once("PID: ").unwrap_or((line, ""));
            format!("{before}{}\n", if number.is_empty() { "" } else { "PID: N" })
        });
        let usage = Change { program: "postfix", old: "logrotate)", new: "logrotate, tls, non-bdb)" };
        golden(&mta, "system/stop", &normal(&text.collect::<String>()), &[usage]);
    });
}
