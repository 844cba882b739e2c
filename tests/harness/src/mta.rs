//! One instance of the mail system.

use crate::layout::Layout;
use crate::target::Target;
use crate::world::{World, current_user, free_port};
use crate::{Client, procs, spool, until};
use nix::sys::signal::Signal;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Seconds after which a master that a killed test left behind exits by itself.
const MASTER_EXIT_SECONDS: &str = "900";

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Exit status; 128 + signal when killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// An instance that is being configured.
pub struct Builder {
    layout: Layout,
    world_dir: PathBuf,
    root: bool,
    target: Target,
    main: String,
    master: String,
    aliases: String,
    port: u16,
}

impl Builder {
    pub(crate) fn new(world: &World, name: &str) -> Self {
        let layout = Layout::new(&world.dir().join(name));
        let target = Target::current();
        layout.create(world.root());
        layout.link(&target, world.root());
        Self {
            layout,
            world_dir: world.dir().to_owned(),
            root: world.root(),
            target,
            main: String::new(),
            master: String::new(),
            aliases: String::new(),
            port: free_port(),
        }
    }

    /// Uses another target than the environment names.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        for dir in [&self.layout.daemons, &self.layout.commands] {
            std::fs::remove_dir_all(dir).expect("remove directory");
            std::fs::create_dir(dir).expect("create directory");
        }
        self.layout.link(&target, self.root);
        self.target = target;
        self
    }

    /// Uses the spool and mailboxes of a stopped instance.
    #[must_use]
    pub fn spool_of(mut self, other: &Mta) -> Self {
        self.layout.queue.clone_from(&other.layout.queue);
        self.layout.mail.clone_from(&other.layout.mail);
        self
    }

    /// Adds lines to main.cf. `$CONFIG` stands for the configuration directory, `$DIR` for the test's.
    #[must_use]
    pub fn main(mut self, lines: &str) -> Self {
        let lines = self.substitute(lines);
        self.main.push_str(&lines);
        self.main.push('\n');
        self
    }

    /// Adds lines to master.cf; an entry replaces the one of the same name and type.
    #[must_use]
    pub fn master(mut self, lines: &str) -> Self {
        let lines = self.substitute(lines);
        self.master.push_str(&lines);
        self.master.push('\n');
        self
    }

    /// Adds lines to the alias file.
    #[must_use]
    pub fn aliases(mut self, lines: &str) -> Self {
        let lines = self.substitute(lines);
        self.aliases.push_str(&lines);
        self.aliases.push('\n');
        self
    }

    /// Writes the table `name` into the configuration directory and indexes it when its type is an indexed one.
    #[must_use]
    pub fn table(self, kind: &str, name: &str, content: &str) -> Self {
        let path = self.layout.config.join(name);
        let content = self.substitute(content);
        std::fs::write(&path, content).expect("write table");
        if matches!(kind, "hash" | "btree" | "lmdb" | "cdb") {
            self.write_config();
            let run = run(self.command("postmap").arg(format!("{kind}:{}", path.display())), "");
            assert_eq!((run.code, run.err.as_str()), (0, ""), "postmap {kind}:{name}");
        }
        self
    }

    /// Writes the configuration and starts the instance.
    pub fn start(self) -> Mta {
        let mta = self.build();
        mta.start();
        mta
    }

    /// Writes the configuration without starting anything.
    pub fn build(self) -> Mta {
        std::fs::write(self.layout.config.join("aliases"), &self.aliases).expect("write aliases");
        self.write_config();
        let aliases = format!("hash:{}", self.layout.config.join("aliases").display());
        let indexed = run(self.command("postalias").arg(aliases), "");
        assert_eq!(indexed.code, 0, "postalias: {}", indexed.err);
        Mta { layout: self.layout, target: self.target, port: self.port }
    }

    fn substitute(&self, text: &str) -> String {
        text.replace("$CONFIG", &self.layout.config.display().to_string())
            .replace("$DIR", &self.world_dir.display().to_string())
    }

    fn command(&self, name: &str) -> Command {
        command(&self.layout, name)
    }

    fn write_config(&self) {
        write_aged(&self.layout.config.join("main.cf"), &self.main_cf());
        write_aged(&self.layout.config.join("master.cf"), &self.master_cf());
    }

    fn main_cf(&self) -> String {
        let at = |path: &Path| path.display().to_string();
        let l = &self.layout;
        let mut text = String::from("compatibility_level = 3.6\n");
        let mut set = |name: &str, value: &str| {
            let _ = writeln!(text, "{name} = {value}");
        };
        set("queue_directory", &at(&l.queue));
        set("data_directory", &at(&l.data));
        set("daemon_directory", &at(&l.daemons));
        set("command_directory", &at(&l.commands));
        set("sendmail_path", &at(&l.commands.join("sendmail")));
        set("maillog_file", &at(&l.log));
        set("maillog_file_prefixes", &at(&self.world_dir));
        if self.root {
            set("mail_owner", "postfix");
            set("setgid_group", "postdrop");
            set("default_privs", "nobody");
        } else {
            let group = nix::unistd::Group::from_gid(nix::unistd::Gid::effective()).ok().flatten();
            set("mail_owner", &current_user());
            set("setgid_group", &group.map_or_else(String::new, |group| group.name));
            set("default_privs", &current_user());
        }
        set("mail_spool_directory", &at(&l.mail));
        set("alias_maps", &format!("hash:{}", at(&l.config.join("aliases"))));
        set("alias_database", "$alias_maps");
        if matches!(self.target, Target::Chimera(_) | Target::Reverse(_)) {
            text.push_str("postino_ipc_dialect = 3.7\n");
        }
        text.push_str(DEFAULTS);
        if !self.root && !self.main.contains("default_transport") {
            // Without a network of its own, an instance stays away from the real one: as under root, nobody answers.
            text.push_str("relayhost = [127.0.0.1]:1\n");
        }
        text.push_str(&self.main);
        last_wins(&text)
    }

    fn master_cf(&self) -> String {
        let text = format!("127.0.0.1:{} inet n - n - - smtpd\n{SERVICES}{}", self.port, self.master);
        let mut entries: Vec<(String, String)> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, entry)) = entries.last_mut() {
                    let _ = write!(entry, "\n{line}");
                }
                continue;
            }
            let key: String = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            entries.retain(|(name, _)| *name != key);
            entries.push((key, line.to_owned()));
        }
        entries.iter().map(|(_, entry)| format!("{entry}\n")).collect()
    }
}

