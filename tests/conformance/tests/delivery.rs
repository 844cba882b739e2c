//! Local, virtual and pipe delivery.

use harness::{Mta, World, golden, isolated, maildir, mbox, needs_root, normal_dsn, normal_log, until};

/// The normalised log lines of one message about its recipients.
fn outcomes(mta: &Mta, id: &str) -> String {
    let mut lines: Vec<String> =
        mta.lines(&[&format!(" {id}: to=")]).iter().map(|line| normal_log(line) + "\n").collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

fn deliver(mta: &Mta, to: &[&str], text: &str) -> String {
    let id = mta.send("sender@example.org", to, text);
    let (removed, about) = (format!(" {id}: removed"), format!(" {id}: to="));
    until("removal or deferral", || {
        let done = !mta.lines(&[&removed]).is_empty() || !mta.lines(&[&about, "status=deferred"]).is_empty();
        done.then_some(())
    });
    outcomes(mta, &id)
}

#[test]
fn mbox_in_the_spool_directory() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        let user = world.user();
        let mut text =
            deliver(&mta, &[&format!("{user}@example.com")], "Subject: hi\n\nFrom here\n>From there\nend\n");
        deliver(&mta, &[&user], "Subject: second\n\nx\n");
        let entries = mta.wait_mbox(&user, 2);
        text.push_str(&entries.concat());
        golden(&mta, "delivery/mbox", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

#[test]
fn owners_and_modes_of_mailboxes() {
    use std::os::unix::fs::MetadataExt as _;
    if needs_root("delivery as other users") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").start();
        deliver(&mta, &["alice", "bob"], "x\n");
        let of = |user: &str| {
            let meta = std::fs::metadata(mta.mailbox(user)).expect("mailbox");
            (meta.uid(), meta.mode() & 0o7777)
        };
        assert_eq!(of("alice"), (world.uid("alice"), 0o600));
        assert_eq!(of("bob"), (world.uid("bob"), 0o600));
    });
}

#[test]
fn maildir_in_the_home() {
    if needs_root("delivery into other users' homes") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").main("home_mailbox = Maildir/").start();
        let mut text = deliver(&mta, &["alice"], "Subject: hi\n\nFrom here\n");
        let path = world.home("alice").join("Maildir");
        text.push_str(&maildir(&path).concat());
        for name in ["tmp", "new", "cur"] {
            use std::os::unix::fs::MetadataExt as _;
            let meta = std::fs::metadata(path.join(name)).expect(name);
            assert_eq!((meta.uid(), meta.mode() & 0o777), (world.uid("alice"), 0o700), "{name}");
        }
        let file = std::fs::read_dir(path.join("new")).unwrap().flatten().next().expect("a message");
        let name = file.file_name().into_string().unwrap();
        let parts: Vec<&str> = name.splitn(3, '.').collect();
        assert!(
            parts[0].len() == 10
                && parts[1].starts_with('V')
                && parts[1].contains('I')
                && parts[1].contains('M'),
            "{name}"
        );
        golden(&mta, "delivery/maildir", &normal_dsn(&text), &[]);
    });
}

