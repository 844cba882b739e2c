//! The commands: options, output, exit status.

use harness::{
    Builder, Change, Mta, World, golden, isolated, needs_default_configuration, needs_root, normal,
    normal_dsn, normal_log,
};
use std::fmt::Write as _;

/// Runs each command line (words separated by blanks, `~` standing for a blank) and records status and outputs.
pub(crate) fn record(mta: &Mta, text: &mut String, lines: &[&str]) {
    for line in lines {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| word.replace('~', " ").replace("$CONFIG", &mta.config().display().to_string()))
            .collect();
        let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let run = mta.run(&words[0], &args);
        let _ = writeln!(text, "$ {line}\n{}{}= {}", run.out, run.err, run.code);
    }
}

pub(crate) fn tidy(mta: &Mta, text: &str) -> String {
    // programs name themselves by their path or by its last part
    normal_dsn(text).replace(
        &format!("{}/", harness::normal(&mta.config().with_file_name("sbin").display().to_string())),
        "",
    )
}

fn holding(world: &World, more: &str) -> Builder {
    world.mta("mail").main("local_recipient_maps =\ndefault_transport = retry:4.2.2 not yet\nqueue_run_delay = 1000s\nminimal_backoff_time = 1000s\nmaximal_backoff_time = 1000s\nsmtpd_reject_unlisted_recipient = no").main(more)
}

#[test]
fn sendmail_submits_from_its_standard_input() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").main("recipient_delimiter = +").start();
        let address = format!("{user}@example.com");
        let dsn =
            ["-f", "from@example.org", "-F", "Full Name", "-N", "never", "-R", "hdrs", "-V", "id1", &address];
        let cases: [(&[&str], &str); 9] = [
            (&["-f", "from@example.org", &user], "Subject: one\n\nbody\n.\nafter a dot\n"),
            (&["-i", "-f", "from@example.org", &address], "Subject: two\n\nbody\n.\nafter a dot\n"),
            (
                &["-oi", "-t", "-f", &address],
                &format!(
                    "From: a@example.org\nTo: {address}\nBcc: nosuch@x.invalid-\nCc: {address}\nSubject: three\n\nbody\n"
                ),
            ),
            (&dsn, "Subject: four\n\nbody\n"),
            (&["-f", "", &address], "From some mbox line\nSubject: five\n\nbody without end"),
            (
                &["-r", "other@example.org", "-B", "8BITMIME", "-om", "-ot", "-v0", &address],
                "no header, just text\n",
            ),
            (&["-bm", "-f", "<from@example.org>", "--", &address], "X-First: yes\nSubject: seven\n\n"),
            (&["-G", "-f", "from@example.org", &address], "Subject: eight\n\nbody\n"),
            (&["-f", "from@example.org", &address], ""),
        ];
        let mut text = String::new();
        for (n, (args, input)) in cases.iter().enumerate() {
            let run = mta.run_with("sendmail", args, input);
            let shown: Vec<&str> = args.iter().copied().filter(|arg| *arg != "-v0").collect();
            let _ = writeln!(text, "== {n} {}\n{}{}= {}", shown.join(" "), run.out, run.err, run.code);
        }
        mta.wait_empty();
        for entry in harness::mbox(&mta.mailbox(&user)) {
            text.push_str(&entry);
        }
        let uid = nix_uid();
        let text = tidy(&mta, &text).replace(&user, "alice").replace(&format!("userid {uid}"), "userid UID");
        let mut parts: Vec<&str> = text.split("From ").collect();
        parts.sort_unstable();
        golden(&mta, "commands/sendmail", &parts.join("From "), &[]);
    });
}

fn nix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").expect("/proc/self").uid()
}

#[test]
fn sendmail_errors() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        let mut text = String::new();
        record(
            &mta,
            &mut text,
            &[
                "sendmail",
                "sendmail -t x@example.com",
                "sendmail -bz",
                "sendmail -f",
                "sendmail -N bogus x@example.com",
                "sendmail -R bogus x@example.com",
                "sendmail -B bogus x@example.com",
                "sendmail -bi extra",
                "sendmail -V a~b x@example.com",
                "sendmail -I",
                "newaliases",
                "sendmail -bi",
                "sendmail -q",
                "sendmail -q15m",
                "sendmail -qRnosuch.example",
                "sendmail -Z",
            ],
        );
        golden(&mta, "commands/sendmail_errors", &world.as_root(&tidy(&mta, &text)), &[]);
    });
}

