//! `postfix upgrade-configuration`: what newer releases need is added to master.cf and main.cf.

use std::fs;
use std::path::Path;

use host_config::{main_cf, master_cf};
use os_sys::error_text;

use crate::instance::Instance;
use crate::{Fatal, Outcome};

/// One thing that an old master.cf may lack or have otherwise, in the order in which it is looked at.
enum Step {
    /// A service: name, type, what messages call it, the line to add.
    Add(&'static str, &'static str, &'static str, &'static str),
    /// A field of a service: name, fields before, fields after, what the message says. `*` stands for any value.
    Change(&'static str, &'static [(usize, &'static str, &'static str)], &'static str),
    /// `hash_queue_names` in main.cf.
    HashQueueNames,
}
use Step::{Add, Change, HashQueueNames};

const STEPS: &[Step] = &[
    Add("relay", "unix", "relay", "relay\t  unix\t-\t-\tn\t-\t-\tsmtp"),
    Add("flush", "unix", "flush", "flush     unix  -       -       n       1000?   0       flush"),
    Add("trace", "unix", "trace", "trace\t  unix\t-\t-\tn\t-\t0\tbounce"),
    Add("verify", "unix", "verify", "verify\t  unix\t-\t-\tn\t-\t1\tverify"),
    Change("verify", &[(6, "0", "1")], "setting verify process limit to 1"),
    Change("pickup", &[(3, "n", "-")], "making the pickup service unprivileged"),
    Change("cleanup", &[(2, "-", "n")], "making the cleanup service public"),
    Change("flush", &[(2, "-", "n")], "making the flush service public"),
    HashQueueNames,
    Add("proxymap", "unix", "proxymap", "proxymap  unix\t-\t-\tn\t-\t-\tproxymap"),
    Add("anvil", "unix", "anvil", "anvil\t  unix\t-\t-\tn\t-\t1\tanvil"),
    Add("scache", "unix", "scache", "scache\t  unix\t-\t-\tn\t-\t1\tscache"),
    Add("discard", "unix", "discard", "discard\t  unix\t-\t-\tn\t-\t-\tdiscard"),
    Change(
        "tlsmgr",
        &[(1, "fifo", "unix"), (5, "300", "300?")],
        "updating the tlsmgr from fifo to unix service",
    ),
    Add("tlsmgr", "unix", "tlsmgr", "tlsmgr    unix  -       -       n       1000?   1       tlsmgr"),
    Add("retry", "unix", "retry", "retry     unix  -       -       n       -       -       error"),
    Change("proxywrite", &[(6, "-", "1")], "setting proxywrite process limit to 1"),
    Add(
        "proxywrite",
        "unix",
        "proxywrite",
        "proxywrite unix -       -       n       -       1       proxymap",
    ),
    Add(
        "postlog",
        "unix-dgram",
        "postlog unix-domain datagram",
        "postlog   unix-dgram n  -       n       -       1       postlogd",
    ),
];

/// Queues that are hashed whatever main.cf says.
const HASHED: [&str; 2] = ["defer", "deferred"];

pub(crate) fn upgrade(instance: &Instance) -> Outcome {
    let path = instance.config.dir().join("master.cf");
    let mut text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
    let old = text.clone();
    for step in STEPS {
        match step {
            Add(name, kind, called, line) => {
                let program = line.split_whitespace().last().unwrap_or_default();
                let is_there = words_of(&path, &text).iter().any(|words| is(words, name, kind));
                // A service whose program is not installed would be one more thing that fails.
                if !is_there && instance.daemons.join(program).exists() {
                    println!("Editing {}, adding missing entry for {called} service", path.display());
                    if !text.is_empty() && !text.ends_with('\n') {
                        text.push('\n');
                    }
                    text.push_str(line);
                    text.push('\n');
                }
            }
            Change(name, fields, what) => {
                let lines = text.split_inclusive('\n').map(|line| changed(line, name, fields));
                let new: String = lines.collect();
                if new != text {
                    println!("Editing {}, {what}", path.display());
                    text = new;
                }
            }
            HashQueueNames => upgrade_main(instance)?,
        }
    }
    if text != old {
        replace(&path, &text)?;
    }
    Ok(0)
}

fn upgrade_main(instance: &Instance) -> Result<(), Fatal> {
    let path = instance.config.dir().join("main.cf");
    let settings = main_cf::read(&path)?;
    let Some(value) = settings.get("hash_queue_names") else { return Ok(()) };
    let missing: Vec<&str> = HASHED
        .into_iter()
        .filter(|queue| !mail_text::list::words(value).any(|word| word == *queue))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("fixing main.cf hash_queue_names for missing {}", missing.join(" "));
    instance.run_command("postconf", &["-e", &format!("hash_queue_names={value} {}", missing.join(" "))])?;
    Ok(())
}

fn words_of(path: &Path, text: &str) -> Vec<Vec<String>> {
    let lines = master_cf::lines_of(&path.display().to_string(), text);
    lines.into_iter().map(|line| line.words).collect()
}

fn is(words: &[String], name: &str, kind: &str) -> bool {
    matches!(words, [n, k, ..] if n == name && k == kind)
}

/// The line with other fields, if it is that of the service and has the fields as they were once; blanks stay.
fn changed(line: &str, name: &str, fields: &[(usize, &str, &str)]) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let starts = line.starts_with(|c: char| !c.is_ascii_whitespace() && c != '#');
    let fits = fields.iter().all(|(at, before, _)| words.get(*at) == Some(before));
    if !starts || words.first() != Some(&name) || !fits {
        return line.to_owned();
    }
    let mut out = String::new();
    let mut rest = line;
    for (at, word) in words.iter().enumerate() {
        let Some((blanks, after)) = rest.split_once(*word) else { break };
        let new = fields.iter().find(|(index, ..)| *index == at).map_or(*word, |(.., new)| new);
        out.push_str(blanks);
        out.push_str(new);
        rest = after;
    }
    out + rest
}

fn replace(path: &Path, text: &str) -> Result<(), Fatal> {
    let fresh = path.with_extension("cf.tmp");
    let mode = fs::metadata(path).map_err(|error| failed(path, &error))?.permissions();
    fs::write(&fresh, text)
        .and_then(|()| fs::set_permissions(&fresh, mode))
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Fatal {
    Fatal(format!("{}: {}", path.display(), error_text(error)))
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn fields_change_and_blanks_stay() {
        let fields = [(3, "n", "-")];
        assert_eq!(
            changed("pickup\tfifo n  n n 60 1 pickup\n", "pickup", &fields),
            "pickup\tfifo n  - n 60 1 pickup\n"
        );
        for line in ["#pickup fifo n n n 60 1 pickup", "pickup fifo n y n 60 1 pickup", " pickup a b n"] {
            assert_eq!(changed(line, "pickup", &fields), line);
        }
    }
}
