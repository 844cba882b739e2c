//! `./install system --root DIR`: the layout, its modes and owners.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Group, User};

use crate::place::{Place, is_root};

const DAEMONS: &[&str] = &[
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "error",
    "flush",
    "lmtp",
    "local",
    "master",
    "pickup",
    "pipe",
    "postlogd",
    "proxymap",
    "qmgr",
    "showq",
    "smtp",
    "smtpd",
    "trivial-rewrite",
    "verify",
    "virtual",
];
const COMMANDS: &[&str] = &[
    "postalias",
    "postcat",
    "postconf",
    "postfix",
    "postkick",
    "postlock",
    "postmap",
    "postsuper",
    "sendmail",
];
/// Path, mode, user, group (postconf(5) queue_directory, data_directory, mail_owner, setgid_group).
const SPECIAL: &[(&str, u32, &str, &str)] = &[
    ("usr/sbin/postdrop", 0o102_755, "root", "postdrop"),
    ("usr/sbin/postlog", 0o102_755, "root", "postdrop"),
    ("usr/sbin/postqueue", 0o102_755, "root", "postdrop"),
    ("etc/postfix", 0o40_755, "root", "root"),
    ("etc/postfix/main.cf", 0o100_644, "root", "root"),
    ("etc/postfix/master.cf", 0o100_644, "root", "root"),
    ("etc/postfix/postfix-files", 0o100_644, "root", "root"),
    ("usr/share/man/man8/qmgr.8", 0o100_644, "root", "root"),
    ("usr/share/man/man1/mailq.1", 0o100_644, "root", "root"),
    ("usr/share/man/man5/master.5", 0o100_644, "root", "root"),
    ("var/spool/postfix", 0o40_755, "root", "root"),
    ("var/spool/postfix/pid", 0o40_755, "root", "root"),
    ("var/spool/postfix/maildrop", 0o40_730, "postfix", "postdrop"),
    ("var/spool/postfix/public", 0o40_710, "postfix", "postdrop"),
    ("var/lib/postfix", 0o40_700, "postfix", "postfix"),
];
const PRIVATE_QUEUES: &[&str] = &[
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
    "trace",
];

/// The account files of the new root, with numbers of their own.
const PASSWD: &str = "root:x:0:0::/root:/bin/sh\npostfix:x:4711:4712::/:/bin/false\n";
const GROUP: &str = "root:x:0:\npostfix:x:4712:\npostdrop:x:4713:\n";

fn number(name: &str) -> (u32, u32) {
    match name {
        "root" => (0, 0),
        "postfix" => (4711, 4712),
        _ => (0, 4713),
    }
}

fn new_root(place: &Place) -> String {
    let root = place.path("root");
    let etc = Path::new(&root).join("etc");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("passwd"), PASSWD).unwrap();
    fs::write(etc.join("group"), GROUP).unwrap();
    let (user, group) = place.ids();
    for path in [Path::new(&root), &etc] {
        std::os::unix::fs::chown(path, Some(user.as_raw()), Some(group.as_raw())).unwrap();
    }
    root
}

