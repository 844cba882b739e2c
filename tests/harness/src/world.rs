//! The world of one test: a directory of its own and, as root, a network and a passwd file of its own.

use crate::Builder;
use crate::dns::DnsServer;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Users that exist in the world of a test that runs as root, with their homes below [`World::dir`].
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const FIRST_UID: u32 = 40001;
/// Bytes of the path of a test's directory. The names of sockets below it must have less than 108.
const PATH_LENGTH: usize = 44;

/// What a test has for itself.
pub struct World {
    dir: PathBuf,
    root: bool,
}

/// Runs a test in a world of its own. As root this is a network namespace (loopback only) and a mount namespace
/// whose `/etc/passwd` has the users alice, bob and carol; names resolve by `/etc/hosts` only.
pub fn isolated(test: impl FnOnce(&World) + Send + 'static) {
    run(None, test);
}

/// Like [`isolated`], with a DNS server for `zone` at 127.0.0.1. Skipped when not root.
pub fn isolated_dns(zone: &str, test: impl FnOnce(&World) + Send + 'static) {
    if !crate::needs_root("port 53, and a resolv.conf of its own") {
        run(Some(zone.to_owned()), test);
    }
}

/// Tests that share a process have many sockets open.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn run(zone: Option<String>, test: impl FnOnce(&World) + Send + 'static) {
    raise_descriptor_limit();
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        if crate::Target::current().needs_reference() && crate::needs_reference("as MTA_UNDER_TEST says") {
            return;
        }
        let root = nix::unistd::Uid::effective().is_root();
        let Some(ip) = (if root { crate::needs_program(&["ip"]) } else { Some(PathBuf::new()) }) else {
            return;
        };
        let world = World::new(root);
        if root {
            if let Err(error) = enter_namespaces() {
                crate::skip(&format!("root may not make a network and a mount namespace here: {error}"));
                return;
            }
            world.furnish(&ip);
        }
        if let Some(zone) = zone {
            DnsServer::start("127.0.0.1:53", &zone);
        }
        test(&world);
    });
    if let Err(panic) = thread.expect("start the thread of the test").join() {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    fn new(root: bool) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = temporary();
        // Of the same length in each run: texts with a path in them are folded by their length.
        let digits = PATH_LENGTH.saturating_sub(dir.as_os_str().len() + "/postino--000".len());
        let dir = dir.join(format!("postino-{:0digits$}-{number:03}", std::process::id()));
        std::fs::create_dir(&dir).expect("create the directory of the test");
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        Self { dir, root }
    }

    /// The directory of the test, removed at its end; anybody may traverse it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the test runs as root.
    pub fn root(&self) -> bool {
        self.root
    }

    /// A local user whose mail can be delivered: alice, or whoever runs the test.
    pub fn user(&self) -> String {
        if self.root { USERS[0].to_owned() } else { current_user() }
    }

    /// `text` as it would be if root ran the test, with alice as the user whose mail is delivered.
    pub fn as_root(&self, text: &str) -> String {
        if self.root {
            return text.to_owned();
        }
        let (user, uid) = (current_user(), nix::unistd::Uid::effective());
        text.replace(&format!("{user}({uid})"), "root(0)")
            .replace(&format!("userid {uid}"), "userid 0")
            .replace(&user, USERS[0])
    }

    /// The home of one of the users alice, bob, carol.
    pub fn home(&self, user: &str) -> PathBuf {
        self.dir.join("home").join(user)
    }

    /// The uid of one of the users alice, bob, carol.
    pub fn uid(&self, user: &str) -> u32 {
        let at = USERS.iter().position(|name| *name == user).expect("a user of the world");
        FIRST_UID + u32::try_from(at).unwrap_or(0)
    }

    /// Writes a file below the directory of the test, creating directories; returns its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("create directory");
        std::fs::write(&path, content).expect("write file");
        path
    }

    /// Writes an executable shell script; returns its path.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(name, &format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    /// Writes a file that belongs to one of the users (as root; else to whoever runs the test).
    pub fn file_of(&self, user: &str, path: &Path, content: &str) {
        std::fs::write(path, content).expect("write file");
        if self.root {
            std::os::unix::fs::chown(path, Some(self.uid(user)), Some(self.uid(user))).expect("chown");
        }
    }

    /// Begins a new instance, called `name` below the directory of the test.
    pub fn mta(&self, name: &str) -> Builder {
        Builder::new(self, name)
    }

    /// Like [`Self::mta`], after removing an earlier instance of that name (which must be stopped).
    pub fn mta_again(&self, name: &str) -> Builder {
        let _ = std::fs::remove_dir_all(self.dir.join(name));
        self.mta(name)
    }

    /// Gives the namespaces a network, users and name resolution.
    fn furnish(&self, ip: &Path) {
        let up = Command::new(ip).args(["link", "set", "lo", "up"]).status().expect("run ip(8)");
        assert!(up.success(), "ip link set lo up failed");
        self.bind_users();
        let resolv = self.file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        bind(&resolv, "/etc/resolv.conf");
        let hosts = self.file("hosts", "127.0.0.1 localhost\n");
        bind(&hosts, "/etc/hosts");
        self.bind_config();
    }

    fn bind_users(&self) {
        let mut passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let mut group = std::fs::read_to_string("/etc/group").expect("/etc/group");
        for user in USERS {
            let (home, uid) = (self.home(user), self.uid(user));
            std::fs::create_dir_all(&home).expect("create home");
            std::os::unix::fs::chown(&home, Some(uid), Some(uid)).expect("chown home");
            passwd.push_str(&format!("{user}:x:{uid}:{uid}:{user} Example:{}:/bin/sh\n", home.display()));
            group.push_str(&format!("{user}:x:{uid}:\n"));
        }
        add_accounts(&mut passwd, &mut group);
        bind(&self.file("passwd", &passwd), "/etc/passwd");
        bind(&self.file("group", &group), "/etc/group");
    }

    /// An `/etc/postfix` that lets set-gid commands use the instances of this world.
    fn bind_config(&self) {
        let own = self.dir.join("etc-postfix");
        std::fs::create_dir(&own).expect("create directory");
        if !Path::new("/etc/postfix").is_dir() {
            return;
        }
        let copied = Command::new("cp").args(["-a", "/etc/postfix/."]).arg(&own).status().expect("run cp(1)");
        assert!(copied.success(), "copy of /etc/postfix failed");
        let names: Vec<String> =
            ["mail", "first", "second"].map(|name| format!("{}/{name}/etc", self.dir.display())).to_vec();
        let text =
            format!("compatibility_level = 3.6\nalternate_config_directories = {}\n", names.join(", "));
        std::fs::write(own.join("main.cf"), text).expect("write main.cf");
        bind(&own, "/etc/postfix");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::env::var_os("HARNESS_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// The user `postfix` and the group `postdrop`, on a machine where the reference was never installed.
fn add_accounts(passwd: &mut String, group: &mut String) {
    let has = |text: &str, name: &str| text.lines().any(|line| line.split(':').next() == Some(name));
    let (owner, submit) = (FIRST_UID - 1, FIRST_UID - 2);
    if !has(passwd, "postfix") {
        passwd.push_str(&format!("postfix:x:{owner}:{owner}::/var/spool/postfix:/usr/sbin/nologin\n"));
        group.push_str(&format!("postfix:x:{owner}:\n"));
    }
    if !has(group, "postdrop") {
        group.push_str(&format!("postdrop:x:{submit}:\n"));
    }
}

fn enter_namespaces() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}

/// Where tests make their directories: `HARNESS_DIR`, else /tmp. Anybody must be able to traverse it.
pub fn temporary() -> PathBuf {
    std::env::var_os("HARNESS_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// The source tree: `HARNESS_SOURCE`, else where the harness was built.
pub fn source() -> PathBuf {
    match std::env::var_os("HARNESS_SOURCE") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
    }
}

fn bind(from: &Path, to: &str) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("bind {} at {to}: {error}", from.display()));
}

pub(crate) fn current_user() -> String {
    match nix::unistd::User::from_uid(nix::unistd::Uid::effective()) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => panic!("whoever runs the tests has no name"),
    }
}

/// A loopback port that no other test of this machine uses: its number is held by an abstract socket until the
/// process ends, and it lies below the range of ephemeral ports.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<std::os::unix::net::UnixListener>> = Mutex::new(Vec::new());
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let start = std::process::id() as usize * 37;
    for _ in 0..20_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from((start + step) % 20_000).unwrap_or(0);
        let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("postino-test-port-{port}"));
        let Ok(guard) = std::os::unix::net::UnixListener::bind_addr(&name.expect("abstract name")) else {
            continue;
        };
        if TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok() {
            HELD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(guard);
            return port;
        }
    }
    panic!("no free port");
}