/// Writes a file that looks old: readers of a main.cf that was changed just now wait until it is two seconds old.
pub fn write_aged(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).expect("create file");
    file.write_all(text.as_bytes()).expect("write file");
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(10)).expect("set time");
}

/// Keeps the last setting of each parameter, so that a test may override the defaults without a warning.
fn last_wins(text: &str) -> String {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t'])
            && let Some((_, entry)) = entries.last_mut()
        {
            let _ = write!(entry, "\n{line}");
            continue;
        }
        let key = line.split('=').next().unwrap_or(line).trim().to_owned();
        entries.retain(|(name, _)| *name != key);
        entries.push((key, line.to_owned()));
    }
    entries.iter().map(|(_, entry)| format!("{entry}\n")).collect()
}

/// Settings that make an instance small, quick and independent of the host.
const DEFAULTS: &str = "\
myhostname = mail.example.com
mydomain = example.com
myorigin = $mydomain
mydestination = $myhostname, $mydomain, localhost.$mydomain, localhost
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
in_flow_delay = 0
smtpd_error_sleep_time = 0
smtpd_timeout = 30
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
smtp_connect_timeout = 10
relayhost =
";

const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// An instance: running, stopped, or not started yet. It stops when dropped, and shows its log if the test failed.
pub struct Mta {
    layout: Layout,
    target: Target,
    port: u16,
}

impl Mta {
    /// Starts the master and waits until it is ready.
    pub fn start(&self) {
        let master = self.layout.daemons.join("master");
        let mut command = Command::new(master);
        command.arg("-c").arg(&self.layout.config).args(["-w", "-e", MASTER_EXIT_SECONDS]);
        clean(&mut command, &self.layout);
        let run = run(&mut command, "");
        assert_eq!(run.code, 0, "master did not start: {}\n{}", run.err, self.log());
    }

    /// Stops the master, and with it all daemons, by SIGTERM, and waits until they are gone.
    pub fn stop(&self) {
        if let Some(pid) = self.master_pid() {
            procs::signal(pid, Signal::SIGTERM);
            until("master to stop", || (!procs::alive(pid)).then_some(()));
            self.end_group(pid);
        }
    }

