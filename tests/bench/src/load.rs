//! Load scenarios: a number of messages as fast as they go, until the last one has left the queue.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{Mta, Target, World, isolated};

use crate::Scenario;
use crate::measure::{self, Usage};

/// Parallel sessions of smtp-source.
const SESSIONS: &str = "20";
/// Content bytes of each message.
const MESSAGE_BYTES: &str = "4096";
/// Messages while system calls are counted.
const TRACED_MESSAGES: usize = 200;
/// Messages before the measurement, so that processes run and tables are open.
const WARM_UP: usize = 50;

/// What one run showed, per message.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    pub messages_per_second: f64,
    pub cpu_milliseconds: f64,
    pub context_switches: f64,
}

/// A child that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `messages` messages through a fresh instance.
pub fn run(scenario: Scenario, target: &Target, messages: usize) -> Speed {
    in_world(target, move |world, target| {
        let (mta, _sink) = start(scenario, target, world);
        feed(scenario, &mta, WARM_UP);
        drained(&mta);
        let master = mta.master_pid().expect("a running master");
        let before = measure::usage(master);
        let start = Instant::now();
        feed(scenario, &mta, messages);
        drained(&mta);
        let seconds = start.elapsed().as_secs_f64();
        let after = measure::usage(master);
        mta.stop();
        per_message(before, after, seconds, messages)
    })
}

fn per_message(before: Usage, after: Usage, seconds: f64, messages: usize) -> Speed {
    let count = messages as f64;
    Speed {
        messages_per_second: count / seconds,
        cpu_milliseconds: (after.cpu_milliseconds - before.cpu_milliseconds) / count,
        context_switches: (after.context_switches - before.context_switches) / count,
    }
}

/// System calls a message, by strace; `None` where strace is missing.
pub fn system_calls(scenario: Scenario, target: &Target) -> Option<f64> {
    in_world(target, move |world, target| {
        let (mta, _sink) = start(scenario, target, world);
        feed(scenario, &mta, WARM_UP);
        drained(&mta);
        let summary = world.dir().join("calls");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-c", "-o"]).arg(&summary).stdout(Stdio::null()).stderr(Stdio::null());
        for pid in measure::tree(mta.master_pid().expect("a running master")) {
            strace.arg("-p").arg(pid.to_string());
        }
        let mut strace = Running(strace.spawn().ok()?);
        // strace says nothing when it is ready: it is when the processes are traced.
        let master = mta.master_pid()?;
        harness::until("strace to attach", || {
            let status = std::fs::read_to_string(format!("/proc/{master}/status")).ok()?;
            (!status.contains("TracerPid:\t0")).then_some(())
        });
        std::thread::sleep(Duration::from_millis(300));
        feed(scenario, &mta, TRACED_MESSAGES);
        drained(&mta);
        let pid = nix::unistd::Pid::from_raw(strace.0.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).ok()?;
        strace.0.wait().ok()?;
        mta.stop();
        Some(measure::calls_in(&summary)? / TRACED_MESSAGES as f64)
    })
}

/// Runs `work` in a network namespace of its own and brings its result out.
pub fn in_world<T: Send + 'static>(
    target: &Target,
    work: impl FnOnce(&World, &Target) -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let target = target.clone();
    isolated(move |world| sender.send(work(world, &target)).expect("send the result"));
    receiver.recv().expect("a result")
}

fn start(scenario: Scenario, target: &Target, world: &World) -> (Mta, Option<Running>) {
    let common = "in_flow_delay = 0\nmax_use = 1000000\nmax_idle = 1000\nqueue_run_delay = 300s\nminimal_backoff_time = 300s\n\
         smtpd_client_connection_count_limit = 0\nmaximal_backoff_time = 4000s\n\
         virtual_mailbox_domains = virtual.test\nvirtual_mailbox_base = $DIR/mailboxes\n\
         virtual_mailbox_maps = static:box/\nvirtual_uid_maps = static:40001\nvirtual_gid_maps = static:40001";
    let mailboxes = world.dir().join("mailboxes");
    std::fs::create_dir_all(&mailboxes).expect("create mailboxes");
    std::os::unix::fs::chown(&mailboxes, Some(40001), Some(40001)).expect("chown mailboxes");
    let builder = world.mta("mta").target(target.clone()).main(common);
    let (builder, sink) = match scenario {
        Scenario::Relay => {
            let port = free_port();
            let sink = Command::new("smtp-sink")
                .args(["-u", "nobody"])
                .arg(format!("127.0.0.1:{port}"))
                .arg("100")
                .spawn();
            let sink = Running(sink.expect("start smtp-sink"));
            harness::until("smtp-sink to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
            (builder.main(&format!("relayhost = [127.0.0.1]:{port}")), Some(sink))
        }
        Scenario::Virtual => (builder, None),
        Scenario::Discard | Scenario::Sendmail | Scenario::Idle => {
            (builder.main("default_transport = discard"), None)
        }
    };
    (builder.start(), sink)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

fn feed(scenario: Scenario, mta: &Mta, messages: usize) {
    match scenario {
        Scenario::Sendmail => feed_sendmail(mta, messages),
        Scenario::Virtual => feed_smtp(mta, messages, "box@virtual.test"),
        Scenario::Relay | Scenario::Discard | Scenario::Idle => feed_smtp(mta, messages, "rcpt@remote.test"),
    }
}

fn feed_smtp(mta: &Mta, messages: usize, recipient: &str) {
    let status = Command::new("smtp-source")
        .args(["-s", SESSIONS, "-l", MESSAGE_BYTES, "-m", &messages.to_string()])
        .args(["-f", "sender@source.test", "-t", recipient])
        .arg(mta.address().to_string())
        .status()
        .expect("run smtp-source");
    assert!(status.success(), "smtp-source failed");
}

/// Four clients at a time, one message a process.
fn feed_sendmail(mta: &Mta, messages: usize) {
    let text = format!("Subject: bench\n\n{}\n", "x".repeat(70));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let text = &text;
            scope.spawn(move || {
                for _ in (client..messages).step_by(4) {
                    let run =
                        mta.run_with("sendmail", &["-f", "sender@source.test", "rcpt@remote.test"], text);
                    assert_eq!(run.code, 0, "{}", run.err);
                }
            });
        }
    });
}

/// Waits until the queue is empty.
fn drained(mta: &Mta) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while mta.queued() > 0 {
        assert!(Instant::now() < deadline, "the queue does not drain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
