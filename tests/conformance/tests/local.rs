//! The local agent: what commands, include files, .forward files and odd aliases come to.

use harness::{Mta, World, golden, isolated, needs_root, normal_log, until};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

const MAIN: &str = "local_recipient_maps =\nrecipient_delimiter = +\ndefault_transport = discard\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\nnotify_classes =\nsmtpd_relay_restrictions = permit_mynetworks, reject";

/// Lines of the log about one message to `to` and about what it was handed on as.
fn outcome(world: &World, mta: &Mta, to: &str) -> String {
    let before = mta.log().lines().count();
    mta.send("", &[to], "Subject: x\n\nbody\n");
    until("an idle queue", || {
        ["incoming", "active"].iter().all(|queue| mta.queue(queue).is_empty()).then_some(())
    });
    // What was logged before is in the file when this is.
    let sessions = mta.lines(&["disconnect from"]).len();
    let mut client = mta.smtp();
    client.banner();
    client.cmd("QUIT");
    mta.wait_count(&["disconnect from"], sessions + 1);
    let (log, user) = (mta.log(), world.user());
    let mut lines: Vec<String> = log
        .lines()
        .skip(before)
        .filter(|line| line.contains("postfix/local[") && !line.contains("clock"))
        .map(|line| normal_log(line).replace(&user, "alice").replace(&user.to_uppercase(), "ALICE") + "\n")
        .collect();
    lines.sort();
    format!("== {to}\n{}", lines.concat())
}

fn all(world: &World, mta: &Mta, names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        text.push_str(&outcome(world, mta, &format!("{name}@example.com")));
    }
    text
}

#[test]
fn the_exit_status_of_a_command() {
    isolated(|world| {
        let mut aliases = String::new();
        let mut names = Vec::new();
        for status in
            [0, 1, 2, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 126, 127, 255]
        {
            names.push(format!("exit{status}"));
            let _ = writeln!(aliases, "exit{status}: \"|exit {status}\"");
        }
        for (name, command) in [
            ("killed", "kill -9 $$"),
            ("terminated", "kill -15 $$"),
            ("talks", "echo 4.2.3 come back; exit 1"),
            ("status", "echo 5.2.3 never; exit 69"),
            ("success-talks", "echo 2.2.2 fine; exit 0"),
            ("many-lines", "echo one; echo two >&2; echo three; exit 69"),
            ("binary", "printf '\\\\001\\\\377 bad\\\\n'; exit 69"),
            ("missing", "/no/such/program"),
            ("missing-args", "/no/such/program with arguments"),
            ("no-slash", "nosuchprogram"),
            ("shell", "exit 69 && true"),
            ("quiet-reader", "exec true"),
            ("half-reader", "head -1 >/dev/null"),
            ("slow", "sleep 5"),
        ] {
            names.push(name.to_owned());
            let _ = writeln!(aliases, "{name}: \"|{command}\"");
        }
        let mta = world.mta("mail").main(MAIN).main("command_time_limit = 1s").aliases(&aliases).start();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        golden(&mta, "local/exit", &all(world, &mta, &names), &[]);
    });
}

#[test]
fn odd_aliases() {
    if needs_root("an alias for root, whose mailbox is delivered to") {
        return;
    }
    isolated(|world| {
        let user = world.user();
        let aliases = format!(
            "self: self\nself-and-other: self-and-other, {user}\nempty: \"\"\nempty-list: ,\nquoted: \"two words\"@example.com\ntwo words: {user}\ncomment: {user} (the user)\nroute: @example.com:{user}@example.com\ngroup: friends: {user}, x@far.example;\nname: Some Body <{user}@example.com>\nbad: a@b@c\nspecial: <>\nupper: {upper}\nMixed: {user}\npercent: x%far.example\nbang: far.example!x\nbackslash: \\\\{user}\nwith-ext: {user}+ext\nchain: chain1\nchain1: chain2\nchain2: {user}\ntwice: {user}, {user}@example.com, {user}@localhost\ndevnull: /dev/null\ndir: /tmp/\nrelative: ./file\ntilde: ~/file\npipe-space: | true\npipe-only: |\ninclude-only: :include:\ninclude-rel: :include:relative\ninclude-missing: :include:/no/such/file\nopt+x: x@far.example\nopt: {user}\nroot-only: root\nlocalpart: nosuch@localhost.example.com\n",
            upper = user.to_uppercase()
        );
        let mta = world
            .mta("mail")
            .main(MAIN)
            .main(
                "allow_mail_to_files = alias,forward,include\nallow_mail_to_commands = alias,forward,include",
            )
            .aliases(&aliases)
            .start();
        let names = [
            "self",
            "self-and-other",
            "empty",
            "empty-list",
            "quoted",
            "\"two words\"",
            "comment",
            "route",
            "group",
            "name",
            "bad",
            "special",
            "upper",
            "mixed",
            "MIXED",
            "percent",
            "bang",
            "backslash",
            "with-ext",
            "chain",
            "chain+ext",
            "twice",
            "devnull",
            "relative",
            "pipe-space",
            "pipe-only",
            "include-only",
            "include-rel",
            "include-missing",
            "opt+x",
            "opt+y",
            "opt",
            "root-only",
            "localpart",
            "nosuch",
            "nosuch+ext",
            "postmaster",
            "mailer-daemon",
            "owner-nothing",
            "a/b",
            "x+a/b",
        ];
        golden(&mta, "local/aliases", &all(world, &mta, &names), &[]);
    });
}