    /// Kills the master and all daemons at once, as a power failure would end them.
    pub fn kill_all(&self) {
        if let Some(pid) = self.master_pid() {
            self.end_group(pid);
            // A daemon in the middle of an fsync dies, and lets go of its sockets, only at its end; one that master has
            // just forked is in no list of its children yet.
            until("all processes to die", || {
                (!procs::group(pid).into_iter().any(procs::alive)).then_some(())
            });
        }
    }

    fn end_group(&self, master: i32) {
        procs::signal(-master, Signal::SIGKILL);
    }

    /// Kills (-9) the running children of master that are called `daemon`; how many there were.
    pub fn kill(&self, daemon: &str) -> usize {
        let found = self.pids(daemon);
        for &pid in &found {
            procs::signal(pid, Signal::SIGKILL);
        }
        found.len()
    }

    /// The running children of master that are called `daemon` (all, when it is empty).
    pub fn pids(&self, daemon: &str) -> Vec<i32> {
        self.master_pid().map(|pid| procs::children(pid, daemon)).unwrap_or_default()
    }

    /// The process ID of the running master.
    pub fn master_pid(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.layout.queue.join("pid/master.pid")).ok()?;
        let pid = text.trim().parse().ok()?;
        procs::alive(pid).then_some(pid)
    }

    /// Sends the master `SIGHUP` and waits for its log line.
    pub fn reload(&self) {
        let before = self.log().matches(": reload -- version").count();
        procs::signal(self.master_pid().expect("running master"), Signal::SIGHUP);
        until("reload", || (self.log().matches(": reload -- version").count() > before).then_some(()));
    }

    /// Where SMTP is spoken.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A new SMTP connection.
    pub fn smtp(&self) -> Client {
        Client::connect(self.address())
    }

    /// A new SMTP connection after the greeting and an EHLO.
    pub fn ehlo(&self) -> Client {
        let mut client = self.smtp();
        let banner = client.banner();
        assert!(banner.starts_with("220 "), "{banner}");
        let reply = client.cmd("EHLO client.example.org");
        assert!(reply.starts_with("250"), "{reply}");
        client
    }

    /// Submits one message over SMTP; panics unless it is accepted. Returns its queue ID.
    pub fn send(&self, from: &str, to: &[&str], text: &str) -> String {
        let mut client = self.ehlo();
        let reply = client.transaction(from, to, text);
        let id =
            reply.strip_prefix("250 2.0.0 Ok: queued as ").unwrap_or_else(|| panic!("{reply}")).to_owned();
        assert_eq!(client.cmd("QUIT"), "221 2.0.0 Bye");
        id
    }

    /// A command of the mail system, for this instance.
    pub fn command(&self, name: &str) -> Command {
        command(&self.layout, name)
    }

    /// Runs a command of the mail system.
    pub fn run(&self, name: &str, args: &[&str]) -> Run {
        self.run_with(name, args, "")
    }

    /// Runs a command of the mail system with `input` at its standard input.
    pub fn run_with(&self, name: &str, args: &[&str], input: &str) -> Run {
        run(self.command(name).args(args), input)
    }

    /// Runs a command as an unprivileged user of the world (as root), with `input` at its standard input.
    pub fn run_as(&self, uid: u32, name: &str, args: &[&str], input: &str) -> Run {
        run(self.command(name).args(args).env_remove("NAME").uid(uid).gid(uid), input)
    }

    /// The whole log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.layout.log).unwrap_or_default()).into_owned()
    }

    /// The log lines that contain all of `parts`.
    pub fn lines(&self, parts: &[&str]) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }

    /// Waits for a log line that contains all of `parts`; returns it.
    pub fn wait(&self, parts: &[&str]) -> String {
        self.wait_count(parts, 1).swap_remove(0)
    }

    /// Waits for `count` log lines that contain all of `parts`.
    pub fn wait_count(&self, parts: &[&str], count: usize) -> Vec<String> {
        until(&format!("{count} log lines with {parts:?}"), || {
            self.no_panic();
            Some(self.lines(parts)).filter(|lines| lines.len() >= count)
        })
    }

    /// Fails at once when a daemon has panicked: waiting is in vain then.
    fn no_panic(&self) {
        if let Some(line) = self.lines(&["]: panic: "]).first() {
            panic!("a daemon panicked: {line}");
        }
    }

    /// Waits until the message `id` has left the queue.
    pub fn wait_removed(&self, id: &str) {
        self.wait(&[&format!(" {id}: removed")]);
    }

    /// Waits until maildrop, incoming, active and deferred hold no complete message (files that were never finished,
    /// because their writer was killed, do not count).
    pub fn wait_empty(&self) {
        until("an empty queue", || {
            self.no_panic();
            let busy = ["maildrop", "incoming", "active", "deferred"];
            let files = busy.iter().flat_map(|queue| spool::files(&self.layout.queue.join(queue)));
            (!files.into_iter().any(|path| spool::ready(&path))).then_some(())
        });
    }

    /// The names of the files in one queue.
    pub fn queue(&self, name: &str) -> Vec<String> {
        let files = spool::files(&self.layout.queue.join(name));
        files.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }

    /// The number of complete messages in all queues but corrupt.
    pub fn queued(&self) -> usize {
        let queues = ["maildrop", "incoming", "active", "deferred", "hold"];
        queues
            .iter()
            .flat_map(|queue| spool::files(&self.layout.queue.join(queue)))
            .filter(|path| spool::ready(path))
            .count()
    }

    /// The path of a queue file, whichever queue it is in.
    pub fn queue_file(&self, id: &str) -> Option<PathBuf> {
        let files = spool::QUEUES.iter().flat_map(|queue| spool::files(&self.layout.queue.join(queue)));
        files.into_iter().find(|path| path.file_name().is_some_and(|name| name == id))
    }

    /// The queue directory.
    pub fn spool(&self) -> &Path {
        &self.layout.queue
    }

    /// The configuration directory.
    pub fn config(&self) -> &Path {
        &self.layout.config
    }

    /// The directory of the daemons' own files.
    pub fn data(&self) -> &Path {
        &self.layout.data
    }

    /// The mbox file of a user in `mail_spool_directory`.
    pub fn mailbox(&self, user: &str) -> PathBuf {
        self.layout.mail.join(user)
    }

    /// The log file.
    pub fn log_file(&self) -> &Path {
        &self.layout.log
    }

    /// Waits for `count` messages in the mbox of `user`, unlocked.
    pub fn wait_mbox(&self, user: &str, count: usize) -> Vec<String> {
        let path = self.mailbox(user);
        until(&format!("{count} messages in {}", path.display()), || {
            let text = std::fs::read(&path).unwrap_or_default();
            let whole = text.ends_with(b"\n\n") && !path.with_extension("lock").exists();
            whole.then(|| crate::mbox(&path)).filter(|list| list.len() >= count)
        })
    }

    /// The target this instance runs.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the program `name`, a daemon or a command, is ours.
    pub fn ours(&self, name: &str) -> bool {
        if crate::images::COMMANDS.contains(&name) {
            self.target.base_is_ours()
        } else {
            self.target.daemon_is_ours(name)
        }
    }

    /// The normalised log lines of the daemon `name` (as in `postfix/NAME`), in order.
    ///
    /// All that was logged before the call is there: a line of our own goes the same way and is waited for.
    pub fn log_of(&self, name: &str) -> String {
        if self.master_pid().is_some() {
            let mark = format!("mark {}", self.log().len());
            let run = self.run("postlog", &["-t", "harness", &mark]);
            assert_eq!(run.code, 0, "postlog: {}", run.err);
            self.wait(&[&mark]);
        }
        let tag = format!(" postfix/{name}[");
        let lines = self.lines(&[&tag]);
        lines.iter().map(|line| format!("{}\n", crate::normal_log(line))).collect()
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            println!("--- log of {} ---", self.layout.config.display());
            for line in tail.iter().rev() {
                println!("{line}");
            }
        }
        if let Some(pid) = self.master_pid() {
            procs::signal(pid, Signal::SIGTERM);
            let _ =
                crate::wait::until_deadline(Duration::from_secs(10), || (!procs::alive(pid)).then_some(()));
            self.end_group(pid);
        }
    }
}

fn command(layout: &Layout, name: &str) -> Command {
    let mut command = Command::new(layout.commands.join(name));
    clean(&mut command, layout);
    command
}

/// An environment that depends on nothing of the caller's.
fn clean(command: &mut Command, layout: &Layout) {
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TZ", "UTC")
        // What sendmail(1) puts into a missing From header, whoever runs the test.
        .env("NAME", "root")
        .env("MAIL_CONFIG", &layout.config);
    command.current_dir("/");
}

fn run(command: &mut Command, input: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()); // a command may exit before it has read all
    }
    let output = child.wait_with_output().expect("output of the command");
    use std::os::unix::process::ExitStatusExt as _;
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code, out: text(&output.stdout), err: text(&output.stderr) }
}