fn assert_is(root: &str, path: &str, mode: u32, owner: (u32, u32)) {
    let metadata = fs::symlink_metadata(Path::new(root).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(metadata.mode(), mode, "mode of {path}: {:o}", metadata.mode());
    assert_eq!((metadata.uid(), metadata.gid()), owner, "owner of {path}");
}

fn assert_programs(root: &str, owner: (u32, u32)) {
    for name in DAEMONS {
        assert_is(root, &format!("usr/libexec/postfix/{name}"), 0o100_755, owner);
    }
    for name in COMMANDS {
        assert_is(root, &format!("usr/sbin/{name}"), 0o100_755, owner);
    }
    for link in ["usr/bin/mailq", "usr/bin/newaliases", "usr/lib/sendmail"] {
        let to = fs::read_link(Path::new(root).join(link)).unwrap();
        assert_eq!(to, Path::new("../sbin/sendmail"), "{link}");
    }
}

#[test]
fn root_lays_out_owners_modes_and_set_gid_bits() {
    if harness::needs_root("owners and set-gid bits") {
        return;
    }
    let Some(place) = Place::new() else { return };
    let root = new_root(&place);
    let said = place.install(&["system", "--root", &root]);
    assert!(said.ok && said.err.is_empty(), "{said:?}");
    assert_programs(&root, (0, 0));
    for (path, mode, user, group) in SPECIAL {
        assert_is(&root, path, *mode, (number(user).0, number(group).1));
    }
    for name in PRIVATE_QUEUES {
        assert_is(&root, &format!("var/spool/postfix/{name}"), 0o40_700, (4711, 0));
    }
}

#[test]
fn without_the_users_nothing_is_set_gid() {
    if harness::needs_root("owners and set-gid bits") {
        return;
    }
    let Some(place) = Place::new() else { return };
    let root = new_root(&place);
    fs::write(Path::new(&root).join("etc/group"), "root:x:0:\n").unwrap();
    let said = place.install(&["system", "--root", &root]);
    assert!(said.ok && said.err.contains("no group postdrop"), "{said:?}");
    assert_is(&root, "usr/sbin/postdrop", 0o100_755, (0, 0));
    assert_is(&root, "usr/sbin/postqueue", 0o100_755, (0, 0));
}

#[test]
fn an_ordinary_user_gets_everything_as_his_own() {
    let Some(place) = Place::rootless() else { return };
    let root = new_root(&place);
    let said = place.install(&["system", "--root", &root]);
    assert!(said.ok && said.err.contains("postfix set-permissions"), "{said:?}");
    let (user, group) = place.ids();
    let owner = (user.as_raw(), group.as_raw());
    assert_programs(&root, owner);
    assert_is(&root, "usr/sbin/postdrop", 0o100_755, owner);
    assert_is(&root, "var/spool/postfix/maildrop", 0o40_730, owner);
    let said = place.install(&["system"]);
    assert!(!said.ok && said.err.contains("needs root"), "{said:?}");
}

#[test]
fn an_existing_configuration_stays_and_its_paths_count() {
    let Some(place) = Place::new() else { return };
    let root = new_root(&place);
    let etc = Path::new(&root).join("etc/postfix");
    fs::create_dir(&etc).unwrap();
    let main =
        "# mine\ncompatibility_level = 3.6\ndaemon_directory = /opt/mail/daemons\nmail_owner = postfix\n";
    fs::write(etc.join("main.cf"), main).unwrap();
    fs::write(etc.join("master.cf"), "# mine too\n").unwrap();
    for _ in 0..2 {
        let said = place.install(&["system", "--root", &root, "queue_directory=/opt/spool"]);
        assert!(said.ok, "{said:?}");
        assert_eq!(fs::read_to_string(etc.join("main.cf")).unwrap(), main);
        assert_eq!(fs::read_to_string(etc.join("master.cf")).unwrap(), "# mine too\n");
    }
    for path in ["opt/mail/daemons/master", "opt/spool/maildrop", "etc/postfix/main.cf.example"] {
        assert!(Path::new(&root).join(path).exists(), "{path}");
    }
    assert!(!Path::new(&root).join("usr/libexec").exists());
}

#[test]
fn a_new_main_cf_says_where_things_are() {
    let Some(place) = Place::new() else { return };
    let root = new_root(&place);
    let said =
        place.install(&["system", "--root", &root, "daemon_directory=/opt/d", "mailq_path=/opt/bin/mailq"]);
    assert!(said.ok, "{said:?}");
    let main = fs::read_to_string(Path::new(&root).join("etc/postfix/main.cf")).unwrap();
    for line in
        ["daemon_directory = /opt/d", "mailq_path = /opt/bin/mailq", "queue_directory = /var/spool/postfix"]
    {
        assert!(main.lines().any(|one| one == line), "{line}: {main}");
    }
    assert_eq!(
        fs::read_link(Path::new(&root).join("opt/bin/mailq")).unwrap(),
        Path::new("../../usr/sbin/sendmail")
    );
}

#[test]
fn the_users_of_the_machine_count_when_the_root_has_none() {
    if !is_root()
        || User::from_name("postfix").unwrap().is_none()
        || Group::from_name("postdrop").unwrap().is_none()
    {
        harness::skip("needs root, and the accounts postfix and postdrop");
        return;
    }
    let Some(place) = Place::new() else { return };
    let root = place.path("bare");
    let said = place.install(&["system", "--root", &root]);
    assert!(said.ok && said.err.is_empty(), "{said:?}");
    let owner = User::from_name("postfix").unwrap().unwrap().uid.as_raw();
    let group = Group::from_name("postdrop").unwrap().unwrap().gid.as_raw();
    assert_is(&root, "var/spool/postfix/maildrop", 0o40_730, (owner, group));
    assert_is(&root, "usr/sbin/postdrop", 0o102_755, (0, group));
}
