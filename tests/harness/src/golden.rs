//! Texts recorded from the reference, in files below `tests/golden`.

use crate::{Client, Mta, Target, normal};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A text that the target release gives where the installed reference gives another.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The program that gives it.
    pub program: &'static str,
    /// The text of 3.7.11, as recorded.
    pub old: &'static str,
    /// The text of 3.11.
    pub new: &'static str,
}

/// Compares `text` with the recorded file `name`. With `HARNESS_RECORD` set and the reference as the target, the file
/// is written instead; with `HARNESS_DUMP` what was got goes to a file below that directory as well. `changes` are applied to the expected text when their program is ours. `HARNESS_ACTUAL` names a
/// directory where `text` is left, whatever it is.
pub fn golden(mta: &Mta, name: &str, text: &str, changes: &[Change]) {
    let path = directory().join(format!("{name}.txt"));
    if let Some(dir) = std::env::var_os("HARNESS_ACTUAL") {
        std::fs::write(Path::new(&dir).join(name.replace('/', "-")), text).expect("write actual text");
    }
    if std::env::var_os("HARNESS_RECORD").is_some() && *mta.target() == Target::Theirs {
        std::fs::create_dir_all(path.parent().expect("parent")).expect("create directory");
        std::fs::write(&path, text).expect("write golden file");
        return;
    }
    if let Some(dir) = std::env::var_os("HARNESS_DUMP") {
        let path = Path::new(&dir).join(format!("{name}.txt"));
        std::fs::create_dir_all(path.parent().expect("parent")).expect("create directory");
        std::fs::write(&path, text).expect("write what was got");
    }
    let mut want = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; record it from the reference first", path.display()));
    for change in changes {
        if mta.ours(change.program) {
            assert!(want.contains(change.old), "{name}: nothing to change: {:?}", change.old);
            want = want.replace(change.old, change.new);
        }
    }
    if let Some(difference) = first_difference(&want, text) {
        panic!("{name}: {difference}");
    }
}

/// Where the recorded texts are.
fn directory() -> PathBuf {
    crate::source().join("tests/golden")
}

/// Describes where two texts differ first, with the lines before it.
fn first_difference(want: &str, got: &str) -> Option<String> {
    if want == got {
        return None;
    }
    let (wanted, gotten): (Vec<&str>, Vec<&str>) = (want.lines().collect(), got.lines().collect());
    let at = wanted.iter().zip(&gotten).take_while(|(a, b)| a == b).count();
    let before = wanted.get(at.saturating_sub(3)..at).unwrap_or(&[]).join("\n    ");
    let show = |lines: &[&str]| lines.iter().skip(at).take(4).copied().collect::<Vec<_>>().join("\n    ");
    Some(format!(
        "differs from line {}\n    {before}\n  want:\n    {}\n  got:\n    {}",
        at + 1,
        show(&wanted),
        show(&gotten)
    ))
}

/// Talks SMTP: sends each of `lines`, and gives the normalised transcript with the replies.
///
/// A line `@content TEXT` sends a message (its `\n` are line ends) and the closing dot; `@raw TEXT` sends bytes with the
/// escapes `\r \n \0` and reads one reply; `@read` reads one more reply.
pub fn talk(mta: &Mta, lines: &[&str]) -> String {
    let mut client = mta.smtp();
    let mut text = String::new();
    let banner = client.banner();
    show(&mut text, &banner);
    for line in lines {
        let _ = writeln!(text, "C: {}", shorten(line));
        let reply = say(&mut client, line);
        show(&mut text, &reply);
        if reply.is_empty() {
            return text;
        }
    }
    text
}

fn say(client: &mut Client, line: &str) -> String {
    if let Some(content) = line.strip_prefix("@content ") {
        return client.content(&content.replace("\\n", "\n"));
    }
    if let Some(raw) = line.strip_prefix("@raw ") {
        client.raw(raw.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0"));
        return client.reply();
    }
    if *line == *"@read" { client.reply() } else { client.cmd(line) }
}

fn show(text: &mut String, reply: &str) {
    if reply.is_empty() {
        text.push_str("(closed)\n");
    }
    for line in normal(reply).lines() {
        let _ = writeln!(text, "S: {line}");
    }
}

fn shorten(line: &str) -> String {
    if line.len() <= 300 {
        return line.to_owned();
    }
    format!("{}… ({} bytes)", line.chars().take(60).collect::<String>(), line.len())
}
