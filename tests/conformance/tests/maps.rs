//! Command lines of `postmap`, `postalias` and `postsuper`: combinations of options, keys taken from a message, and rule
//! tables, in many small steps.

use harness::{Mta, golden, isolated};
use std::fmt::Write as _;
use std::process::Command;

const COMMANDS: &str = include_str!("maps.commands");

const FILES: &[(&str, &str)] = &[
    ("etc/t", "a 1\nB 2\n\"q k\" 3\n"),
    ("etc/al", "a: 1\nB: 2\n\"q k\": 3\n"),
    ("etc/re", "/^Subject: (.*)/ got $1\n/^X-Body/ hdr\n/^body (.*)$/ text $1\n/mime/i m\n"),
    (
        "msg",
        "Subject: hello\nX-Body: 1\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\nbody one\n--b\nContent-Type: text/plain\n\nbody two\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody three\n--b--\nbody four\n",
    ),
    (
        "msg2",
        "Subject: folded\n\tline two\n three\nFrom: x\nno header here\nBody: looks like header\n\n\tx\n",
    ),
];

/// Runs one line by sh(1) in the directory of the test; what it says on both streams, and its status.
fn shell(mta: &Mta, dir: &std::path::Path, line: &str) -> String {
    let commands = mta.command("postmap").get_program().to_owned();
    let commands = std::path::Path::new(&commands).parent().unwrap().display().to_string();
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("exec 2>&1; {line}"))
        .current_dir(dir)
        .env("PATH", format!("{commands}:/usr/bin:/bin"))
        .env("MAIL_CONFIG", mta.config())
        .output()
        .unwrap();
    format!("{}= {}\n", String::from_utf8_lossy(&output.stdout), output.status.code().unwrap_or(-1))
}

#[test]
fn each_command_line_has_the_answer_of_the_reference() {
    isolated(|world| {
        let mta = world.mta("mail").main("maillog_file =").build();
        let dir = world.dir().join("work");
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        for (name, content) in FILES {
            std::fs::write(dir.join(name), content).unwrap();
        }
        std::fs::copy(mta.config().join("main.cf"), dir.join("etc/main.cf")).unwrap();
        std::fs::copy(mta.config().join("master.cf"), dir.join("etc/master.cf")).unwrap();
        let mut text = String::new();
        for line in COMMANDS.lines().filter(|line| !line.starts_with('#')) {
            let _ = writeln!(text, "$ {line}");
            text.push_str(&shell(&mta, &dir, line).replace(&dir.display().to_string(), "WORK"));
            for entry in std::fs::read_dir(dir.join("etc")).unwrap().flatten() {
                if entry.path().extension().is_some_and(|end| end == "db") {
                    std::fs::remove_file(entry.path()).unwrap();
                }
            }
        }
        if !world.root() {
            // Without a configuration, nobody can tell that this ordinary user is the mail owner.
            text = text.replace(
                "postsuper: fatal: use of this command is reserved for the superuser",
                "postsuper: fatal: open /nosuch/main.cf: No such file or directory",
            );
        }
        golden(&mta, "commands/maps", &harness::normal(&text), &[]);
    });
}

#[test]
fn an_update_that_is_killed_leaves_the_old_table_or_the_new_one() {
    isolated(|world| {
        let mta = world.mta("mail").build();
        if !mta.ours("postmap") {
            return harness::skip("the reference changes its files in place");
        }
        let path = world.dir().join("table");
        let lines = |round: usize| (0..500).map(|n| format!("key{n} {round}\n")).collect::<String>();
        std::fs::write(&path, lines(0)).unwrap();
        for kind in ["hash", "btree"] {
            let table = format!("{kind}:{}", path.display());
            assert_eq!(mta.run("postmap", &[&table]).code, 0);
            let mut before = 0;
            for round in 1..=30 {
                let mut child = mta
                    .command("postmap")
                    .args(["-i", "-r", &table])
                    .stdin(std::process::Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut input = child.stdin.take().unwrap();
                let _ = std::io::Write::write_all(&mut input, lines(round).as_bytes());
                drop(input);
                // Each time a little later in its life; in the end it has the time that it needs.
                std::thread::sleep(std::time::Duration::from_micros(700 * round as u64));
                let _ = child.kill();
                child.wait().unwrap();
                let run = mta.run("postmap", &["-s", &table]);
                assert_eq!((run.code, run.err.as_str()), (0, ""), "round {round}");
                let values: std::collections::HashSet<usize> =
                    run.out.lines().map(|line| line.split('\t').nth(1).unwrap().parse().unwrap()).collect();
                assert_eq!((run.out.lines().count(), values.len()), (500, 1), "round {round}: {values:?}");
                let now = values.into_iter().next().unwrap();
                assert!(now == before || now == round, "round {round}: {before} became {now}");
                before = now;
            }
        }
    });
}
