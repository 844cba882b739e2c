//! With whose rights mailbox files are made and written.

use harness::{Mta, golden, isolated, needs_root, normal_log, skip};
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

/// The log lines about one message to `to`.
fn deliver(mta: &Mta, to: &str, text: &str) -> String {
    let before = mta.lines(&["warning:"]).len();
    let id = mta.send("sender@example.org", &[to], text);
    let line = mta.wait(&[&format!(" {id}: to=")]);
    let mut lines: Vec<String> = mta.lines(&["warning:"]).split_off(before);
    lines.push(line);
    lines.iter().map(|line| normal_log(line) + "\n").collect()
}

fn shown(path: &Path) -> String {
    std::fs::metadata(path).map_or_else(
        |_| "nothing".to_owned(),
        |found| {
            let gid = if found.gid() == found.uid() { "own".to_owned() } else { found.gid().to_string() };
            format!("uid={} gid={gid} {:o}", found.uid(), found.mode() & 0o7777)
        },
    )
}

/// A file system of 4 MB at `path`, half of it for root only. `false`: there is no such thing here.
fn mount_small(image: &Path, path: &Path) -> bool {
    let run = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    let (image, path) = (image.display().to_string(), path.display().to_string());
    let made = std::fs::File::create(&image).and_then(|file| file.set_len(4 << 20)).is_ok();
    made && run("mke2fs", &["-q", "-F", "-m", "50", "-t", "ext2", &image])
        && run("mount", &["-o", "loop", &image, &path])
}

#[test]
fn a_mailbox_is_written_as_its_user() {
    if needs_root("delivery as other users") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").build();
        let spool = mta.mailbox("");
        if !mount_small(&world.dir().join("image"), &spool) {
            return skip("no loop device for a small file system");
        }
        mta.start();
        std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut text = deliver(&mta, "alice@example.com", "Subject: small\n\nbody\n");
        let big = format!("Subject: big\n\n{}", format!("{}\n", "x".repeat(99)).repeat(28_000));
        text.push_str(&deliver(&mta, "alice@example.com", &big));
        let _ =
            writeln!(text, "{} {}", shown(&spool.join("alice")), harness::mbox(&spool.join("alice")).len());
        mta.stop();
        let _ = Command::new("umount").arg(&spool).status();
        golden(&mta, "mailboxes/quota", &text, &[]);
    });
}

#[test]
fn rights_of_the_spool_directory() {
    if needs_root("delivery as other users") {
        return;
    }
    isolated(|world| {
        let mta = world.mta("mail").main("strict_mailbox_ownership = yes\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h").start();
        let spool = mta.mailbox("");
        let mut text = String::new();
        let (alice, bob) = (world.uid("alice"), world.uid("bob"));
        for (mode, gid) in [(0o755, 0), (0o775, 8), (0o1777, 0), (0o775, bob), (0o700, 0)] {
            std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(mode)).unwrap();
            chown(&spool, Some(0), Some(gid)).unwrap();
            for owner in [None, Some(alice), Some(bob), Some(0)] {
                let path = spool.join("alice");
                let _ = std::fs::remove_file(&path);
                if let Some(owner) = owner {
                    std::fs::write(&path, "").unwrap();
                    chown(&path, Some(owner), Some(owner)).unwrap();
                }
                let _ = writeln!(text, "== {mode:o} gid={gid} owner={owner:?}");
                text.push_str(&deliver(&mta, "alice@example.com", "Subject: x\n\nbody\n"));
                let _ = writeln!(text, "{} lock={}", shown(&path), spool.join("alice.lock").exists());
            }
        }
        golden(&mta, "mailboxes/spool", &text, &[]);
    });
}

#[test]
fn virtual_mailboxes_in_a_directory_of_root() {
    if needs_root("delivery as other users") {
        return;
    }
    isolated(|world| {
        let base = world.dir().join("virtual");
        std::fs::create_dir(&base).unwrap();
        let uid = world.uid("alice");
        let mta = world
            .mta("mail")
            .main(&format!("virtual_mailbox_domains = v.example\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\nvirtual_mailbox_base = $DIR/virtual\nvirtual_mailbox_maps = inline:{{u@v.example=u}}\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{uid}"))
            .start();
        let mut text = String::new();
        for mode in [0o755, 0o777] {
            std::fs::set_permissions(&base, std::fs::Permissions::from_mode(mode)).unwrap();
            for (owner, rights) in [(None, 0), (Some(uid), 0o600), (Some(0), 0o600), (Some(0), 0o666)] {
                let path = base.join("u");
                let _ = std::fs::remove_file(&path);
                if let Some(owner) = owner {
                    std::fs::write(&path, "").unwrap();
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(rights)).unwrap();
                    chown(&path, Some(owner), Some(owner)).unwrap();
                }
                let _ = writeln!(text, "== {mode:o} owner={owner:?}");
                text.push_str(&deliver(&mta, "u@v.example", "Subject: x\n\nbody\n"));
                let _ = writeln!(text, "{} lock={}", shown(&path), base.join("u.lock").exists());
            }
        }
        golden(&mta, "mailboxes/virtual", &text, &[]);
    });
}
