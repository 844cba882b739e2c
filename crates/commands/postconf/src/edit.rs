//! Editing main.cf and master.cf: `-e`, `-X`, `-#` (`config.md` §8.5, §8.6).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mail_text::logical::{is_skipped, split_name_value};

use crate::Outcome;
use crate::options::{Edit, Mode, Options};
use crate::print::Output;

pub(crate) fn run(options: &Options, dir: &Path, out: &mut Output) -> Outcome {
    let Some(edit) = options.edit else { return Ok(()) };
    match options.mode {
        Mode::Main => edit_main(edit, options, &dir.join("main.cf"), out),
        Mode::Master(_) => Err("editing of master.cf is not supported by this version".to_owned()),
        Mode::LockTypes
        | Mode::MapTypes
        | Mode::TlsInformation
        | Mode::ServerSasl
        | Mode::ClientSasl
        | Mode::ExpandTemplates
        | Mode::DumpTemplates => Ok(()),
    }
}

/// What is to be done, by name; the value is for [`Edit::Set`].
type Requests = BTreeMap<String, String>;

fn requests(edit: Edit, arguments: &[String], out: &mut Output) -> Outcome<Requests> {
    let mut requests = Requests::new();
    for text in arguments {
        if text.contains('\n') {
            return Err("-e, -X, or -# accepts no multi-line input".to_owned());
        }
        let text = text.trim_start();
        if text.starts_with('#') {
            return Err("-e, -X, or -# accepts no comment input".to_owned());
        }
        let (name, value) = match edit {
            Edit::Set => split_name_value(text)?,
            Edit::Remove | Edit::CommentOut if text.is_empty() => {
                return Err("-X or -# requires non-blank parameter names".to_owned());
            }
            Edit::Remove | Edit::CommentOut if text.contains('=') => {
                return Err("-X or -# requires parameter names without value".to_owned());
            }
            Edit::Remove | Edit::CommentOut => (text.trim_end(), ""),
        };
        if let Some(old) = requests.insert(name.to_owned(), value.to_owned())
            && old != value
        {
            out.warning(&format!("ignoring earlier request: '{name} = {old}'"));
        }
    }
    Ok(requests)
}

fn edit_main(edit: Edit, options: &Options, path: &Path, out: &mut Output) -> Outcome {
    let requests = requests(edit, &options.names, out)?;
    let shown = path.display().to_string();
    let lock = Replacement::begin(path)?;
    let old = fs::read(path).map_err(|e| format!("open {shown} for reading: {}", text_of(&e)))?;
    let new = edited(edit, &requests, &old, &shown, out);
    lock.finish(path, &new)
}

fn text_of(error: &std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |code| nix::errno::Errno::from_raw(code).desc().to_owned())
}

/// The new file. Lines that no request names keep their bytes; comments within an entry stay.
fn edited(edit: Edit, requests: &Requests, old: &[u8], path: &str, out: &mut Output) -> Vec<u8> {
    let mut new = Vec::with_capacity(old.len() + 256);
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut inside = false;
    for line in old.split_inclusive(|b| *b == b'\n') {
        let text = String::from_utf8_lossy(line);
        if is_skipped(&text) {
            new.extend_from_slice(line);
            continue;
        }
        let continues = text.starts_with(|c: char| c.is_ascii_whitespace());
        if !continues {
            let end = text.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(text.len());
            let request = requests.get_key_value(text.get(..end).unwrap_or_default());
            inside = request.is_some();
            if let Some((name, value)) = request {
                let count = hits.entry(name).or_default();
                *count += 1;
                if *count == 2 {
                    out.warning(&format!("{path}: multiple entries for \"{name}\""));
                }
                if edit == Edit::Set {
                    new.extend_from_slice(format!("{name} = {value}\n").as_bytes());
                }
            }
        }
        match (inside, edit) {
            (false, _) => new.extend_from_slice(line),
            (true, Edit::CommentOut) => {
                new.push(b'#');
                new.extend_from_slice(line);
            }
            (true, Edit::Set | Edit::Remove) => {}
        }
    }
    if edit == Edit::Set {
        if new.last().is_some_and(|b| *b != b'\n') {
            new.push(b'\n');
        }
        for (name, value) in requests.iter().filter(|(name, _)| !hits.contains_key(name.as_str())) {
            new.extend_from_slice(format!("{name} = {value}\n").as_bytes());
        }
    }
    new
}

/// The file beside main.cf that becomes it, locked: readers see the old or the new text, never a part, and of two
/// editors the second one starts from what the first one wrote.
struct Replacement {
    file: File,
    temporary: PathBuf,
}

impl Replacement {
    /// Waits until no other editor is at work.
    fn begin(path: &Path) -> Outcome<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let failed = |what: &str, error: &std::io::Error| {
            format!("{what} {}: {}", temporary.display(), text_of(error))
        };
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&temporary)
                .map_err(|e| failed("open", &e))?;
            os_sys::lock::flock(&file, os_sys::lock::Mode::Exclusive).map_err(|e| failed("lock", &e))?;
            // The editor that we waited for has made its file main.cf itself: ours is a new one.
            let ours = file.metadata().map_err(|e| failed("stat", &e))?;
            let there = fs::symlink_metadata(&temporary);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Self { file, temporary });
            }
        }
    }

    fn finish(mut self, path: &Path, text: &[u8]) -> Outcome {
        let shown = self.temporary.display().to_string();
        let failed = |what: &str, error: &std::io::Error| format!("{what} {shown}: {}", text_of(error));
        self.file.set_len(0).map_err(|e| failed("truncate", &e))?;
        self.file.write_all(text).map_err(|e| failed("write", &e))?;
        self.file.set_permissions(Permissions::from_mode(0o644)).map_err(|e| failed("chmod", &e))?;
        self.file.sync_all().map_err(|e| failed("fsync", &e))?;
        fs::rename(&self.temporary, path).map_err(|e| failed("rename", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds one parameter under the lock, as `postconf -e` does.
    fn add(path: &Path, name: &str) {
        let lock = Replacement::begin(path).unwrap();
        let mut text = fs::read(path).unwrap();
        text.extend_from_slice(format!("{name} = 1\n").as_bytes());
        lock.finish(path, &text).unwrap();
    }

    #[test]
    fn no_edit_is_lost_among_editors() {
        let directory = std::env::temp_dir().join(format!("postconf-edit-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("main.cf");
        fs::write(&path, "").unwrap();
        std::thread::scope(|scope| {
            for editor in 0..4 {
                let path = &path;
                scope.spawn(move || (0..10).for_each(|n| add(path, &format!("p{editor}_{n}"))));
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(text.lines().count(), 40, "{text}");
    }
}
