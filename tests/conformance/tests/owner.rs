//! Lists with an owner: who hears of failures (`owner_request_special`).

use harness::{Mta, World, golden, isolated, needs_root, normal_dsn, normal_log, until};
use std::fmt::Write as _;

const ALIASES: &str = "\
postmaster: $USER
sender: $USER
failing: \"|exit 69\"
owner-failing: boss
boss: $USER
twice: \"|exit 69\", \"|exit 67; :\"
owner-twice: boss
mixed: \"|exit 69\", nosuch, $USER
owner-mixed: boss
circle: round
round: circle
owner-circle: boss
nested: failing-inner
owner-nested: boss
failing-inner: \"|exit 69\"
full: /dev/full
owner-full: boss
busy: \"|exit 75\"
owner-busy: boss
unowned: \"|exit 69\"
looping: $USER
owner-looping: boss
far: \"|exit 69\"
owner-far: boss@elsewhere.example
around: circular
circular: around
owner-circular: boss
big: $DIR/big/mbox
owner-big: boss
unwritable: $DIR/nowhere/file.mbox
owner-unwritable: boss
owner-$USER: /dev/null
included: :include:$DIR/list
owner-included: boss
";

fn mta(world: &World, name: &str, main: &str) -> Mta {
    world
        .mta(name)
        .main("local_recipient_maps =\nmaximal_queue_lifetime = 0\nbounce_queue_lifetime = 0\ndefault_transport = error:5.0.0 far away\nsmtpd_relay_restrictions = permit_mynetworks, reject")
        .main(main)
        .aliases(&ALIASES.replace("$USER", &world.user()))
        .start()
}

/// All mail of `user`, in an order that does not depend on which came first.
fn mailbox(mta: &Mta, user: &str) -> String {
    let path = mta.mailbox(user);
    let list = if path.exists() { harness::mbox(&path) } else { Vec::new() };
    let mut list: Vec<String> =
        list.iter().map(|message| normal_dsn(message).replace(user, "alice") + "\n").collect();
    list.sort();
    list.concat()
}

/// Sends one message to `to`; the log lines about it, and what came of it in the mailbox of the owner and the sender.
fn outcome(world: &World, mta: &Mta, from: &str, to: &str, header: &str) -> String {
    let user = world.user();
    mta.send(from, &[to], &format!("{header}Subject: x\n\nbody\n"));
    mta.wait_empty();
    // The log comes later: the last line about a message says that it was removed.
    until("the log to be complete", || {
        let mut active: Vec<String> = mta
            .lines(&["(queue active)"])
            .iter()
            .filter_map(|line| Some(line.split("]: ").nth(1)?.split(": ").next()?.to_owned()))
            .collect();
        active.sort();
        active.dedup();
        (mta.lines(&[": removed"]).len() == active.len()).then_some(())
    });
    let mut lines: Vec<String> = ["status=", "notification", "warning:", ": from="]
        .iter()
        .flat_map(|part| mta.lines(&["postfix/", part]))
        .map(|line| normal_log(&line).replace(&user, "alice"))
        .filter(|line| !line.contains("clock") && !line.contains("time stamps"))
        .collect();
    lines.sort();
    let mut text = lines.join("\n") + "\n";
    text.push_str(&mailbox(mta, &user));
    text
}

#[test]
fn failures_below_a_list_with_an_owner_go_to_the_owner() {
    let cases = [
        ("failing", "", "sender", "failing", ""),
        ("unowned", "", "sender", "unowned", ""),
        ("twice", "", "sender", "twice", ""),
        ("mixed", "", "sender", "mixed", ""),
        ("circle", "", "sender", "circle", ""),
        ("nested", "", "sender", "nested", ""),
        ("full", "", "sender", "full", ""),
        ("busy", "", "sender", "busy", ""),
        ("looping", "", "sender", "looping", "Delivered-To: looping@example.com\n"),
        ("far", "", "sender", "far", ""),
        ("null", "", "", "failing", ""),
        ("extension", "recipient_delimiter = +", "sender", "failing+ext", ""),
        ("expanded", "expand_owner_alias = yes", "sender", "failing", ""),
        ("plain", "owner_request_special = no", "sender", "failing", ""),
        ("soft", "soft_bounce = yes", "sender", "failing", ""),
        ("restricted", "allow_mail_to_commands = forward", "sender", "failing", ""),
        ("copy", "notify_classes = bounce", "sender", "failing", ""),
        ("owner-itself", "", "sender", "owner-failing", ""),
    ];
    isolated(move |world| {
        let mut text = String::new();
        let mut last = None;
        for (name, main, from, to, header) in cases {
            let mta = mta(world, name, main);
            let from = if from.is_empty() { String::new() } else { format!("{from}@example.com") };
            let _ = writeln!(
                text,
                "== {name}\n{}",
                outcome(world, &mta, &from, &format!("{to}@example.com"), header)
            );
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "owner/failures", &text, &[]);
    });
}

