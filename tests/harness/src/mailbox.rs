//! Readers of mailboxes.

use std::path::Path;

/// The messages of an mbox file, each from its `From ` line to the line before the closing blank line.
/// A missing file is an empty mailbox.
pub fn mbox(path: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let mut messages: Vec<String> = Vec::new();
    let mut after_blank = true;
    for line in text.split_inclusive('\n') {
        if after_blank && line.starts_with("From ") {
            messages.push(String::new());
        }
        after_blank = line == "\n";
        if let Some(message) = messages.last_mut() {
            message.push_str(line);
        }
    }
    for message in &mut messages {
        assert!(message.ends_with("\n\n"), "mbox entry without closing blank line: {message:?}");
        message.pop();
    }
    messages
}

/// The messages in `new` of a Maildir, in order of their names.
pub fn maildir(path: &Path) -> Vec<String> {
    let Ok(dir) = std::fs::read_dir(path.join("new")) else { return Vec::new() };
    let mut names: Vec<_> = dir.flatten().map(|entry| entry.path()).collect();
    names.sort();
    names
        .iter()
        .map(|name| String::from_utf8_lossy(&std::fs::read(name).expect("read maildir file")).into_owned())
        .collect()
}