#[test]
fn sendmail_as_an_smtp_server_on_its_standard_input() {
    isolated(|world| {
        let mta = world.mta("mail").main("local_recipient_maps =\nlocal_transport = discard").start();
        let run = mta.run_with("sendmail", &["-bs"], "EHLO here\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");
        mta.wait_empty();
        let text =
            format!("{}{}= {}\n{}", run.out.replace("\r\n", "\n"), run.err, run.code, mta.log_of("smtpd"));
        golden(&mta, "commands/sendmail_bs", &normal(&text), &[]);
    });
}

#[test]
fn an_unprivileged_user_submits_through_the_set_gid_postdrop() {
    if needs_root("another user than the one who runs the tests") || needs_default_configuration() {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").start();
        let run = mta.run_as(world.uid("bob"), "sendmail", &["alice@example.com"], "Subject: x\n\nbody\n");
        assert_eq!(run.code, 0, "{}", run.err);
        let entry = mta.wait_mbox("alice", 1).concat();
        let mut text = entry;
        let run = mta.run_as(world.uid("bob"), "mailq", &[], "");
        let _ = write!(text, "{}{}= {}\n{}", run.out, run.err, run.code, mta.log_of("pickup"));
        let run = mta.run_as(world.uid("bob"), "postsuper", &["-d", "ALL"], "");
        let _ = writeln!(text, "{}{}= {}", run.out, run.err, run.code);
        golden(&mta, "commands/unprivileged", &tidy(&mta, &text), &[]);
    });
}

#[test]
fn submission_can_be_limited_to_some_users() {
    if needs_root("another user than the one who runs the tests") || needs_default_configuration() {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").main("authorized_submit_users = !bob, static:all\nauthorized_mailq_users = !bob, static:all\nauthorized_flush_users = root").start();
        let mut text = String::new();
        for args in [&["sendmail", "alice@example.com"][..], &["mailq"], &["postqueue", "-f"]] {
            let run = mta.run_as(world.uid("bob"), args[0], &args[1..], "Subject: x\n\nbody\n");
            let _ = write!(text, "{args:?}\n{}{}= {}\n", run.out, run.err, run.code);
        }
        golden(
            &mta,
            "commands/authorized",
            &tidy(&mta, &text).replace(&world.uid("bob").to_string(), "UID"),
            &[],
        );
    });
}

fn queue_listing(name: &'static str, main: &'static str) {
    isolated(move |world| {
        let mta = holding(world, main).start();
        let mut text = String::new();
        record(&mta, &mut text, &["mailq", "sendmail -bp", "postqueue -p", "postqueue -j"]);
        let first = mta.send(
            "sender@example.org",
            &["a@x.example", "b@y.example", "\"c d\"@x.example"],
            "Subject: x\n\nbody\n",
        );
        let second = mta.send("", &["a@x.example"], "Subject: x\n\nbody\n");
        for id in [&first, &second] {
            harness::until("deferral", || mta.queue("deferred").contains(id).then_some(()));
        }
        text.push_str(&mta.run("postsuper", &["-h", &second]).err);
        for args in [["-p"], ["-j"]] {
            let run = mta.run("postqueue", &args);
            let mut parts: Vec<String> = if args == ["-p"] {
                run.out.split("\n\n").map(|part| format!("{part}\n\n")).collect()
            } else {
                run.out.lines().map(|line| format!("{line}\n")).collect()
            };
            parts.sort();
            let _ = write!(text, "$ postqueue {}\n{}{}= {}\n", args[0], parts.concat(), run.err, run.code);
        }
        let ids: Vec<(&str, &String)> = vec![("FIRST", &first), ("SECOND", &second)];
        let mut text = ids.iter().fold(text, |text, (name, id)| {
            text.replace(&format!("{id:<14}"), &format!("{name:<14}")).replace(*id, name)
        });
        text = mask_listing(&text);
        golden(&mta, &format!("commands/{name}"), &tidy(&mta, &text), LISTING);
    });
}