#[test]
fn the_envelope_of_a_list_with_an_owner_is_its_own() {
    isolated(|world| {
        let user = world.user();
        let mut text = String::new();
        let mut last = None;
        for (name, to, header) in [
            ("failing", "failing", ""),
            ("looping", "looping", "Delivered-To: looping@example.com\n"),
            ("mixed", "mixed", ""),
        ] {
            let mta = mta(world, name, "");
            let mut client = mta.ehlo();
            for line in [
                "MAIL FROM:<sender@example.com> RET=HDRS ENVID=abc",
                &format!("RCPT TO:<{to}@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@x.example"),
            ] {
                assert!(client.cmd(line).starts_with("250"), "{line}");
            }
            client.cmd("DATA");
            client.content(&format!("{header}Subject: x\n\nbody\n"));
            mta.wait_empty();
            let _ = writeln!(text, "== {name}");
            text.push_str(&mailbox(&mta, &user));
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "owner/envelope", &text, &[]);
    });
}

#[test]
fn other_failures_below_a_list() {
    let cases = [
        ("around", "", "around"),
        ("big", "mailbox_size_limit = 51200\nmessage_size_limit = 10240\ndefault_privs = nobody", "big"),
        ("unwritable", "", "unwritable"),
        ("included", "allow_mail_to_commands = alias, forward, include", "included"),
    ];
    isolated(move |world| {
        let big = world.file("big/mbox", &"x\n".repeat(30_000));
        std::fs::set_permissions(&big, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        // anybody may make a dot lock
        let directory = big.parent().unwrap();
        std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        world.file("list", "\"|exit 69\"\n");
        let mut text = String::new();
        let mut last = None;
        for (name, main, to) in cases {
            let mta = mta(world, name, main);
            let _ = writeln!(
                text,
                "== {name}\n{}",
                outcome(world, &mta, "sender@example.com", &format!("{to}@example.com"), "")
            );
            last = Some(mta);
        }
        golden(last.as_ref().unwrap(), "owner/others", &text, &[]);
    });
}

#[test]
fn failures_of_a_forward_file_go_to_the_owner_of_the_user() {
    if needs_root("a .forward file in a home directory") {
        return;
    }
    isolated(|world| {
        let user = world.user();
        world.file_of(&user, &world.home(&user).join(".forward"), "\"|exit 69\"\n");
        let mta = mta(world, "mail", "");
        let text = outcome(world, &mta, "x@elsewhere.example", &format!("{user}@example.com"), "");
        golden(&mta, "owner/forward", &text, &[]);
    });
}

#[test]
fn alias_loops_are_told_by_the_second_alias() {
    isolated(|world| {
        let mta = world
            .mta("mail")
            .main("local_recipient_maps =\ndefault_transport = error:5.0.0 far away\nsmtpd_relay_restrictions = permit_mynetworks, reject")
            .aliases("a1: b1\nb1: c1\nc1: a1\na2: b2\nb2: a2\na3: a3, b3\nb3: c3\nc3: d3\nd3: e3\ne3: b3\n")
            .start();
        let mut text = String::new();
        for to in ["a1", "b1", "a2", "a3", "e3"] {
            let id = mta.send("x@elsewhere.example", &[&format!("{to}@example.com")], "Subject: x\n\nbody\n");
            mta.wait_removed(&id);
            for line in mta.lines(&[&format!("{id}: to=")]) {
                let _ = writeln!(text, "{}", normal_log(&line));
            }
        }
        golden(&mta, "owner/loops", &text, &[]);
    });
}