#[test]
fn aliases_to_commands_files_and_lists() {
    isolated(|world| {
        world.script("show", "exec > $1 2>&1; echo sender=$SENDER recipient=$RECIPIENT original=$ORIGINAL_RECIPIENT user=$USER local=$LOCAL domain=$DOMAIN ext=$EXTENSION; cat".replace("$1", &world.dir().join("out/shown").display().to_string()).as_str());
        let out = world.file("out/.keep", "");
        let out = out.parent().unwrap();
        std::fs::set_permissions(out, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        let user = world.user();
        world.file("include", &format!("# comment\n{user}\n\nsecond, third\n"));
        let mta = world
            .mta("mail")
            .main("recipient_delimiter = +\nallow_mail_to_files = alias,forward,include\nallow_mail_to_commands = alias,forward,include")
            .aliases(&format!("command: \"|$DIR/show\"\nfail: \"|exit 67\"\ntempfail: \"|exit 75\"\nodd: \"|exit 3\"\nnoise: \"|echo something on stdout; exit 69\"\nfile: $DIR/out/file\nlist: :include:$DIR/include\nsecond: {user}\nthird: nosuchuser\nloop: loop2\nloop2: loop\nboth: {user}, {user}, second\nremote: x@[127.0.0.1]\nmissing: :include:$DIR/not-there"))
            .start();
        let mut text = String::new();
        for name in ["command", "command+ext", "fail", "odd", "noise", "file", "both"] {
            text.push_str(&format!(
                "== {name}\n{}",
                deliver(&mta, &[&format!("{name}@example.com")], "Subject: x\n\nbody\n")
            ));
        }
        text.push_str("== list\n");
        text.push_str(&deliver(&mta, &["list"], "Subject: list\n\nbody\n"));
        let id = mta.send("sender@example.org", &["tempfail"], "x\n");
        text.push_str(&format!("== tempfail\n{}\n", normal_log(&mta.wait(&[&format!(" {id}: to=")]))));
        text.push_str(&std::fs::read_to_string(out.join("shown")).unwrap());
        text.push_str(&std::fs::read_to_string(out.join("file")).unwrap());
        golden(&mta, "delivery/aliases", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

#[test]
fn an_alias_list_of_a_thousand() {
    isolated(|world| {
        let members: Vec<String> = (0..1000).map(|n| format!("member{n}@example.net")).collect();
        let sink = harness::Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = {}", sink.nexthop()))
            .aliases(&format!(
                "everybody: {}\nowner-everybody: postmaster\npostmaster: root",
                members.join(",\n    ")
            ))
            .start();
        let id = mta.send("sender@example.org", &["everybody"], "Subject: x\n\nbody\n");
        mta.wait_removed(&id);
        mta.wait_empty();
        let mut got: Vec<String> = Vec::new();
        for message in sink.received() {
            assert!(message.mail.starts_with("<owner-everybody@example.com>"), "{}", message.mail);
            assert!(message.rcpts.len() <= 50, "more than default_destination_recipient_limit");
            got.extend(message.rcpts.iter().map(|rcpt| rcpt.split(['<', '>']).nth(1).unwrap().to_owned()));
        }
        got.sort();
        let mut want = members;
        want.sort();
        assert_eq!(got, want);
    });
}

#[test]
fn forward_files() {
    if needs_root("forward files of other users") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").main("recipient_delimiter = +\ndefault_transport = discard").start();
        let forward = |user: &str, name: &str, text: &str| {
            world.file_of(user, &world.home(user).join(name), text);
        };
        forward("alice", ".forward", "# to myself and more\nalice, bob\n\\carol\n");
        forward("alice", ".forward+ext", &format!("{}\n", world.home("alice").join("extfile").display()));
        forward("bob", ".forward", "\"|(/bin/cat; pwd; id -un) > $HOME/got\"\n");
        let mut text = deliver(&mta, &["alice"], "Subject: one\n\nbody\n");
        text.push_str(&deliver(&mta, &["alice+ext"], "Subject: two\n\nbody\n"));
        mta.wait_empty();
        text.push_str(&format!("== alice\n{}", mbox(&mta.mailbox("alice")).concat()));
        text.push_str(&format!("== carol\n{}", mbox(&mta.mailbox("carol")).concat()));
        text.push_str(&format!(
            "== bob\n{}",
            std::fs::read_to_string(world.home("bob").join("got")).unwrap_or_default()
        ));
        text.push_str(&format!(
            "== ext\n{}",
            std::fs::read_to_string(world.home("alice").join("extfile")).unwrap_or_default()
        ));
        // a .forward that is world-writable, or somebody else's, counts as none
        forward("bob", ".forward", "alice\n");
        std::fs::set_permissions(
            world.home("bob").join(".forward"),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )
        .unwrap();
        text.push_str(&deliver(&mta, &["bob"], "Subject: three\n\nbody\n"));
        forward("bob", ".forward", "");
        text.push_str(&deliver(&mta, &["bob"], "Subject: four\n\nbody\n"));
        for line in mta.lines(&["postfix/local", "warning: "]) {
            text.push_str(&normal_log(&line));
            text.push('\n');
        }
        golden(&mta, "delivery/forward", &normal_dsn(&text), &[]);
    });
}

#[test]
fn mailbox_command_and_its_environment() {
    isolated(|world| {
        let user = world.user();
        world.script(
            "deliver",
            "(echo $*; env | sort | grep -v '^[P_]'; pwd; cat) > $DIR/out/seen"
                .replace("$DIR", &world.dir().display().to_string())
                .as_str(),
        );
        world.file("out/seen", "");
        for path in ["out", "out/seen"] {
            std::fs::set_permissions(
                world.dir().join(path),
                std::os::unix::fs::PermissionsExt::from_mode(0o777),
            )
            .unwrap();
        }
        let mta = world
            .mta("mail")
            .main(
                "recipient_delimiter = +\nmailbox_command = $DIR/deliver -a \"$USER\" $EXTENSION -d $DOMAIN"
                    .replace("$DIR", &world.dir().display().to_string())
                    .as_str(),
            )
            .start();
        let mut text = deliver(&mta, &[&format!("{user}+folder@example.com")], "Subject: x\n\nbody\n");
        text.push_str(&std::fs::read_to_string(world.dir().join("out/seen")).unwrap());
        let home = nix_home(&user);
        let text = normal_dsn(&text).replace(&home, "HOME").replace(&user, "alice");
        let text: String =
            text.lines().filter(|line| !line.starts_with("SHELL=")).map(|line| format!("{line}\n")).collect();
        golden(&mta, "delivery/mailbox_command", &text, &[]);
    });
}

fn nix_home(user: &str) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
    harness::normal(line.split(':').nth(5).unwrap())
}

#[test]
fn unknown_users_and_where_they_may_go() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").main("local_recipient_maps =\nrecipient_delimiter = +").start();
        let mut text = String::new();
        for to in [
            "nosuch@example.com",
            "nosuch+ext@example.com",
            "postmaster@example.com",
            "mailer-daemon@example.com",
        ] {
            text.push_str(&deliver(&mta, &[to], "x\n"));
        }
        let second =
            world.mta("second").main(&format!("local_recipient_maps =\nluser_relay = {user}")).start();
        text.push_str(&deliver(&second, &["nosuch@example.com"], "Subject: x\n\nx\n"));
        text.push_str(&second.wait_mbox(&user, 1).concat());
        golden(&mta, "delivery/unknown", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

#[test]
fn delivered_to_ends_a_loop() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").start();
        let text = deliver(
            &mta,
            &[&format!("{user}@example.com")],
            &format!("Delivered-To: {user}@example.com\nSubject: x\n\nx\n"),
        );
        golden(&mta, "delivery/loop", &text.replace(&user, "alice"), &[]);
    });
}

