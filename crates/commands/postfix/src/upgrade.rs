//! `postfix upgrade-configuration`: services that newer releases need are added to master.cf.

use std::fmt::Write;
use std::fs;

use host_config::master_cf;
use os_sys::error_text;

use crate::instance::Instance;
use crate::{Fatal, Outcome};

/// Name, type, the line to add.
const SERVICES: &[(&str, &str, &str)] = &[
    ("relay", "unix", "relay     unix  -       -       n       -       -       smtp"),
    ("flush", "unix", "flush     unix  n       -       n       1000?   0       flush"),
    ("trace", "unix", "trace     unix  -       -       n       -       0       bounce"),
    ("verify", "unix", "verify    unix  -       -       n       -       1       verify"),
    ("proxymap", "unix", "proxymap  unix  -       -       n       -       -       proxymap"),
    ("anvil", "unix", "anvil     unix  -       -       n       -       1       anvil"),
    ("scache", "unix", "scache    unix  -       -       n       -       1       scache"),
    ("discard", "unix", "discard   unix  -       -       n       -       -       discard"),
    ("tlsmgr", "unix", "tlsmgr    unix  -       -       n       1000?   1       tlsmgr"),
    ("retry", "unix", "retry     unix  -       -       n       -       -       error"),
    ("proxywrite", "unix", "proxywrite unix -       -       n       -       1       proxymap"),
    ("postlog", "unix-dgram", "postlog   unix-dgram n  -       n       -       1       postlogd"),
];

pub(crate) fn upgrade(instance: &Instance) -> Outcome {
    let path = instance.config.dir().join("master.cf");
    let failed = |error: std::io::Error| Fatal(format!("{}: {}", path.display(), error_text(&error)));
    let mut text = fs::read_to_string(&path).map_err(failed)?;
    let lines = master_cf::lines_of(&path.display().to_string(), &text);
    let is_there = |name: &str, kind: &str| {
        lines.iter().any(|line| matches!(line.words.as_slice(), [n, k, ..] if n == name && k == kind))
    };
    let missing: Vec<_> = SERVICES.iter().filter(|(name, kind, _)| !is_there(name, kind)).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, kind, line) in missing {
        let what = if *kind == "unix-dgram" { "postlog unix-domain datagram" } else { name };
        println!("Editing {}, adding missing entry for {what} service", path.display());
        let _ = writeln!(text, "{line}");
    }
    let fresh = path.with_extension("cf.tmp");
    let mode = fs::metadata(&path).map_err(failed)?.permissions();
    fs::write(&fresh, text)
        .and_then(|()| fs::set_permissions(&fresh, mode))
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(failed)?;
    Ok(0)
}
