//! What a tree of processes has used, from proc(5).

use std::fs;
use std::path::Path;

/// CPU time and context switches of all processes of an instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, ended children of master included.
    pub cpu_milliseconds: f64,
    /// Voluntary and involuntary, of the processes that live.
    pub context_switches: f64,
}

/// Master and its children.
pub fn tree(master: i32) -> Vec<i32> {
    let mut found = vec![master];
    for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if stat(pid).and_then(|fields| fields.get(1)?.parse::<i32>().ok()) == Some(master) {
            found.push(pid);
        }
    }
    found
}

/// Fields of /proc/PID/stat behind the command name: state, ppid, …
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// Sums over the tree.
pub fn usage(master: i32) -> Usage {
    let tick = 10.0; // milliseconds: USER_HZ is 100 on Linux
    let mut sum = Usage::default();
    for pid in tree(master) {
        let Some(fields) = stat(pid) else { continue };
        let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        sum.cpu_milliseconds += (ticks(11) + ticks(12)) * tick;
        if pid == master {
            sum.cpu_milliseconds += (ticks(13) + ticks(14)) * tick;
        }
        sum.context_switches += switches(pid);
    }
    sum
}

fn switches(pid: i32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let mut sum = 0.0;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        for line in text.lines().filter(|line| line.contains("ctxt_switches")) {
            sum += line.split_whitespace().last().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    sum
}

/// Proportional set size in KiB of the children of master that are called `daemon`.
pub fn memory_kib(pids: &[i32]) -> f64 {
    let of = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0)
    };
    pids.iter().map(of).sum()
}

/// The number of calls in a `strace -c` summary.
pub fn calls_in(summary: &Path) -> Option<f64> {
    let text = fs::read_to_string(summary).ok()?;
    let total = text.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    total.split_whitespace().nth(3).or_else(|| total.split_whitespace().nth(2))?.parse().ok()
}

/// A figure, or a dash.
pub fn optional(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.0}"))
}

/// The type of the file system of a directory, and whether it has a journal that fsync(2) writes to (ext4 only).
pub fn file_system(directory: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let directory = directory.canonicalize().ok()?;
    let (device, kind) = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
            directory.starts_with(point).then_some((point.len(), device, kind))
        })
        .max_by_key(|(length, ..)| *length)
        .map(|(_, device, kind)| (device.to_owned(), kind.to_owned()))?;
    let name = Path::new(&device).file_name()?.to_string_lossy().into_owned();
    // jbd2 shows itself in /proc only for file systems with a journal.
    let journal = std::fs::read_dir("/proc/fs/jbd2").is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().starts_with(&name))
    });
    Some(if kind == "ext4" {
        format!("{kind} {} journal", if journal { "with a" } else { "without" })
    } else {
        kind
    })
}