/// 3.11 adds `orig_address`; it is empty for recipients that come from a defer log without one.
const LISTING: &[Change] =
    &[Change { program: "postqueue", old: "{\"address\": ", new: "{\"orig_address\": \"\", \"address\": " }];

/// Sizes and times of a listing depend on the queue ID's length and the clock.
fn mask_listing(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = mask_number(line, "\"arrival_time\": ");
        let line = mask_number(&line, "\"message_size\": ");
        let line = if let Some(at) = line.find(" Wed ").or_else(|| day_at(&line)) {
            mask_columns(&line, at)
        } else {
            line
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn day_at(line: &str) -> Option<usize> {
    ["Mon", "Tue", "Thu", "Fri", "Sat", "Sun"].iter().find_map(|day| line.find(&format!(" {day} ")))
}

fn mask_columns(line: &str, at: usize) -> String {
    let (before, after) = line.split_at(at);
    let kept: String = before.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    format!("{kept} DAY MON DD HH:MM:SS{}", after.get(20..).unwrap_or(""))
}

fn mask_number(line: &str, key: &str) -> String {
    let Some(at) = line.find(key) else { return line.to_owned() };
    let (before, after) = line.split_at(at + key.len());
    format!("{before}N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn the_queue_is_listed_with_short_ids() {
    queue_listing("listing_short", "");
}

#[test]
fn the_queue_is_listed_with_long_ids() {
    queue_listing("listing_long", "enable_long_queue_ids = yes");
}

#[test]
fn the_queue_is_readable_when_the_system_is_down() {
    if needs_root("another user, whose direct access to the queue is refused")
        || needs_default_configuration()
    {
        return;
    }
    isolated(|world| {
        let mta = holding(world, "").start();
        let id = mta.send("sender@example.org", &["a@x.example"], "Subject: x\n\nbody\n");
        harness::until("deferral", || mta.queue("deferred").contains(&id).then_some(()));
        mta.stop();
        let run = mta.run("mailq", &[]);
        assert!(run.out.contains(&id), "{}", run.out);
        let text = tidy(&mta, &format!("{}= {}\n", run.err, run.code));
        let run = mta.run_as(world.uid("bob"), "mailq", &[], "");
        golden(
            &mta,
            "commands/listing_down",
            &format!("{text}{}", tidy(&mta, &format!("{}{}= {}\n", run.out, run.err, run.code))),
            &[],
        );
    });
}

#[test]
fn postqueue_flushes_and_complains() {
    isolated(|world| {
        let mta = holding(world, "").start();
        let id = mta.send("sender@example.org", &["a@x.example"], "Subject: x\n\nbody\n");
        mta.wait_count(&[&format!(" {id}: to=")], 1);
        let mut text = String::new();
        record(&mta, &mut text, &["postqueue -f"]);
        mta.wait_count(&[&format!(" {id}: to=")], 2);
        let run = mta.run("postqueue", &["-i", &id]);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        mta.wait_count(&[&format!(" {id}: to=")], 3);
        record(
            &mta,
            &mut text,
            &[
                "postqueue",
                "postqueue -z",
                "postqueue -i not-a-queue-id!",
                "postqueue -i ABCDEF0123",
                "postqueue -s no.such.example",
                "postqueue -s bad_site_!",
                "postqueue -p extra",
                "postqueue -p -f",
            ],
        );
        golden(&mta, "commands/postqueue", &tidy(&mta, &text), &[]);
    });
}

#[test]
fn postsuper_moves_and_removes() {
    isolated(|world| {
        let mta = holding(world, "").start();
        let ids: Vec<String> = (0..6)
            .map(|n| mta.send("s@example.org", &[&format!("r{n}@x.example")], "Subject: x\n\nbody\n"))
            .collect();
        harness::until("deferrals", || (mta.queue("deferred").len() == 6).then_some(()));
        let mut text = String::new();
        let mut step = |args: &[&str], input: &str| {
            let run = mta.run_with("postsuper", args, input);
            let _ = writeln!(text, "$ postsuper {}\n{}{}= {}", args.join(" "), run.out, run.err, run.code);
            for queue in ["deferred", "hold", "maildrop"] {
                let _ = writeln!(text, "{queue}: {}", mta.queue(queue).len());
            }
        };
        step(&["-h", &ids[0], "-h", &ids[1]], "");
        step(&["-H", &ids[0]], "");
        step(&["-d", &ids[0]], "");
        step(&["-d", "-"], &format!("{}\n{}\n", ids[2], ids[3]));
        step(&["-d", "0123456789"], "");
        step(&["-d", "not!valid"], "");
        step(&["-h", "ALL", "deferred"], "");
        step(&["-H", "ALL"], "");
        step(&["-e", &ids[4]], "");
        step(&["-d", "ALL", "hold"], "");
        step(&["-d", "ALL", "corrupt"], "");
        step(&["-s"], "");
        step(&[], "");
        mta.run("postqueue", &["-f"]);
        mta.wait_removed(&ids[4]);
        harness::until("the others and the bounce back in deferred", || {
            (mta.queue("deferred").len() == 3).then_some(())
        });
        step(&["-r", &ids[5]], "");
        mta.run("postqueue", &["-f"]);
        mta.wait(&["postfix/pickup", "orig_id="]);
        let mut text: String =
            ids.iter().enumerate().fold(text, |text, (n, id)| text.replace(id, &format!("ID{n}")));
        for line in mta.lines(&[&format!(" {}: from=", ids[4]), "expired"]) {
            text.push_str(&normal_log(&line));
            text.push('\n');
        }
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(mta.spool().join("maildrop")).unwrap().uid();
        text.push_str(&mta.log_of("pickup").replace(&format!("uid={owner} "), "uid=OWNER "));
        golden(&mta, "commands/postsuper", &tidy(&mta, &text), &[]);
    });
}

#[test]
fn postsuper_gives_misnamed_files_their_right_names() {
    isolated(|world| {
        let mta = holding(world, "").start();
        let id = mta.send("s@example.org", &["r@x.example"], "Subject: x\n\nbody\n");
        harness::until("deferral", || mta.queue("deferred").contains(&id).then_some(()));
        let path = mta.queue_file(&id).unwrap();
        let copy = path.with_file_name(format!("{}1234", &id[..5]));
        std::fs::rename(&path, &copy).unwrap();
        std::fs::write(mta.spool().join("deferred/junk"), "x").unwrap();
        let run = mta.run("postsuper", &["-s", "-p"]);
        let (run, id) = (harness::Run { err: run.err.replace(&id, "NEWID"), ..run }, id);
        assert!(mta.queue_file(&id).is_some(), "{:?} {run:?}", mta.queue("deferred"));
        golden(
            &mta,
            "commands/postsuper_structure",
            &tidy(&mta, &format!("{}{}= {}\n", run.out, run.err, run.code)),
            &[],
        );
    });
}

#[test]
fn postcat_shows_queue_files() {
    isolated(|world| {
        let mta = holding(world, "delay_warning_time = 4h").start();
        let mut client = mta.ehlo();
        for line in [
            "MAIL FROM:<s@example.org> RET=HDRS ENVID=E+2B1 BODY=8BITMIME",
            "RCPT TO:<a@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;A+2BX@far.example",
            "RCPT TO:<b@far.example>",
        ] {
            assert!(client.cmd(line).starts_with("250"));
        }
        assert!(client.cmd("DATA").starts_with("354"));
        let reply = client.content("Subject: x\nFrom: f@x.example\n  folded\n\nbody\n");
        let id = reply.rsplit(' ').next().unwrap().to_owned();
        harness::until("deferral", || mta.queue("deferred").contains(&id).then_some(()));
        std::fs::write(mta.config().join("not-a-queue-file"), "just some text\n").unwrap();
        let mut text = String::new();
        for args in [&["-q"][..], &["-vq"], &["-hq"], &["-bq"], &["-eq"], &["-oq"], &["-dq"]] {
            let run = mta.run("postcat", &[args, &[id.as_str()]].concat());
            let _ = writeln!(text, "$ postcat {}\n{}{}= {}", args.join(" "), run.out, run.err, run.code);
        }
        record(
            &mta,
            &mut text,
            &[
                "postcat -q 0123456789",
                "postcat -q not!valid",
                "postcat $CONFIG/not-a-queue-file",
                "postcat $CONFIG/nosuch",
            ],
        );
        let port_masked = text.replace(&mta.address().port().to_string(), "PORT");
        // What -v says about the configuration is debugging of the reference itself.
        let debugging = |line: &&str| !line.contains("name_mask: ") && !line.contains("inet_addr_local: ");
        let text: String =
            port_masked.lines().filter(debugging).map(|line| mask_postcat(line) + "\n").collect();
        golden(
            &mta,
            "commands/postcat",
            &tidy(&mta, &text),
            &[Change {
                program: "cleanup",
                old: "named_attribute: encoding=8bit\n*** MESSAGE FILE END",
                new: "named_attribute: message_id=<STAMP.QID@mail.example.com>\nnamed_attribute: encoding=8bit\n*** MESSAGE FILE END",
            }],
        );
    });
}

/// Offsets, sizes and times depend on the length of the queue ID and on the clock.
fn mask_postcat(line: &str) -> String {
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    for key in [
        "message_size: ",
        "create_time: ",
        "create_time=",
        "client_port=",
        "message_arrival_time: ",
        "warning_message_time: ",
    ] {
        if let Some(at) = line.find(key) {
            return format!("{}{key}…", &line[..at]);
        }
    }
    match line.split_once(" deferred/") {
        Some((before, after)) => format!("{before} deferred/?{}", after.get(1..).unwrap_or("")),
        None => line.to_owned(),
    }
}

#[test]
fn postlog_postkick_and_postlock() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        let mut text = String::new();
        record(
            &mta,
            &mut text,
            &[
                "postlog hello~world",
                "postlog -p warn -t tag careful",
                "postlog -p nosuch x",
                "postkick public nosuch W",
                "postkick",
                "postlock $CONFIG/box true",
                "postlock $CONFIG/box false",
                "postlock $CONFIG/box sh -c exit~7",
                "postlock $CONFIG/box nosuchcommand",
                "postlock",
            ],
        );
        // the server may hang up between the request and its terminator: then the command says so
        harness::until("a trigger that works", || {
            (mta.run("postkick", &["public", "pickup", "W"]).code == 0).then_some(())
        });
        mta.wait(&["careful"]);
        for line in mta.lines(&["hello world"]).iter().chain(&mta.lines(&["careful"])) {
            text.push_str(&normal_log(line));
            text.push('\n');
        }
        let changes = [
            Change {
                program: "postlog",
                old: "$ postlog hello~world\n",
                new: "$ postlog hello~world\npostfix/postlog: hello world\n",
            },
            Change {
                program: "postlog",
                old: "-t tag careful\n",
                new: "-t tag careful\npostfix/postlog: warning: careful\n",
            },
            Change {
                program: "postlog",
                old: "$ postlog -p nosuch x\n",
                new: "$ postlog -p nosuch x\npostfix/postlog: fatal: bad severity: \"nosuch\"\n",
            },
        ];
        golden(&mta, "commands/small", &tidy(&mta, &text), &changes);
    });
}

#[test]
fn our_own_version_is_told() {
    if harness::Target::current() == harness::Target::Theirs {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").build();
        let version = mta.run("postconf", &["-h", "postino_version"]).out;
        for command in ["postconf", "postfix", "postmap", "sendmail"] {
            let run = mta.run(command, &["--version"]);
            assert_eq!((run.code, run.out), (0, format!("Postino {version}")), "{command}");
        }
        assert_eq!(mta.run("postconf", &["-h", "mail_version"]).out, "3.11.6\n");
    });
}
