//! Processes of an instance, as `/proc` shows them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The children of process `parent` whose argv\[0\] is `name`; all of them when `name` is empty.
pub(crate) fn children(parent: i32, name: &str) -> Vec<i32> {
    let Ok(dir) = std::fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| parent_of(pid) == Some(parent))
        .filter(|&pid| name.is_empty() || command_name(pid).as_deref() == Some(name))
        .collect()
}

/// The processes of the group `group`, whoever their parents are now.
pub(crate) fn group(group: i32) -> Vec<i32> {
    let Ok(dir) = std::fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| stat_fields(pid).and_then(|fields| fields.get(2)?.parse().ok()) == Some(group))
        .collect()
}

/// Whether `pid` exists and is not a zombie. The zombie of a process whose threads are not all gone counts as alive: its
/// descriptors are open.
pub(crate) fn alive(pid: i32) -> bool {
    stat_fields(pid).is_some_and(|fields| {
        let dead = matches!(fields.first().map(String::as_str), Some("Z" | "X"));
        // proc(5): field 20, the number of threads; these fields begin with the third.
        let threads = fields.get(17).and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
        !dead || threads > 1
    })
}

/// Sends `signal`; a process that is gone is no error.
pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

fn command_name(pid: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = line.split(|&byte| byte == 0).next()?;
    let text = String::from_utf8_lossy(first).into_owned();
    Some(text.rsplit('/').next().unwrap_or(&text).to_owned())
}

fn parent_of(pid: i32) -> Option<i32> {
    stat_fields(pid)?.get(1)?.parse().ok()
}

/// The fields of `/proc/PID/stat` after the command name: state, parent, …
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