#[test]
fn include_files() {
    isolated(|world| {
        let user = world.user();
        let mode = |name: &str, text: &str, mode: u32| {
            let path = world.file(name, text);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode("plain", &format!("# comment\n\n{user}\nx@far.example, y@far.example\n"), 0o644);
        mode("writable", &user, 0o666);
        mode("group-writable", &user, 0o664);
        mode("command", "\"|exit 69\"\n", 0o644);
        mode("file", &format!("{}/out\n", world.dir().display()), 0o644);
        mode("nested", &format!(":include:{}/plain\n", world.dir().display()), 0o644);
        mode("itself", &format!(":include:{}/itself\n{user}\n", world.dir().display()), 0o644);
        mode("empty", "", 0o644);
        mode("blank", "\n   \n\t\n# only\n", 0o644);
        mode("continued", &format!("x@far.example,\n {user}\n"), 0o644);
        mode("unterminated", &user, 0o644);
        mode("bad", "a@b@c d\n<<>>\n", 0o644);
        std::fs::create_dir(world.dir().join("directory")).unwrap();
        let _ = std::os::unix::fs::symlink(world.dir().join("plain"), world.dir().join("link"));
        let names = [
            "plain",
            "writable",
            "group-writable",
            "command",
            "file",
            "nested",
            "itself",
            "empty",
            "blank",
            "continued",
            "unterminated",
            "bad",
            "directory",
            "link",
            "absent",
        ];
        let aliases: String =
            names.iter().map(|name| format!("{name}: :include:{}/{name}\n", world.dir().display())).collect();
        let mta = world.mta("mail").main(MAIN).aliases(&aliases).start();
        golden(&mta, "local/include", &all(world, &mta, &names).replace("gid=0", "gid=N"), &[]);
    });
}

#[test]
fn forward_files() {
    if needs_root("files in home directories") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").main(MAIN).start();
        let home = world.home("alice");
        let path = home.join(".forward");
        let mut text = String::new();
        for (content, mode, owner) in [
            ("bob\n", 0o644, "alice"),
            ("\\alice, bob\n", 0o644, "alice"),
            ("alice\n", 0o644, "alice"),
            ("alice, bob\n", 0o644, "alice"),
            ("\n\n# nothing\n", 0o644, "alice"),
            ("", 0o644, "alice"),
            ("bob\n", 0o666, "alice"),
            ("bob\n", 0o664, "alice"),
            ("bob\n", 0o000, "alice"),
            ("bob\n", 0o644, "bob"),
            ("\"|exit 69\"\n", 0o644, "alice"),
            ("\"|exit 75\"\n", 0o644, "alice"),
            ("\"|echo $HOME $USER $LOGNAME $SHELL >&2; exit 69\"\n", 0o644, "alice"),
            ("~/mail.mbox\n", 0o644, "alice"),
            ("/no/such/place\n", 0o644, "alice"),
            ("~/Maildir/\n", 0o644, "alice"),
            (":include:/etc/hosts\n", 0o644, "alice"),
            ("nosuchuser\n", 0o644, "alice"),
            ("x@far.example\n\"|true\"\n", 0o644, "alice"),
            ("a@b@c\n", 0o644, "alice"),
            ("\"quoted\", (comment) bob\n", 0o644, "alice"),
            ("bob\ncarol\n", 0o644, "alice"),
        ] {
            let _ = std::fs::remove_file(&path);
            world.file_of(owner, &path, content);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let _ =
                write!(text, "{content:?} {mode:o} {owner} {}", outcome(world, &mta, "alice@example.com"));
        }
        std::fs::remove_file(&path).unwrap();
        world.file_of("alice", &home.join(".forward+ext"), "carol\n");
        for to in ["alice+ext", "alice+other", "alice", "bob+ext"] {
            text.push_str(&outcome(world, &mta, &format!("{to}@example.com")));
        }
        std::fs::create_dir(&path).unwrap();
        text.push_str(&outcome(world, &mta, "alice@example.com"));
        golden(&mta, "local/forward", &text, &[]);
    });
}
