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
