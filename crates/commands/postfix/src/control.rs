//! Starting and stopping.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use host_config::param;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use os_sys::error_text;

use crate::instance::Instance;
use crate::{Fatal, Outcome, check};

/// How often `stop` looks whether master has gone, once a second.
const STOP_ATTEMPTS: usize = 5;
/// Left behind by `quick-stop`: the next start needs no checks.
const QUICK_START: &str = "quick-start";

fn is_running(instance: &Instance) -> Result<bool, Fatal> {
    let master = instance.daemons.join("master");
    let status = instance.program(&master)?.arg("-t").status();
    let status = status.map_err(|error| Fatal(format!("{}: {}", master.display(), error_text(&error))))?;
    Ok(!status.success())
}

/// The number in `pid/master.pid`.
fn master_pid(instance: &Instance) -> Result<i32, Fatal> {
    let path = instance.queue.join("pid/master.pid");
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| Fatal(format!("open {}: {}", path.display(), error_text(&error))))?;
    let number = text.trim().parse().ok().filter(|number| *number > 1);
    number.ok_or_else(|| Fatal(format!("{}: no process number", path.display())))
}

fn need_running(instance: &Instance) -> Result<(), Fatal> {
    if is_running(instance)? {
        Ok(())
    } else {
        Err(Fatal("the Postfix mail system is not running".to_owned()))
    }
}

fn signal(number: i32, signal: Signal) -> Result<(), Fatal> {
    match kill(Pid::from_raw(number), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Fatal(format!("kill {number}: {errno}"))),
    }
}

fn prepare(instance: &Instance) -> Result<(), Fatal> {
    if is_running(instance)? {
        return Err(Fatal("the Postfix mail system is already running".to_owned()));
    }
    let quick = instance.queue.join(QUICK_START);
    if quick.exists() {
        fs::remove_file(&quick)
            .map_err(|error| Fatal(format!("remove {}: {}", quick.display(), error_text(&error))))?;
    } else {
        if let Err(Fatal(text)) = check::check_fatal(instance) {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            return Err(Fatal("Postfix integrity check failed!".to_owned()));
        }
        check::check_warn(instance)?;
    }
    os_log::info!("starting the Postfix mail system");
    Ok(())
}

pub(crate) fn start(instance: &Instance) -> Outcome {
    prepare(instance)?;
    let status = instance.program(&instance.daemons.join("master"))?.arg("-w").status();
    if status.is_ok_and(|status| status.success()) {
        Ok(0)
    } else {
        Err(Fatal("mail system startup failed".to_owned()))
    }
}

pub(crate) fn start_foreground(instance: &Instance) -> Outcome {
    if !instance.text(param::MULTI_INSTANCE_DIRECTORIES)?.is_empty() {
        return Err(Fatal("start-fg does not support multi_instance_directories".to_owned()));
    }
    prepare(instance)?;
    let flag = if std::process::id() == 1 { "-i" } else { "-s" };
    let error = instance.program(&instance.daemons.join("master"))?.arg(flag).exec();
    Err(Fatal(format!("cannot start-fg the master daemon: {}", error_text(&error))))
}

pub(crate) fn stop(instance: &Instance) -> Outcome {
    need_running(instance)?;
    os_log::info!("stopping the Postfix mail system");
    let number = master_pid(instance)?;
    signal(number, Signal::SIGTERM)?;
    for _ in 0..STOP_ATTEMPTS {
        // Looked at often, so that a quick end is not waited for.
        for _ in 0..10 {
            if !is_running(instance)? {
                return Ok(0);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        os_log::info!("waiting for the Postfix mail system to terminate");
    }
    os_log::warning!("stopping the Postfix mail system with force");
    signal(-number, Signal::SIGKILL)?;
    Ok(0)
}

pub(crate) fn quick_stop(instance: &Instance) -> Outcome {
    // Also when nothing runs, which is said but no failure.
    if let Err(Fatal(text)) = stop(instance) {
        os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
    }
    let path = instance.queue.join(QUICK_START);
    fs::write(&path, "")
        .map_err(|error| Fatal(format!("create {}: {}", path.display(), error_text(&error))))?;
    Ok(0)
}

pub(crate) fn drain(instance: &Instance) -> Outcome {
    need_running(instance)?;
    os_log::info!("stopping the Postfix mail system");
    signal(master_pid(instance)?, Signal::SIGKILL)?;
    Ok(0)
}

pub(crate) fn abort(instance: &Instance) -> Outcome {
    need_running(instance)?;
    os_log::info!("aborting the Postfix mail system");
    signal(master_pid(instance)?, Signal::SIGTERM)?;
    Ok(0)
}

pub(crate) fn reload(instance: &Instance) -> Outcome {
    instance.run_quietly("postconf", &[])?;
    need_running(instance)?;
    os_log::info!("refreshing the Postfix mail system");
    instance.run_quietly("postsuper", &["active"])?;
    signal(master_pid(instance)?, Signal::SIGHUP)?;
    // In the background: the queue may be large.
    let _ = instance.program(&instance.commands.join("postsuper"))?.spawn();
    Ok(0)
}

pub(crate) fn status(instance: &Instance) -> Outcome {
    instance.run_quietly("postconf", &[])?;
    if is_running(instance)? {
        os_log::info!("the Postfix mail system is running: PID: {}", master_pid(instance)?);
        Ok(0)
    } else {
        os_log::info!("the Postfix mail system is not running");
        Ok(1)
    }
}

/// Makes the daemons start anew, postlogd included, if the system runs.
pub(crate) fn reopen_log(instance: &Instance) -> Result<(), Fatal> {
    if is_running(instance)? { signal(master_pid(instance)?, Signal::SIGHUP) } else { Ok(()) }
}