#[test]
fn a_full_or_locked_mailbox_defers_or_bounces() {
    isolated(|world| {
        let user = world.user();
        let mta = world.mta("mail").main("deliver_lock_attempts = 1\ndeliver_lock_delay = 1\nmailbox_size_limit = 5000\nmessage_size_limit = 5000\nbounce_size_limit = 1000\ndefault_transport = discard").start();
        let mut text = deliver(&mta, &[&user], &format!("Subject: x\n\n{}", "0123456789\n".repeat(250)));
        text.push_str(&deliver(&mta, &[&user], &format!("Subject: x\n\n{}", "0123456789\n".repeat(250))));
        let lock = mta.mailbox(&format!("{user}.lock"));
        std::fs::write(&lock, "").unwrap();
        let id = mta.send("sender@example.org", &[&user], "x\n");
        text.push_str(&normal_log(&mta.wait(&[&format!(" {id}: to="), "status=deferred"])));
        std::fs::remove_file(lock).unwrap();
        assert_eq!(mbox(&mta.mailbox(&user)).len(), 1);
        golden(&mta, "delivery/locked", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

fn virtual_mta(world: &World, more: &str) -> Mta {
    let (uid, gid) =
        if world.root() { (world.uid("bob"), world.uid("bob")) } else { (nix_id("-u"), nix_id("-g")) };
    let base = world.dir().join("vmail");
    std::fs::create_dir(&base).unwrap();
    if world.root() {
        std::os::unix::fs::chown(&base, Some(uid), Some(gid)).unwrap();
    }
    world
        .mta("mail")
        .main(&format!("virtual_mailbox_domains = v.example\nvirtual_mailbox_base = {}\nvirtual_minimum_uid = 1\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\nrecipient_delimiter = +", base.display()))
        .main(more)
        .start()
}

fn nix_id(option: &str) -> u32 {
    let output = std::process::Command::new("id").arg(option).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

#[test]
fn virtual_mailboxes() {
    isolated(|world| {
        let mta = virtual_mta(
            world,
            "virtual_mailbox_maps = inline:{{box@v.example=box},{dir@v.example=dir/},{@v.example=catchall/}}",
        );
        let mut text = String::new();
        for to in ["box@v.example", "BOX+ext@v.example", "dir@v.example", "other@v.example"] {
            text.push_str(&format!("== {to}\n{}", deliver(&mta, &[to], "Subject: x\n\nFrom body\n")));
        }
        let base = world.dir().join("vmail");
        text.push_str(&mbox(&base.join("box")).concat());
        text.push_str(&maildir(&base.join("dir")).concat());
        text.push_str(&maildir(&base.join("catchall")).concat());
        for line in mta.lines(&["postfix/virtual", "warning: "]) {
            text.push_str(&normal_log(&line));
            text.push('\n');
        }
        golden(&mta, "delivery/virtual", &normal_dsn(&text), &[]);
    });
}

#[test]
fn virtual_unknown_user_and_alias_domain() {
    isolated(|world| {
        let user = world.user();
        let mta = virtual_mta(
            world,
            &format!(
                "virtual_mailbox_maps = inline:{{box@v.example=box}}\nsmtpd_reject_unlisted_recipient = no\nvirtual_alias_domains = alias.example\nvirtual_alias_maps = inline:{{x@alias.example={user}}}"
            ),
        );
        let mut text = deliver(&mta, &["nosuch@v.example"], "x\n");
        text.push_str(&deliver(&mta, &["x@alias.example"], "x\n"));
        text.push_str(&deliver(&mta, &["y@alias.example"], "x\n"));
        golden(&mta, "delivery/virtual_unknown", &text.replace(&user, "alice"), &[]);
    });
}

#[test]
fn pipe_runs_commands_with_macros_and_flags() {
    isolated(|world| {
        world.script(
            "piped",
            &format!("(printf '%s\\n' \"$@\"; cat; echo ==) >> {}/out/piped", world.dir().display()),
        );
        world.file("out/piped", "");
        for path in ["out", "out/piped"] {
            std::fs::set_permissions(
                world.dir().join(path),
                std::os::unix::fs::PermissionsExt::from_mode(0o777),
            )
            .unwrap();
        }
        let user = world.user();
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nrecipient_delimiter = +\none_destination_recipient_limit = 1\ntransport_maps = inline:{{plain.example=plain},{flags.example=one},{fail.example=fail:why},{temp.example=temp},{talk.example=talk}}")
            .master(&format!("plain unix - n n - - pipe user={user} argv=$DIR/piped -f ${{sender}} -n ${{nexthop}} -- ${{recipient}} ${{user}} ${{extension}} ${{domain}} ${{client_address}}\none unix - n n - - pipe flags=DORhuq> user={user} argv=$DIR/piped ${{sender}} ${{recipient}} ${{original_recipient}} ${{mailbox}} {{a b}}\nfail unix - n n - - pipe user={user} argv=/bin/sh -c {{echo no such thing; exit 67}}\ntemp unix - n n - - pipe user={user} argv=/bin/sh -c {{exit 75}}\ntalk unix - n n - - pipe user={user} argv=/bin/echo all is well"))
            .start();
        let mut text = String::new();
        for to in [
            &["a@plain.example", "b+x@plain.example"][..],
            &["\"Q r+Ext\"@FLAGS.example"],
            &["x@fail.example"],
            &["x@talk.example"],
        ] {
            text.push_str(&deliver(&mta, to, "Subject: x\n\nFrom body\n.\n"));
        }
        let id = mta.send("sender@example.org", &["x@temp.example"], "x\n");
        text.push_str(&normal_log(&mta.wait(&[&format!(" {id}: to=")])));
        text.push('\n');
        text.push_str(&std::fs::read_to_string(world.dir().join("out/piped")).unwrap());
        golden(&mta, "delivery/pipe", &normal_dsn(&text).replace(&user, "alice"), &[]);
    });
}

#[test]
fn error_retry_and_discard() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\nsmtpd_reject_unlisted_recipient = no\ntransport_maps = inline:{{error.example=error:5.7.1 not wanted},{plain.example=error:just text},{none.example=error},{discard.example=discard:silently},{retry.example=retry:4.2.2 wait}}")
            .start();
        let mut text = String::new();
        for to in ["x@error.example", "x@plain.example", "x@none.example", "x@discard.example"] {
            text.push_str(&deliver(&mta, &[to], "x\n"));
        }
        let id = mta.send("sender@example.org", &["x@retry.example"], "x\n");
        text.push_str(&normal_log(&mta.wait(&[&format!(" {id}: to=")])));
        golden(&mta, "delivery/error", &text, &[]);
    });
}

#[test]
fn transports_by_class_and_map() {
    isolated(|world| {
        let sink = harness::Sink::smtp().start();
        let other = harness::Sink::smtp().start();
        let mta = world
            .mta("mail")
            .main(&format!(
                "relayhost = {}\nrelay_domains = relay.example\ntransport_maps = inline:{{{{special.example=smtp:{}}},{{.sub.example=discard:}},{{user@one.example=discard:one}},{{nexthop.example=:{}}}}}",
                sink.nexthop(), other.nexthop(), other.nexthop()
            ))
            .start();
        let mut text = String::new();
        for to in [
            "x@default.example",
            "x@special.example",
            "x@a.sub.example",
            "x@sub.example",
            "user+ext@one.example",
            "user@one.example",
            "x@relay.example",
            "x@nexthop.example",
        ] {
            text.push_str(&deliver(&mta, &[to], "x\n").replace(&other.port().to_string(), "OTHER"));
        }
        text.push_str(&format!("{} {}\n", sink.received().len(), other.received().len()));
        golden(&mta, "delivery/transport", &text, &[]);
    });
}
